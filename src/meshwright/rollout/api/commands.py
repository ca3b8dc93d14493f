"""Commands on a rollout as merge patches (RFC 7396) of the resource, for the laptop and for Kubernetes.

Fields are declarative (`spec.paused`, `spec.version`). A command runs once: it is an annotation with a token, and each
token is run one time. Pure: the token is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError
from meshwright.rollout.api import status_document
from meshwright.rollout.api.vocabulary import COMMAND_ANNOTATION, CommandName, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping


class CommandRejectedError(MeshwrightError):
    """The command is not possible in the rollout's phase."""


def command(name: CommandName, token: str) -> dict[str, Any]:
    """The patch that gives a command."""
    return {"metadata": {"annotations": {COMMAND_ANNOTATION: f"{name.value}@{token}"}}}


def pause() -> dict[str, Any]:
    """Pauses the rollout until `promote`."""
    return {"spec": {"paused": True}}


def promote(document: Mapping[str, Any], token: str, *, full: bool) -> dict[str, Any]:
    """Continues; with `full`, skips all steps. Raises `CommandRejectedError` where there is nothing to promote."""
    status = status_document.read(document.get("status"))
    if status.phase in {Phase.HEALTHY, Phase.UPDATING, Phase.ABORTED} and not document["spec"].get("paused"):
        hint = "; `retry` executes its steps again" if status.phase is Phase.ABORTED else ""
        raise _refusal(document, f"there is nothing to promote: it is {status.phase}{hint}")
    patch = command(CommandName.PROMOTE_FULL if full else CommandName.PROMOTE, token)
    return {**patch, "spec": {"paused": False}} if document["spec"].get("paused") else patch


def abort(document: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Routes all calls back to the stable version. Raises `CommandRejectedError` where no rollout is in progress."""
    status = status_document.read(document.get("status"))
    if status.phase not in {Phase.PROGRESSING, Phase.PAUSED}:
        raise _refusal(document, f"there is nothing to abort: it is {status.phase}")
    return command(CommandName.ABORT, token)


def retry(document: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Executes the steps again with the refused version. Raises `CommandRejectedError` unless it was aborted."""
    status = status_document.read(document.get("status"))
    if status.phase is not Phase.ABORTED:
        raise _refusal(document, f"there is nothing to retry: it is {status.phase}")
    return command(CommandName.RETRY, token)


def set_version(version: str) -> dict[str, Any]:
    """Requests another version."""
    return {"spec": {"version": version}}


def undo(document: Mapping[str, Any], version: str = "") -> dict[str, Any]:
    """Requests `version` of the history; without one, the version before the requested one."""
    status = status_document.read(document.get("status"))
    wanted = document["spec"].get("version") or status.target
    promoted = [promotion.version for promotion in status.history]
    if version and version not in promoted:
        known = ", ".join(dict.fromkeys(promoted)) or "none"
        raise _refusal(document, f"{version} was never promoted here; known are {known}")
    earlier = [one for one in promoted if one != wanted]
    if not version and not earlier:
        raise _refusal(document, f"there is no version before {wanted} to go back to")
    return set_version(version or earlier[-1])


def merged(document: Any, patch: Any) -> Any:
    """The document with a merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _refusal(document: Mapping[str, Any], text: str) -> CommandRejectedError:
    return CommandRejectedError(f"rollout {document['metadata']['name']}: {text}")
