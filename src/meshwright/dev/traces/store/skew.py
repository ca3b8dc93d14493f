"""What is odd about a trace's shape: parents that are not there, and clocks that disagree.

The rule is Jaeger's (its clock skew adjuster): a child of another host that does not lie within its parent
suggests that the hosts' clocks differ, by as much as would centre the child in the parent. Jaeger moves nothing
unless told to, and says in a warning what it would have moved. So do we. A host is named by the resource's
`host.id`, `host.ip` or `host.name`; spans without any count as being on hosts of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright import durations

if TYPE_CHECKING:
    from meshwright.dev.traces.store.spans import Resource, StoredSpan
    from meshwright.dev.traces.store.trace_store import Trace

_HOST_KEYS = ("host.id", "host.ip", "host.name")


def skew_warnings(trace: Trace) -> dict[bytes, list[str]]:
    """The warnings of each span that has any, by span id."""
    found: dict[bytes, list[str]] = {}
    hosts: dict[Resource, str] = {}
    for span in trace.spans.values():
        if span.resource not in hosts:
            hosts[span.resource] = _host(span.resource)
    children, roots = _tree(trace, found)
    waiting = [(root, 0) for root in roots]
    seen: set[bytes] = set()
    while waiting:
        parent, skew = waiting.pop()
        seen.add(parent.span_id)
        for child in children.get(parent.span_id, ()):
            host = hosts[child.resource]
            apart = not host or host != hosts[parent.resource]
            delta = _delta(child, parent) if apart else skew
            if delta:
                text = f"clock skew adjustment disabled; not applying calculated delta of {durations.show(delta)}"
                found.setdefault(child.span_id, []).append(text)
            waiting.append((child, delta))
    for span_id in trace.spans.keys() - seen:
        found.setdefault(span_id, []).append("the span is its own ancestor")
    return found


def _tree(trace: Trace, found: dict[bytes, list[str]]) -> tuple[dict[bytes, list[StoredSpan]], list[StoredSpan]]:
    children: dict[bytes, list[StoredSpan]] = {}
    roots = []
    for span in trace.spans.values():
        if span.parent_id in trace.spans:
            children.setdefault(span.parent_id, []).append(span)
            continue
        roots.append(span)
        if span.parent_id:
            text = f"parent span ID={span.parent_id.hex()} is not in the trace; skipping clock skew adjustment"
            found.setdefault(span.span_id, []).append(text)
    return children, roots


def _delta(child: StoredSpan, parent: StoredSpan) -> int:
    """Nanoseconds that would centre the child in its parent; 0 where it lies within."""
    spare = parent.duration - child.duration
    if spare < 0:
        return max(0, parent.start - child.start)
    if child.start >= parent.start and child.end <= parent.end:
        return 0
    return parent.start + spare // 2 - child.start


def _host(resource: Resource) -> str:
    attributes = {item.key: item.value for item in resource.message().attributes}
    for key in _HOST_KEYS:
        if key in attributes:
            value = attributes[key]
            items = value.array_value.values
            return items[0].string_value if items else value.string_value
    return ""
