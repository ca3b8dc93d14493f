"""The rollouts of a running `up`, opened on first use.

The engine needs a connection to Consul, a tracer and half a second of imports; an `up` without rollouts saves them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Protocol, Self

    from meshwright.local.rollouts.rollouts import Rollouts
    from meshwright.local.supervisor.supervisor import Supervisor

    class PrintEvent(Protocol):
        """Prints an event of a rollout."""

        def __call__(self, rollout: str, text: str, *, warning: bool) -> None: ...


class RolloutManager:
    """The rollouts of one `up`, kept in `folder`. An async context manager."""

    def __init__(self, supervisor: Supervisor, folder: Path, say: PrintEvent) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._say = say
        self._stack = contextlib.AsyncExitStack()
        self._opening = asyncio.Lock()
        self._rollouts: Rollouts | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def resume(self) -> None:
        """Continues the rollouts of an earlier run."""
        if self._folder.is_dir() and any(self._folder.glob("*.json")) and self._supervisor.plan.registry.address:
            await self.open()

    def rollout_of(self, service: str) -> str:
        """The name of the service's rollout, which sets its number of instances; empty without one."""
        return self._rollouts.of(service) if self._rollouts is not None else ""

    async def open(self) -> Rollouts:
        """The rollouts. Raises `ValidationError` for a topology without a registry."""
        async with self._opening:
            if self._rollouts is None:
                self._rollouts = await self._make()
            return self._rollouts

    async def _make(self) -> Rollouts:
        # Slow imports.
        from meshwright.config import ConsulConfig, ServiceConfig, adopt, load_config  # noqa: PLC0415
        from meshwright.consul import Consul  # noqa: PLC0415
        from meshwright.local.rollouts.rollouts import Rollouts, TerminalEventRecorder  # noqa: PLC0415
        from meshwright.rollout.adapters.trace_exporter import TraceExporter  # noqa: PLC0415
        from meshwright.telemetry import Telemetry  # noqa: PLC0415

        plan = self._supervisor.plan
        if not plan.registry.address:
            what = "a rollout needs a registry, and this topology has none"
            raise ValidationError("the rollout", [Violation("mesh.registry", what)])
        adopt({name: plan.environment[name] for name in plan.mesh})
        telemetry = Telemetry(load_config(ServiceConfig, service="meshwright-rollouts"))
        self._stack.push_async_callback(telemetry.close)
        consul = await self._stack.enter_async_context(Consul(load_config(ConsulConfig)))
        traces = await self._stack.enter_async_context(TraceExporter(telemetry, plan.traces_url))
        recorder = TerminalEventRecorder(self._say, traces)
        rollouts = Rollouts(self._supervisor, self._folder, consul, telemetry, recorder)
        return await self._stack.enter_async_context(rollouts)
