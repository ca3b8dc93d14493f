"""The tour's guide: what it says of stops that go wrong, and that the tour goes on."""

from __future__ import annotations

import click
import httpx
import pytest
from click.testing import CliRunner

from services.tour.command import all_stops, chosen, tour, visit
from services.tour.consistency import trace_goes_on
from services.tour.guide import Guide, TourStop


async def tour_of(*visits) -> tuple[list[str], str]:
    """The names of stops that failed, and all that was said. Stops are called a, b, ..."""
    said: list[str] = []
    stops = [TourStop(f"Slide {name}", name, visiting) for name, visiting in zip("abcdef", visits, strict=False)]
    failed = await visit(Guide(said.append, "http://127.0.0.1:9"), stops, said.append)
    return failed, click.unstyle("\n".join(said))


async def test_a_stop_that_sees_something_else_is_named_and_the_tour_goes_on() -> None:
    async def otherwise(guide: Guide) -> None:
        guide.check(right=False, what="3, not 4")

    async def well(guide: Guide) -> None:
        guide.saw("what the slide says")

    failed, said = await tour_of(otherwise, well)
    assert failed == ["a"]
    assert "x expected 3, not 4" in said
    assert "- what the slide says" in said
    assert "1 of 2 stops saw what the slides say" in said
    assert "Otherwise: a" in said


async def test_a_gateway_that_is_away_fails_a_stop_and_not_the_tour() -> None:
    async def asks(guide: Guide) -> None:
        await guide.get("/api/versions")

    failed, said = await tour_of(asks)
    assert failed == ["a"]
    assert "x " in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "error", [KeyError("state"), TypeError("no list"), ValueError("no JSON"), httpx.ReadTimeout("")]
)
async def test_an_answer_of_another_form_is_said(error: Exception) -> None:
    async def falls(guide: Guide) -> None:
        raise error

    failed, said = await tour_of(falls)
    assert failed == ["a"]
    assert (str(error) or type(error).__name__) in said


async def test_what_never_comes_ends_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tour.guide.WAIT_SECONDS", 0.0)

    async def nothing() -> None:
        return None

    async def waits(guide: Guide) -> None:
        await guide.until("the end of the saga", nothing)

    failed, said = await tour_of(waits)
    assert failed == ["a"]
    assert "x expected the end of the saga within 0 s" in said


def test_a_stop_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(click.BadParameter, match=r"no stop sagas; there are polling, .*saga"):
        chosen(["sagas"])
    assert [stop.name for stop in chosen(["saga"])] == ["saga"]


def test_a_gateway_that_is_away_is_said_once_and_not_at_each_stop() -> None:
    done = CliRunner().invoke(tour, ["--gateway", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "Error: the gateway at http://127.0.0.1:9 does not answer" in done.output
    assert all_stops()[0].slide not in done.output


async def test_a_gateway_that_goes_away_on_the_way_is_named() -> None:
    async def asks(guide: Guide) -> None:
        await guide.ask("GET", "/api/versions")

    _, said = await tour_of(asks)
    assert "x no answer of http://127.0.0.1:9 to GET /api/versions" in said


def test_stops_have_names_of_their_own() -> None:
    names = [stop.name for stop in all_stops()]
    assert len(set(names)) == len(names)


async def test_a_command_that_does_not_end_is_named_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tour.guide.COMMAND_TIMEOUT", 0.01)

    async def commands(guide: Guide) -> None:
        await guide.command("--version")

    failed, said = await tour_of(commands)
    assert failed == ["a"]
    assert "x `meshwright --version` did not end within 0.01 s" in said


def traced_by(handler, said: list[str]) -> Guide:
    """A guide whose traces are what `handler` answers."""
    guide = Guide(said.append, "http://gateway", "http://traces")
    guide.http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return guide


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


@pytest.mark.parametrize("handler", [refused, lambda _: httpx.Response(404, text="<html>no Jaeger</html>")])
async def test_where_traces_cannot_be_read_the_tour_says_so_and_goes_on(handler):
    said: list[str] = []
    await trace_goes_on(traced_by(handler, said), "abc")
    assert said == ["  - the trace is not checked: http://traces does not answer Jaeger's query API"]


async def test_a_trace_is_whole_when_the_order_service_is_in_it_too() -> None:
    services = ["gateway", "inventory", "payment", "notification", "userview"]
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        there = [*services, "order"] if asked > 2 else services
        processes = {name: {"serviceName": name} for name in there}
        spans = [{"processID": name} for name in there]
        return httpx.Response(200, json={"data": [{"spans": spans, "processes": processes}]})

    said: list[str] = []
    await trace_goes_on(traced_by(answer, said), "abc")
    assert said[-1].endswith("gateway, inventory, notification, order, payment, userview")
