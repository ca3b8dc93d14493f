"""The client of the control API. Synchronous, with few imports, so that `meshwright ps` is fast."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from meshwright.errors import MeshwrightError, UnreachableError
from meshwright.local.http_client import HTTPException, UnixConnection
from meshwright.local.supervisor.log_files import last_lines
from meshwright.local.supervisor.run_state import StateFolder, nearest_home
from meshwright.name_suggestions import NoSuchNameError, no_such

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse
    from pathlib import Path

    from meshwright.local.supervisor.run_state import RunRecord

HOW_TO_START = (
    "Start the topology of this folder (meshwright.toml) with `meshwright up`, or the demo with `meshwright up --demo`."
)
_READ_TIMEOUT = 5.0
"""The timeout of a read, in seconds."""
_WRITE_TIMEOUT = 60.0
"""The timeout of a write: for the first rollout the `up` imports its engine, which is slow on a busy machine."""
_SCALE_TIMEOUT = 3600.0
_OK = 200


class RefusedError(MeshwrightError):
    """The supervisor rejected the request; the message has the reason."""


class NothingUpError(MeshwrightError):
    """No `up` is running, or several are."""


def find(name: str = "", home: Path | None = None) -> RunningUp:
    """The `up` of that topology, or the only one. Raises `NothingUpError`."""
    root = home or nearest_home()
    folders = (
        [StateFolder(root, path.name) for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    )
    running = [(folder, record) for folder in folders if (record := folder.running())]
    chosen = [pair for pair in running if name in ("", pair[0].path.name)]
    if len(chosen) == 1:
        return RunningUp(*chosen[0])
    names = ", ".join(folder.path.name for folder, _ in running)
    if not running:
        raise NothingUpError(f"nothing is up here ({root}). {HOW_TO_START}")
    if not chosen:
        raise NothingUpError(f"no {name!r} is up here; there is {names}.")
    raise NothingUpError(f"several topologies are up here: {names}. Choose one with --topology.")


def find_folder(name: str = "", home: Path | None = None) -> StateFolder:
    """The state folder of the running topology, or of the only earlier one. Raises `NothingUpError`."""
    try:
        return find(name, home).folder
    except NothingUpError:
        root = home or nearest_home()
        folders = [path for path in sorted(root.iterdir()) if (path / "logs").is_dir()] if root.is_dir() else []
        chosen = [path for path in folders if name in ("", path.name)]
        if len(chosen) != 1:
            raise
        return StateFolder(root, chosen[0].name)


def old_logs(folder: StateFolder, name: str, count: int) -> Iterator[tuple[str, str]]:
    """The last lines of each instance of an ended `up`. `name`: an instance or a process; empty: all.

    Raises `NoSuchNameError` without a log of that name.
    """
    names = {path: (path.stem, path.stem.rpartition("-")[0]) for path in sorted(folder.logs.glob("*.log"))}
    chosen = [path for path, own in names.items() if name in ("", *own)]
    if not chosen and name:
        raise NoSuchNameError(
            no_such("service or instance", name, {one for own in names.values() for one in own if one})
        )
    for path in chosen:
        for line in last_lines(path, count):
            yield path.stem, line


class RunningUp:
    """A running `up`."""

    def __init__(self, folder: StateFolder, record: RunRecord) -> None:
        self.folder = folder
        self.record = record

    def processes(self) -> list[dict[str, Any]]:
        """The status of every instance."""
        rows: list[dict[str, Any]] = self._ask("GET", "/v1/processes")
        return rows

    def kill(self, instance: str, signal: str) -> None:
        self._ask("POST", "/v1/kill", {"instance": instance, "signal": signal}, _WRITE_TIMEOUT)

    def scale(self, service: str, replicas: int, version: str | None = None) -> dict[str, list[str]]:
        """Scales to that number of instances; returns when it is reached, with those `added` and `removed`."""
        body = {"service": service, "replicas": replicas, "version": version}
        answer: dict[str, list[str]] = self._ask("POST", "/v1/scale", body, timeout=_SCALE_TIMEOUT)
        return answer

    def logs(self, name: str, count: int, *, follow: bool) -> Iterator[tuple[str, str]]:
        """(instance, line), oldest first; with `follow` until the `up` ends."""
        query = urlencode({"of": name, "lines": count, "follow": "1" if follow else "0"})
        response = self._send("GET", f"/v1/logs?{query}", timeout=None if follow else _READ_TIMEOUT)
        try:
            for text in response:
                entry = json.loads(text)
                yield entry["instance"], entry["line"]
        except (HTTPException, OSError):
            return  # the `up` ended in the middle of an answer that has no other end
        finally:
            response.close()

    def rollouts(self) -> list[dict[str, Any]]:
        """Every rollout: the resource with its status."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/rollouts", timeout=_WRITE_TIMEOUT)
        return found

    def apply_rollout(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Creates or changes a rollout. Returns the `rollout`, and `notices` about ignored fields."""
        answer: dict[str, Any] = self._ask("POST", "/v1/rollouts", document, _WRITE_TIMEOUT)
        return answer

    def patch_rollout(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Applies a merge patch (RFC 7396) to the resource; returns it."""
        found: dict[str, Any] = self._ask("PATCH", f"/v1/rollouts/{quote(name)}", patch, _WRITE_TIMEOUT)
        return found

    def delete_rollout(self, name: str) -> None:
        """Deletes the rollout; its `onDelete` decides on the traffic rules."""
        self._ask("DELETE", f"/v1/rollouts/{quote(name)}", timeout=_WRITE_TIMEOUT)

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = _READ_TIMEOUT
    ) -> Any:
        with self._send(method, path, body, timeout) as response, self._translate_errors(method, timeout):
            return json.loads(response.read())

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float | None = _READ_TIMEOUT
    ) -> HTTPResponse:
        connection = UnixConnection(self.record.socket, timeout)
        with self._translate_errors(method, timeout), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            stack.callback(response.close)
            if response.status != _OK:
                text = json.loads(response.read()).get("error", "")
                raise RefusedError(text)
            stack.pop_all()
        return response

    @contextlib.contextmanager
    def _translate_errors(self, method: str, timeout: float | None) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            late = f"the `up` of {self.folder.path.name} has not answered within {timeout:g} s: it is busy, or stopped"
            if method == "GET":
                raise UnreachableError(f"{late}; try again.") from error
            unknown = "The request runs once it continues: check with `meshwright ps` and `meshwright rollout get`"
            raise UnreachableError(f"{late}. {unknown} before a retry.") from error
        except (HTTPException, OSError) as error:
            missing = isinstance(error, FileNotFoundError)
            what = "is still starting, or already stopping" if missing else f"does not answer ({error})"
            raise UnreachableError(f"the `up` of {self.folder.path.name} {what}; try again.") from error
