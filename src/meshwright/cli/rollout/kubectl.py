"""The rollouts of a cluster through `kubectl`, which selects the cluster and authenticates.

Its flags are handed on as they were typed. What it says of an error is said again where it leaves open what to do: no
such namespace, no rights, no definition of a VersionedRollout, no cluster.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError, UnreachableError
from meshwright.name_suggestions import no_such
from meshwright.rollout.api.parsing import parse
from meshwright.rollout.api.vocabulary import GROUP, KIND, PLURAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RESOURCE = f"{PLURAL}.{GROUP}"
_SECONDS = 60.0
_AGAIN_SECONDS = 0.5
_UNREACHABLE = re.compile(
    r"was refused|no such host|i/o timeout|Unable to connect|deadline exceeded|no route to host|no configuration"
)
_LOG_LINE = re.compile(r"[EWIF][0-9]{4} [0-9:.]+ ")
"""kubectl's log lines of its retries, before its error."""
_NO_DEFINITION = re.compile(r"doesn't have a resource type|no matches for kind|could not find the requested resource")
_FORBIDDEN = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource')
_NO_NAMESPACE = re.compile(r'namespaces "(?P<name>[^"]*)" not found')


class KubectlError(MeshwrightError):
    """`kubectl` failed; the message has its reason."""


class NoSuchRolloutError(KubectlError):
    """There is no rollout of that name."""


class Kubectl:
    """A cluster. `flags`: kubectl's own, as typed, such as `--context=kind-meshwright`. `namespace`: empty for that of
    the context; `everywhere`: all of them. `selector`: labels that listed rollouts must have."""

    def __init__(
        self, namespace: str = "", flags: Sequence[str] = (), *, everywhere: bool = False, selector: str = ""
    ) -> None:
        found = shutil.which("kubectl")
        if found is None:
            raise UnreachableError("kubectl is not on the PATH; it is how a cluster is reached")
        self._command = [found, *flags]
        self._given = namespace
        self._scope = [f"--namespace={namespace}"] if namespace else []
        self._listing = (["--all-namespaces"] if everywhere else self._scope) + (
            [f"--selector={selector}"] if selector else []
        )
        self.everywhere = everywhere

    @property
    def namespace(self) -> str:
        """The selected namespace."""
        if self._given:
            return self._given
        with contextlib.suppress(MeshwrightError):
            view = ("config", "view", "--minify", "--output=jsonpath={.contexts[0].context.namespace}")
            return self._run(*view).strip() or "default"
        return "default"

    @property
    def where(self) -> str:
        """The listed scope, as the end of a sentence."""
        return "in any namespace" if self.everywhere else f"in namespace {self.namespace}"

    def all(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self._run("get", RESOURCE, *self._listing, "--output=json"))["items"]
        if not items:
            self._check_namespace()
        return items

    def get(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._run("get", RESOURCE, name, *self._scope, "--output=json"))
        return document

    def changes(self, name: str) -> Iterator[dict[str, Any]]:
        """Each rollout now, and after each change; `name`: that one alone, until it is deleted."""
        if name:
            self.get(name)  # a watch of a missing rollout would never return
        else:
            self.all()
        scope = [name, *self._scope] if name else self._listing
        command = [*self._command, "get", RESOURCE, *scope, "--watch", "--output-watch-events", "--output=json"]
        while True:
            for event in self._events(command):
                if event["type"] == "DELETED":
                    if name:
                        raise NoSuchRolloutError(f"{name} was deleted")
                elif event["type"] != "BOOKMARK":
                    yield event["object"]
            time.sleep(_AGAIN_SECONDS)  # the API server ends each watch after a while

    def _events(self, command: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The documents that kubectl prints, one after the other."""
        with subprocess.Popen(  # noqa: S603 - kubectl of the user's own PATH, no shell
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            try:
                yield from _documents(child.stdout)
                said = child.stderr.read()
            finally:
                child.terminate()
        if child.returncode > 0:
            raise self._error(said)

    def apply(self, document: Mapping[str, Any]) -> list[str]:
        parse(document)
        self._run("apply", "--filename=-", *self._scope, given=json.dumps(document))
        return []

    def patch(self, name: str, patch: Mapping[str, Any]) -> None:
        self._run("patch", RESOURCE, name, *self._scope, "--type=merge", f"--patch={json.dumps(patch)}")

    def delete(self, name: str) -> None:
        self._run("delete", RESOURCE, name, *self._scope)

    def names(self, *question: str) -> list[str]:
        """The names of a kind of object, such as `namespaces`, for completion; empty where kubectl fails."""
        with contextlib.suppress(MeshwrightError):
            return self._run(*question, seconds=2.0).split()
        return []

    def listed(self) -> list[str]:
        """The names of the rollouts, for completion."""
        template = '--output=jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}'
        return self.names("get", RESOURCE, *self._scope, template)

    def _run(self, *arguments: str, given: str | None = None, seconds: float = _SECONDS) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - kubectl of the user's own PATH, no shell
                [*self._command, *arguments], input=given, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            what = " ".join(arguments[:1])
            raise UnreachableError(f"kubectl {what} did not end within {seconds:g} s") from None
        if done.returncode:
            raise self._error(done.stderr or f"kubectl ended with {done.returncode}")
        return done.stdout

    def _error(self, said: str) -> MeshwrightError:
        """kubectl's error, with the remedy."""
        lines = [line for line in said.strip().splitlines() if not _LOG_LINE.match(line)]
        text = re.sub(r"^error: ", "", "\n".join(lines) or said.strip())
        if _NO_DEFINITION.search(text):
            return KubectlError(
                f"the cluster knows no {KIND}: install the chart (helm install), or its definitions alone "
                f"(kubectl apply --server-side --field-manager=helm -f helm/meshwright/crds); kubectl says: {text}"
            )
        if (found := _FORBIDDEN.search(text)) is not None:
            return KubectlError(
                f"{found['user']} may not {found['verb']} rollouts {self.where}: a role that may (view, edit and admin "
                f"of a cluster with the chart do) has to be bound to it; kubectl says: {text}"
            )
        if (found := _NO_NAMESPACE.search(text)) is not None:
            return KubectlError(self._no_namespace(found["name"]))
        if f"{RESOURCE} " in text and "(NotFound)" in text:
            return self._no_rollout(text)
        return UnreachableError(text) if _UNREACHABLE.search(text) else KubectlError(text)

    def _no_rollout(self, text: str) -> MeshwrightError:
        found = re.search(r'"(?P<name>[^"]*)" not found', text)
        if found is None:
            return KubectlError(text)
        try:
            names = [document["metadata"]["name"] for document in self.all()]
        except KubectlError as error:
            return error
        # The name may exist in another namespace.
        hint = "" if names else "; -n names another namespace, and `get -A` lists all rollouts"
        return NoSuchRolloutError(no_such("rollout", found["name"], names, none=f"there are none {self.where}") + hint)

    def _check_namespace(self) -> None:
        """Raises `KubectlError` for a missing namespace, for which the API server returns an empty list."""
        if self.everywhere:
            return
        try:
            self._run("get", "namespace", self.namespace, "--output=name")
        except KubectlError as error:
            if "there is no namespace" in str(error):
                raise
            # Without the right to read namespaces there is no such error.

    def _no_namespace(self, name: str) -> str:
        known = self.names("get", "namespaces", "--output=jsonpath={.items[*].metadata.name}")
        said = no_such("namespace", name, known) if known else ""
        return f"there is no namespace {name}" + (f": {said}" if "did you mean" in said else "")


def _documents(stream: Any) -> Iterator[dict[str, Any]]:
    """JSON documents, one after the other, as they come; some releases of kubectl indent them, some do not."""
    decoder, held = json.JSONDecoder(), ""
    for line in stream:
        held = (held + line).lstrip()
        while held and line.rstrip().endswith("}"):
            try:
                document, end = decoder.raw_decode(held)
            except json.JSONDecodeError:  # the end of a part of it
                break
            held = held[end:].lstrip()
            yield document
