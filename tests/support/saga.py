"""What tests of the saga's services share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

import meshwright

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def refusal(call: Awaitable[object]) -> meshwright.ErrorDetails:
    """How the call was refused."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return meshwright.details(error)
    raise AssertionError(f"the call succeeded: {answer}")
