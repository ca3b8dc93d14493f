"""Errors, sorted by whose fault they are.

`ValidationError` is for user input: configuration, topology files, config entries, policy documents.
It says where and what, and lists every problem at once.

The `ServiceError` family is for calls. A handler raises one of them, or an error of its own domain that the
server maps to one of them; the error interceptor turns it into a gRPC status with `google.rpc` details
(AIP-193). The names are those of gRPC's status codes. Any other exception that escapes a handler is a bug:
the caller sees INTERNAL and nothing of its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MeshwrightError(Exception):
    """The root of everything that Meshwright raises on purpose."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is invalid. `path`: a variable, a path in a document, a line; empty for the whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ValidationError(MeshwrightError, ValueError):
    """Invalid user input. `source` names it; `violations` lists everything that was found."""

    reason: ClassVar[str] = ""
    """A word for programs, of kinds that have one."""

    def __init__(self, source: str, violations: Sequence[Violation]) -> None:
        self.source = source
        self.violations = tuple(violations)
        lines = "\n".join(f"  {violation}" for violation in self.violations)
        super().__init__(f"{source} is not valid:\n{lines}")


class UnreachableError(MeshwrightError):
    """A peer that this process needs (Consul, the control plane) could not be reached, or did not answer in time."""


class ServiceError(MeshwrightError):
    """The outcome of a call that is not a success. Use the subclasses.

    `reason` is an UPPER_SNAKE_CASE constant for programs (`google.rpc.ErrorInfo.reason`), `metadata` its details.
    """

    code: ClassVar[str] = "UNKNOWN"
    """The name of the gRPC status code."""

    def __init__(self, message: str, *, reason: str | None = None, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code
        self.metadata = dict(metadata or {})


class InvalidArgumentError(ServiceError):
    """The request is wrong whatever the system's state. `fields` maps a field's path to what is wrong with it."""

    code = "INVALID_ARGUMENT"

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.fields = dict(fields or {})


class NotFoundError(ServiceError):
    """What the request names does not exist."""

    code = "NOT_FOUND"


class AlreadyExistsError(ServiceError):
    """What the request would create is already there."""

    code = "ALREADY_EXISTS"


class FailedPreconditionError(ServiceError):
    """The system is not in the state that the request needs; trying again does not help until it changes."""

    code = "FAILED_PRECONDITION"


class AbortedError(ServiceError):
    """A concurrent change got in the way; the caller may start its whole operation again."""

    code = "ABORTED"


class OutOfRangeError(ServiceError):
    """The request reads past what there is."""

    code = "OUT_OF_RANGE"


class UnauthenticatedError(ServiceError):
    """The caller has not said, or could not prove, who it is."""

    code = "UNAUTHENTICATED"


class PermissionDeniedError(ServiceError):
    """The caller is known and may not do this."""

    code = "PERMISSION_DENIED"


class ResourceExhaustedError(ServiceError):
    """A quota or a limit is used up."""

    code = "RESOURCE_EXHAUSTED"


class UnimplementedError(ServiceError):
    """This server does not do that; another, or a later release, may."""

    code = "UNIMPLEMENTED"


class UnavailableError(ServiceError):
    """The service cannot answer now; the mesh retries this by default."""

    code = "UNAVAILABLE"
