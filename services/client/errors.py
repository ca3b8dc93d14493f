"""What the gateway refuses, and that it does not answer, as one error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

NO_ANSWER = 0
_TOO_MANY = 429
_AWAY = frozenset({NO_ANSWER, 502, 503, 504})


class ProblemError(Exception):
    """A problem document of the gateway (RFC 9457), or no answer: `status` is 0 then.

    `code` is gRPC's name of the status, `reason` a constant, `detail` words for people, `fields` what is wrong with
    which field of the request.
    """

    def __init__(
        self, status: int, detail: str, code: str = "", reason: str = "", fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.reason = reason
        self.fields = dict(fields or {})

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed a little later: no answer, an overloaded or a missing gateway."""
        return self.status in _AWAY or self.status == _TOO_MANY


def problem_of(response: httpx.Response) -> ProblemError:
    """The problem that a response with an error status tells; its status line where it tells none."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return ProblemError(response.status_code, f"the gateway answers {response.status_code}")
    return problem_of_document({"status": response.status_code, **document})


def problem_of_document(document: Mapping[str, Any]) -> ProblemError:
    """The problem that a document tells."""
    return ProblemError(
        int(document.get("status", NO_ANSWER)),
        str(document.get("detail") or document.get("title") or "the gateway gives no reason"),
        str(document.get("code", "")),
        str(document.get("reason", "")),
        _fields(document.get("errors")),
    )


def _fields(errors: Any) -> dict[str, str]:
    if not isinstance(errors, list):
        return {}
    return {str(item.get("field", "")): str(item.get("detail", "")) for item in errors if isinstance(item, dict)}
