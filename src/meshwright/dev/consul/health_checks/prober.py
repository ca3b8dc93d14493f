"""One run of one health check: gRPC, HTTP or TCP.

A gRPC probe needs a channel, and opening one costs several times what the call does. A channel is therefore kept
per check as long as its answers are good; the first failure closes it, so that recovery is never delayed by gRPC's
own reconnection backoff and a dead instance leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshwright.dev.consul.catalog.models import CRITICAL, PASSING, WARNING

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.agent import CheckSpec

Outcome = tuple[str, str]
"""Status and output."""

_TOO_MANY_REQUESTS = 429
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)


class Prober:
    """Runs probes; holds the HTTP session and the gRPC channels that they share."""

    def __init__(self) -> None:
        self._http: aiohttp.ClientSession | None = None
        # By identity of the spec, which its run holds on to: a check that begins anew under an old id, for an instance
        # that is back at another port, must not find the channel that the run before is about to close.
        self._channels: dict[int, grpc.aio.Channel] = {}

    async def close(self) -> None:
        """Close every connection."""
        for key in tuple(self._channels):
            await self._drop(key)
        if self._http is not None:
            await self._http.close()

    async def probe(self, spec: CheckSpec) -> Outcome:
        """Run the check once; whatever goes wrong is its outcome."""
        if spec.grpc:
            return await self._grpc(spec)
        if spec.http:
            return await self._get(spec)
        return await _tcp(spec)

    async def forget(self, spec: CheckSpec) -> None:
        """The check runs no more: let go of its channel."""
        await self._drop(id(spec))

    async def _grpc(self, spec: CheckSpec) -> Outcome:
        target, _, service = spec.grpc.partition("/")
        channel = self._channels.get(id(spec))
        if channel is None:
            channel = self._channels[id(spec)] = await self._open(spec, target)
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = await stub.Check(request, timeout=spec.timeout)
        except grpc.aio.AioRpcError as error:
            await self._drop(id(spec))
            code = "".join(part.capitalize() for part in error.code().name.split("_"))
            return CRITICAL, f"rpc error: code = {code} desc = {error.details()}"
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return CRITICAL, "gRPC application didn't report service healthy"
        return PASSING, f"gRPC check {spec.grpc}: success"

    async def _open(self, spec: CheckSpec, target: str) -> grpc.aio.Channel:
        if not spec.grpc_use_tls:
            return grpc.aio.insecure_channel(target, options=_OPTIONS)
        if not spec.tls_skip_verify:
            return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
        trusted, name = await asyncio.to_thread(_presented_certificate, target, spec.timeout)
        override = (("grpc.ssl_target_name_override", name),) if name else ()
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(trusted), options=(*_OPTIONS, *override))

    async def _drop(self, key: int) -> None:
        channel = self._channels.pop(key, None)
        if channel is not None:
            await channel.close()

    async def _get(self, spec: CheckSpec) -> Outcome:
        if self._http is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._http = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "Consul Health Check"})
        options: dict[str, Any] = {"ssl": False} if spec.tls_skip_verify else {}
        headers = [(key, value) for key, values in (spec.header or {}).items() for value in values]
        try:
            async with self._http.request(
                spec.method,
                spec.http,
                headers=headers,
                data=spec.body.encode() or None,
                timeout=aiohttp.ClientTimeout(total=spec.timeout),
                **options,
            ) as answer:
                text = (await answer.content.read(4096)).decode("utf-8", "replace")
                output = f"HTTP {spec.method} {spec.http}: {answer.status} {answer.reason} Output: {text}"
                return _http_status(answer.status), output
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return CRITICAL, f'{spec.method.capitalize()} "{spec.http}": {error or "deadline exceeded"}'


def _http_status(code: int) -> str:
    if 200 <= code < 300:  # noqa: PLR2004 - the class of a status code
        return PASSING
    return WARNING if code == _TOO_MANY_REQUESTS else CRITICAL


async def _tcp(spec: CheckSpec) -> Outcome:
    host, _, port = spec.tcp.rpartition(":")
    try:
        async with asyncio.timeout(spec.timeout):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        reason = "connect: connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
        return CRITICAL, f"dial tcp {spec.tcp}: {reason or 'i/o timeout'}"
    writer.close()
    return PASSING, f"TCP connect {spec.tcp}: Success"


def _presented_certificate(target: str, timeout: float) -> tuple[bytes | None, str]:
    """What the target presents and a name that it is good for: to trust exactly that and to expect that name.

    gRPC has no switch that turns verification off.
    """
    host, _, port = target.rpartition(":")
    address = (host.strip("[]"), int(port))
    try:
        pem = ssl.get_server_certificate(address, timeout=timeout)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pem)
        # Only a certificate that was verified is decoded, so it is looked at once more, this time trusted.
        with socket.create_connection(address, timeout) as plain, context.wrap_socket(plain) as secured:
            decoded: Any = secured.getpeercert() or {}
    except (OSError, ValueError):
        return None, ""
    names = [value for kind, value in decoded.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}]
    common = [value for part in decoded.get("subject", ()) for key, value in part if key == "commonName"]
    return pem.encode(), next(iter([*names, *common]), "").replace("*", "any", 1)
