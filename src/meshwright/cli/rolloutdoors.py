"""Two places where rollouts live, behind one door: a running `up` here, or a cluster through `kubectl`.

`kubectl` knows how to reach and authenticate to the cluster that a person means; nothing of that is repeated here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

from meshwright.errors import MeshwrightError, UnreachableError
from meshwright.local import client
from meshwright.names import no_such
from meshwright.rollout.parse import parse, parse_on_laptop
from meshwright.rollout.vocabulary import GROUP, PLURAL

if TYPE_CHECKING:
    from collections.abc import Mapping

RESOURCE = f"{PLURAL}.{GROUP}"
_PATIENCE = 60.0


class Door(Protocol):
    """Resources in, resources out."""

    def all(self) -> list[dict[str, Any]]:
        """Every rollout."""

    def get(self, name: str) -> dict[str, Any]:
        """One rollout; raises `MeshwrightError` where there is none of that name."""

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        """Create or change; returns notices for the person. Raises `BadInputError` for a resource that is not valid."""

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        """Apply a merge patch (RFC 7396)."""

    def delete(self, name: str) -> None:
        """Delete it; the traffic rules go or stay as its `onDelete` says."""


class Here:
    """The `up` that runs on this machine."""

    def __init__(self, topology: str) -> None:
        self._running = client.find(topology)

    def all(self) -> list[dict[str, Any]]:
        return self._running.rollouts()

    def get(self, name: str) -> dict[str, Any]:
        found = {document["metadata"]["name"]: document for document in self.all()}
        if name not in found:
            raise client.RefusedError(no_such("rollout", name, found))
        return found[name]

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        parse_on_laptop(document)
        notices: list[str] = self._running.apply_rollout(document)["notices"]
        return notices

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        self._running.patch_rollout(name, patch)

    def delete(self, name: str) -> None:
        self._running.delete_rollout(name)


class KubectlError(MeshwrightError):
    """`kubectl` said no; the text is its own."""


class Kubectl:
    """A cluster. `namespace`: empty for the one of the current context."""

    def __init__(self, namespace: str) -> None:
        found = shutil.which("kubectl")
        if found is None:
            raise UnreachableError("kubectl is not on the PATH; it is how a cluster is reached")
        self._command = [found, *(["--namespace", namespace] if namespace else [])]

    def all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._run("get", RESOURCE, "--output=json"))["items"]
        return items

    def get(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._run("get", RESOURCE, name, "--output=json"))
        return document

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        parse(document)
        self._run("apply", "--filename=-", given=json.dumps(document))
        return []

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        self._run("patch", RESOURCE, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def delete(self, name: str) -> None:
        self._run("delete", RESOURCE, name)

    def _run(self, *arguments: str, given: str | None = None) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - kubectl of the person's own PATH, no shell
                [*self._command, *arguments],
                input=given,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnreachableError(f"kubectl did not answer within {_PATIENCE:g} s") from None
        if done.returncode:
            raise KubectlError(done.stderr.strip() or f"kubectl ended with {done.returncode}")
        return done.stdout
