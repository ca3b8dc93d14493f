"""What another command says of an `up` that takes its time."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from meshwright.errors import UnreachableError
from meshwright.local.control_api import client
from meshwright.local.control_api.client import RunningUp
from meshwright.local.supervisor.run_state import RunRecord, StateFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SlowUp(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each request when it is let go on."""

    def __init__(self, path: str) -> None:
        self.go_on = threading.Event()
        super().__init__(path, SlowHandler)


class SlowHandler(http.server.BaseHTTPRequestHandler):
    server: SlowUp

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.go_on.wait(30)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"rollout": {}, "notices": ["late"]}).encode())

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the library

    def address_string(self) -> str:
        return "a unix socket"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[SlowUp, RunningUp]]:
    path = str(tmp_path / "up.sock")
    with SlowUp(path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server, RunningUp(StateFolder(tmp_path, "shop"), RunRecord(1, 0.0, "r", "shop.toml", path))
        server.go_on.set()
        server.shutdown()
        thread.join()


def test_a_change_without_an_answer_is_not_said_to_have_failed(
    slow: tuple[SlowUp, RunningUp], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, up = slow
    monkeypatch.setattr(client, "_WRITE_TIMEOUT", 0.05)
    for change in (
        lambda: up.apply_rollout({}),
        lambda: up.patch_rollout("shop", {}),
        lambda: up.delete_rollout("shop"),
        lambda: up.kill("shop-1", "SIGKILL"),
    ):
        with pytest.raises(UnreachableError) as caught:
            change()
        assert str(caught.value) == (
            "the `up` of shop has not answered within 0.05 s: it is busy, or stopped. The request runs once it "
            "continues: check with `meshwright ps` and `meshwright rollout get` before a retry."
        )
    with pytest.raises(UnreachableError, match=r"within 0\.05 s: it is busy, or stopped; try again\."):
        up.rollouts()
