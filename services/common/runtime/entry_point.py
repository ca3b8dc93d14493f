"""Running a service's process: its configuration, and its exit on startup errors."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from meshwright.config import environment, load_config
from meshwright.errors import ValidationError
from services.common.runtime.errors import StoreUnavailableError, with_cause

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

C = TypeVar("C")


def run_service(run: Callable[[C], Coroutine[Any, Any, None]], config: type[C], defaults: Mapping[str, str]) -> None:
    """Loads `config` from the environment, over `defaults`, and runs the service to its end.

    Startup errors exit with a message and no traceback.
    """
    try:
        asyncio.run(run(load_config(config, {**defaults, **environment()})))
    except ValidationError as error:
        sys.exit(str(error))
    except StoreUnavailableError as error:
        sys.exit(with_cause(error))
