"""Calls a method by name with JSON, without its proto: the contract comes from the server's reflection service.

gRPC server reflection (grpc.reflection.v1alpha) returns file descriptors. Those of the services are added to a separate
pool, the method is looked up, and protobuf's JSON mapping builds and reads the messages. All requests use the channel
of the call itself, so a call through the mesh needs no address.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshwright.errors import MeshwrightError, ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

_INFRASTRUCTURE = ("grpc.", "envoy.")
"""Services of every server in the mesh; a bare method name does not match their methods."""
_DETAILS_KEY = "grpc-status-details-bin"
_DETAILS = {
    descriptor.full_name: getattr(error_details_pb2, name)
    for name, descriptor in error_details_pb2.DESCRIPTOR.message_types_by_name.items()
}


class CallFailedError(MeshwrightError):
    """The call ended with a status other than OK. The message has its code, message and details."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code().name
        self.message = error.details() or ""
        self.details = list(_details(error))
        lines = [f"{self.code}: {self.message}", *(f"  {json.dumps(detail)}" for detail in self.details)]
        super().__init__("\n".join(lines))


class ReflectionClient:
    """Finds and calls methods over one channel."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float) -> None:
        """`timeout`: seconds for each call."""
        self._channel = channel
        self._timeout = timeout
        self._pool = descriptor_pool.DescriptorPool()
        self._files: set[str] = set()
        self.trailing: dict[str, str] = {}
        """The trailing metadata of the last call."""

    async def find(self, name: str) -> MethodDescriptor:
        """Finds the method: `Add`, `Calculator/Add` or `demo.calculator.v1.Calculator/Add`."""
        services = [
            service for service in await self._services() if not service.startswith(_INFRASTRUCTURE) or service in name
        ]
        for service in services:
            await self._learn(reflection_pb2.ServerReflectionRequest(file_containing_symbol=service))
        methods = [method for service in services for method in self._pool.FindServiceByName(service).methods]
        wanted = name.replace("/", ".").lstrip(".")
        found = [method for method in methods if f".{method.full_name}".endswith(f".{wanted}")]
        if len(found) == 1:
            return found[0]
        raise ValidationError("the method", [Violation(name, _which(wanted, found or methods, unknown=not found))])

    async def call(
        self, method: MethodDescriptor, requests: Sequence[Any], metadata: Sequence[tuple[str, str]] = ()
    ) -> AsyncIterator[dict[str, Any]]:
        """Calls the method with JSON values; yields each response as one. Raises `CallFailedError`."""
        messages = _messages(method, requests)
        answer_kind = message_factory.GetMessageClass(method.output_type)
        shape = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
        callable_ = getattr(self._channel, "_".join(shape))(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_kind.FromString,
        )
        request = iter(messages) if method.client_streaming else messages[0]
        call = callable_(request, timeout=self._timeout, metadata=tuple(metadata))
        try:
            if method.server_streaming:
                async for answer in call:
                    yield _as_json(answer)
            else:
                yield _as_json(await call)
            self.trailing = {str(key): str(value) for key, value in await call.trailing_metadata() or ()}
        except grpc.aio.AioRpcError as error:
            raise CallFailedError(error) from error

    async def _services(self) -> list[str]:
        answer = await self._ask(reflection_pb2.ServerReflectionRequest(list_services=""))
        return [service.name for service in answer.list_services_response.service]

    async def _learn(self, request: Any) -> None:
        """Adds the files of a response to the pool, after their imports."""
        answer = await self._ask(request)
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        told = {file.name: file for file in files}
        for file in files:
            await self._add(file, told)

    async def _add(self, file: Any, told: dict[str, Any]) -> None:
        if file.name in self._files:
            return
        self._files.add(file.name)
        for name in file.dependency:
            if name in told:
                await self._add(told[name], told)
            elif name not in self._files:
                await self._learn(reflection_pb2.ServerReflectionRequest(file_by_filename=name))
        self._pool.Add(file)

    async def _ask(self, request: Any) -> Any:
        """One request to the reflection service."""
        stub = reflection_pb2_grpc.ServerReflectionStub(self._channel)
        try:
            async for answer in stub.ServerReflectionInfo(iter([request]), timeout=self._timeout):
                if answer.HasField("error_response"):
                    raise MeshwrightError(f"the server cannot describe itself: {answer.error_response.error_message}")
                return answer
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                raise MeshwrightError("the server has no reflection service, so its methods are not known") from error
            raise CallFailedError(error) from error
        raise MeshwrightError("the server ended the reflection stream without an answer")


def read_json(text: str) -> list[Any]:
    """Parses concatenated JSON values. Raises `ValidationError` with line and column."""
    decoder = json.JSONDecoder()
    values, at = [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise ValidationError("the request", [Violation(where, f"is not JSON: {error.msg}")]) from error
        values.append(value)
    return values


def _messages(method: MethodDescriptor, requests: Sequence[Any]) -> list[Message]:
    if method.client_streaming:
        values = [one for value in requests for one in (value if isinstance(value, list) else [value])]
    else:
        values = list(requests) or [{}]
        if len(values) > 1:
            raise ValidationError("the request", [Violation(method.name, f"takes one message, not {len(values)}")])
    kind = message_factory.GetMessageClass(method.input_type)
    plain = not method.input_type.full_name.startswith("google.protobuf.")
    messages = []
    for value in values:
        try:
            if plain and not isinstance(value, dict):
                raise TypeError("a message is a JSON object: {...}")
            messages.append(json_format.ParseDict(value, kind()))
        except (json_format.ParseError, TypeError, AttributeError) as error:
            fields = ", ".join(field.json_name for field in method.input_type.fields) or "none"
            reason = str(error).partition("\n")[0].rstrip(".")
            what = f"is not a {method.input_type.full_name}: {reason}. Its fields: {fields}"
            raise ValidationError("the request", [Violation("", what)]) from error
    return messages


def _as_json(message: Message) -> dict[str, Any]:
    value: dict[str, Any] = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return value


def _which(wanted: str, methods: Iterable[MethodDescriptor], *, unknown: bool) -> str:
    names = sorted(f"{method.containing_service.name}/{method.name}" for method in methods)
    if not unknown:
        return f"means several; say which: {', '.join(names)}"
    near = difflib.get_close_matches(wanted.rpartition(".")[2], [name.partition("/")[2] for name in names], n=1)
    return f"no such method; did you mean {near[0]}?" if near else f"no such method; there are {', '.join(names)}"


def _details(error: grpc.aio.AioRpcError) -> Iterator[dict[str, Any]]:
    """The `google.rpc` details of a failed call, as JSON."""
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode("latin-1"))
        for packed in status.details:
            yield _unpacked(packed)


def _unpacked(packed: any_pb2.Any) -> dict[str, Any]:
    name = packed.TypeName()
    if name not in _DETAILS:
        return {"@type": name}
    message = _DETAILS[name].FromString(packed.value)
    return {name.rpartition(".")[2]: json_format.MessageToDict(message)}
