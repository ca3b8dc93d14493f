"""Running a service's process, and its exit on startup errors."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from meshwright.errors import ValidationError
from services.common.runtime.errors import StoreUnavailableError, with_cause

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run_service(service: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the service to its end. Startup errors exit with a message and no traceback."""
    try:
        asyncio.run(service())
    except ValidationError as error:
        sys.exit(str(error))
    except StoreUnavailableError as error:
        sys.exit(with_cause(error))
