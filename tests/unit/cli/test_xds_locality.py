"""`meshwright xds --locality`: where the client is whose resources are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshwright.cli import run
from meshwright.controlplane.admin import inspect
from meshwright.controlplane.admin.inspect import Dump
from meshwright.controlplane.model.localities import Place
from meshwright.model import ServiceName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ([], Place()),
        (["--locality", "eu/a"], Place("eu", "a")),
        (["--locality", "eu"], Place("eu")),
        (["--locality", "/a"], Place("", "a")),
    ],
)
def test_the_control_plane_is_asked_from_that_place(
    options: list[str], place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Place] = []

    async def dump(_address: Any, service: str, **_more: Any) -> Dump:
        asked.append(_more.get("place", place))
        return Dump(ServiceName(service), True, {}, ())

    async def watch(_address: Any, _service: str, *, place: Place) -> AsyncIterator[None]:
        asked.append(place)
        for change in ():
            yield change

    monkeypatch.setattr(inspect, "dump", dump)
    monkeypatch.setattr(inspect, "watch", watch)
    for command in ("dump", "watch"):
        assert run(["xds", command, "user", "--address", "127.0.0.1:1", "--json", *options]) == 0
    capsys.readouterr()
    assert asked == [place, place, place]
