"""Publishes a rollout's Kubernetes Events and its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kopf

from meshwright.rollout.api.vocabulary import API_VERSION, KIND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshwright.rollout.adapters.trace_exporter import TraceExporter
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.reconcile.decision import Event, FinishedSpan


class KubernetesEventRecorder:
    """The `EventRecorder` port on Kubernetes. Called within kopf's handlers, whose queue posts the events."""

    def __init__(self, traces: TraceExporter) -> None:
        self._traces = traces

    async def events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        reference = kopf.Body(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"name": rollout.name, "namespace": rollout.namespace, "uid": rollout.uid},
            }
        )
        for event in events:
            kopf.event(reference, type=event.type.value, reason=event.reason, message=event.message)

    async def spans(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        await self._traces.export(rollout, spans)
