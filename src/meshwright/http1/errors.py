"""Why a request has no response. Each text is the reason alone: the caller knows the address and the request."""

from __future__ import annotations

import os
import socket
import ssl

from meshwright.errors import MeshwrightError


class HttpError(MeshwrightError):
    """A request that got no response."""


class ConnectError(HttpError):
    """There was no connection: the request was certainly not sent."""


class DisconnectedError(HttpError):
    """The connection ended before a byte of the response had come."""


class BrokenResponseError(HttpError):
    """What came is no whole HTTP response."""


def reason(error: BaseException) -> str:
    """What the operating system or OpenSSL says of a connection, without the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it: {error.reason or error}"
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()  # asyncio's own text repeats the address
    return (error.strerror or str(error) or type(error).__name__).lower()
