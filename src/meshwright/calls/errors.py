"""Errors on their way to a caller, and back.

A handler raises; what the caller sees is a status with `google.rpc` details (AIP-193): an `ErrorInfo` with a reason
for programs and the service as its domain, for a wrong request also a `BadRequest` with the fields, for a bug a
`RequestInfo` with the trace id and nothing of the exception.

An `AioRpcError` that a handler lets through comes from a service behind it. Statuses that say "not now" keep their
meaning one hop further; all others (NOT_FOUND of something that our caller never named) are a bug of the handler
like any other exception.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from meshwright.errors import InvalidArgumentError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

log = logging.getLogger(__name__)

DETAILS_KEY = "grpc-status-details-bin"
INTERNAL_MESSAGE = "internal error"
_PASSED_ON = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


class UnreadableRequestError(Exception):
    """The bytes of a request are no message of the method's type. By gRPC's table of statuses: INTERNAL."""


class NoRequestError(Exception):
    """A caller has sent no message to a method that takes one. By gRPC's table of statuses: UNIMPLEMENTED."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told, and whether the error was an expected one."""

    code: grpc.StatusCode
    message: str
    details: bytes
    """A serialised `google.rpc.Status`."""
    expected: bool


class ErrorMap:
    """A domain's exceptions and the `ServiceError`s that they mean; a subclass follows its nearest base.

    Where one means `InvalidArgumentError` and has an attribute `fields`, callers get these as field violations.
    """

    def __init__(self, errors: Mapping[type[Exception], type[ServiceError]] | None = None) -> None:
        self._errors = dict(errors or {})

    def translate(self, error: BaseException) -> ServiceError | None:
        """The `ServiceError` that an exception means; None for one that is not mapped."""
        if isinstance(error, ServiceError):
            return error
        for kind in type(error).__mro__:
            meant = self._errors.get(kind)
            if meant is not None and issubclass(meant, InvalidArgumentError):
                return meant(str(error), reason=_reason(kind), fields=getattr(error, "fields", None))
            if meant is not None:
                return meant(str(error), reason=_reason(kind))
        return None


def _reason(kind: type) -> str:
    """`EmailTakenError` -> `EMAIL_TAKEN`: the name of the domain's exception is the reason."""
    name = kind.__name__.removesuffix("Error").removesuffix("Exception") or kind.__name__
    parts = [f"_{letter}" if letter.isupper() and index else letter for index, letter in enumerate(name)]
    return "".join(parts).upper()


def describe(error: BaseException, errors: ErrorMap, domain: str, trace_id: str) -> Failure:
    """The status and details for `error`; `domain` is the service's name. Never raises."""
    try:
        found = _expected(error, errors, domain)
    except Exception:  # an error that cannot even be told (no text, wrong types) is one more bug
        log.exception("an error of %s cannot be told to its caller", domain)
        found = None
    if found is not None and found.code is not grpc.StatusCode.OK:
        return found
    details: list[Message] = [error_details_pb2.ErrorInfo(reason="INTERNAL", domain=domain)]
    if trace_id:
        details.append(error_details_pb2.RequestInfo(request_id=trace_id))
    return _failure(grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE, details, expected=False)


def _expected(error: BaseException, errors: ErrorMap, domain: str) -> Failure | None:
    meant = errors.translate(error)
    if meant is not None:
        return _meant(meant, domain)
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _PASSED_ON:
        info = error_details_pb2.ErrorInfo(reason=f"DEPENDENCY_{error.code().name}", domain=domain)
        return _failure(error.code(), "a service that this one needs did not answer", [info], expected=True)
    if isinstance(error, UnreadableRequestError):
        info = error_details_pb2.ErrorInfo(reason="UNREADABLE_REQUEST", domain=domain)
        return _failure(grpc.StatusCode.INTERNAL, str(error), [info], expected=True)
    if isinstance(error, NoRequestError):
        info = error_details_pb2.ErrorInfo(reason="NO_REQUEST", domain=domain)
        return _failure(grpc.StatusCode.UNIMPLEMENTED, str(error), [info], expected=True)
    return None


def _meant(error: ServiceError, domain: str) -> Failure:
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata)
    details: list[Message] = [info]
    if isinstance(error, InvalidArgumentError) and error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=name, description=what)
            for name, what in error.fields.items()
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    return _failure(grpc.StatusCode[error.code], error.message, details, expected=True)


def _failure(code: grpc.StatusCode, message: str, details: list[Message], *, expected: bool) -> Failure:
    message = message.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return Failure(code, message, status.SerializeToString(), expected)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What a status said beyond its code and message."""

    code: str
    """Name of the gRPC status code."""
    message: str
    reason: str = ""
    domain: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    """Field path to what is wrong with it."""
    request_id: str = ""
    """The trace id to report, where the error was a bug."""


def error_details(error: grpc.RpcError) -> ErrorDetails:
    """Read a failed call's status back, `google.rpc` details included where it has any."""
    code = error.code()
    message = error.details() or ""
    found: dict[str, object] = {}
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            found = _unpack(value)
    return ErrorDetails(code.name, message, **found)  # type: ignore[arg-type]


def _unpack(raw: bytes) -> dict[str, object]:
    found: dict[str, object] = {}
    try:
        status = status_pb2.Status.FromString(raw)
        for packed in status.details:
            info = error_details_pb2.ErrorInfo()
            bad = error_details_pb2.BadRequest()
            request = error_details_pb2.RequestInfo()
            if packed.Unpack(info):
                found |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
            elif packed.Unpack(bad):
                found["fields"] = {item.field: item.description for item in bad.field_violations}
            elif packed.Unpack(request):
                found["request_id"] = request.request_id
    except DecodeError:  # another implementation's details; the status stands
        return {}
    return found
