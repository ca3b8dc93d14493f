"""Runs the mesh's components as processes: `python -m meshwright.local.components registry port=8501`.

The command line runs them by the same door. Imports happen late because each part is a process of its own, and none
of them needs what the others do.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_type_hints

from meshwright import logs
from meshwright.config import load_config, parse
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.local.topology.spec import COMPONENTS, CONTROLPLANE, REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence


def run(name: str, settings: dict[str, Any]) -> None:
    """Serves a component until SIGINT or SIGTERM. `settings` have precedence over the environment."""
    kind, serve = _component(name)
    config = load_config(kind, **settings)
    logs.configure(name, instance=name, level=str(getattr(config, "log_level", "info")))
    asyncio.run(serve(config))


def read_settings(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Parses `field=value` texts by the component's configuration. Raises `ValidationError`."""
    kind, _ = _component(name)
    hints = get_type_hints(kind)
    known = {item.name: hints[item.name] for item in fields(kind) if "variable" in item.metadata}
    values: dict[str, Any] = {}
    problems = []
    for text in texts:
        key, _, value = text.partition("=")
        try:
            values[key] = parse(value, known[key])
        except KeyError:
            problems.append(Violation(key, f"no such setting; known are {', '.join(known)}"))
        except ValueError as error:
            problems.append(Violation(key, f"{error}, not {value!r}"))
    if problems:
        raise ValidationError(f"the command line of {name}", problems)
    return values


def configuration(name: str) -> type[Any]:
    """The dataclass of a component's settings."""
    return _component(name)[0]


def _component(name: str) -> tuple[type[Any], Callable[[Any], Coroutine[Any, Any, None]]]:
    if name == REGISTRY:
        from meshwright.dev import consul  # noqa: PLC0415

        return consul.RegistryConfig, consul.run
    if name == CONTROLPLANE:
        from meshwright import controlplane  # noqa: PLC0415

        return controlplane.ControlPlaneConfig, controlplane.run
    from meshwright.dev import traces  # noqa: PLC0415

    return traces.TracesConfig, traces.run


def main(arguments: Sequence[str]) -> int:
    """Runs the component in the first argument with the settings in the others."""
    if not arguments or arguments[0] not in COMPONENTS:
        sys.stderr.write(f"expected one of {', '.join(COMPONENTS)}\n")
        return 2
    try:
        run(arguments[0], read_settings(arguments[0], arguments[1:]))
    except MeshwrightError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
