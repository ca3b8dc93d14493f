"""Converts statuses of gRPC calls to errors of the gateway."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc

import meshwright
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def translate_grpc_errors() -> Iterator[None]:
    """Converts gRPC errors to ApiError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        details = meshwright.error_details(error)
        raise ApiError(details.code, details.message, reason=details.reason, fields=details.fields) from error
