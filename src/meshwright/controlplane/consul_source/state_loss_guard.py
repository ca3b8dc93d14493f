"""Never an empty set over a good one because Consul lost its state. Pure; time comes in as an argument.

A Consul that comes back empty looks like a mesh from which every instance was removed. What tells the two apart is
how we learn of it: a removal arrives over a watch that never broke, while a loss of state comes with a broken
connection, an index that fell, or everything vanishing in one answer. Any of these makes us *suspicious*: what was
published last becomes the baseline, and a recovery window opens (each further sign extends it). Within it we publish
the union of baseline and observation. An instance that re-registered counts from then on as observed, its removal
included; until its check has passed once it keeps the health it had. A name, a chain or a policy that is gone is kept;
one that is there again, in whatever form, replaces the kept one. The window ends early once the observation has
everything of the baseline: Consul lost nothing. At its end Consul is asked afresh, and what it says then is believed:
what did not come back within the window is gone. An observation from before the end never counts: what it misses may
be back without a sign, as when a token was refused a while what it may read.

The cost: an instance that died while Consul was away stays published until the window's end. Clients see that it cannot
be connected to, and retry elsewhere. Outside a window removals are believed at once, the last instance's too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.catalog import Catalog
from meshwright.model import Health, folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.controlplane.model.catalog import Target
    from meshwright.model import Address, Instance, ServiceName

    Chains = Mapping[ServiceName, Mapping[str, Any]]
    _Mark = tuple[str, str | Address]

_MANY = 2


@dataclass(slots=True)
class _Window:
    baseline: Catalog
    reason: str
    since: float
    until: float
    seen: set[tuple[Target, _Mark]] = field(default_factory=set)
    passed: set[tuple[Target, _Mark]] = field(default_factory=set)
    asked: bool = False
    """Whether its end was noticed, and Consul is being asked afresh."""


class StateLossGuard:
    """Decides what of an observed catalog to believe. `window`: seconds that a recovery may take."""

    def __init__(self, window: float) -> None:
        self._length = window
        self._published = Catalog()
        self._window: _Window | None = None
        self.held: frozenset[ServiceName] = frozenset()
        """Services of which something is published that Consul does not know now."""

    @property
    def until(self) -> float | None:
        """When the recovery window ends; None while there is none, and once `wants_proof` has said so."""
        return None if self._window is None or self._window.asked else self._window.until

    @property
    def reason(self) -> str:
        """Why we are suspicious; empty when we are not."""
        return "" if self._window is None else self._window.reason

    def suspect(self, reason: str, now: float) -> None:
        """A sign that Consul may have lost its state."""
        if self._published.chains:
            self._window = _Window(self._published, reason, now, now + self._length)

    def wants_proof(self, now: float) -> bool:
        """Whether the window is over, so that Consul must be asked everything afresh; true once for each window."""
        window = self._window
        if window is None or window.asked or now < window.until:
            return False
        window.asked = True
        return True

    def chains(self, observed: Chains) -> Chains:
        """The chains to go by, of those observed: the instances of their targets are the ones to observe next."""
        if self._window is None:
            return observed
        kept = {
            name: chain
            for name, chain in self._window.baseline.chains.items()
            if name not in observed or (is_default(observed[name]) and not is_default(chain))
        }
        return {**observed, **kept}

    def settle(self, observed: Catalog, began: float, now: float, *, whole: bool = True) -> Catalog:
        """What to publish. `began`: when the first query behind `observed` was sent. `whole`: none of them was refused,
        so that nothing of it is a last good value, which is no proof that Consul has it."""
        if self._window is None and _size(observed) == 0 and _size(self._published) >= _MANY:
            self.suspect("every instance of every service vanished at once", now)
            began = now - 1
        if self._window is not None and began >= self._window.until:
            self._window = None
        self.held = frozenset()
        result = observed
        if self._window is not None:
            result = self._recover(self._window, observed, fresh=whole and began > self._window.since)
        self._published = result
        return result

    def _recover(self, window: _Window, observed: Catalog, *, fresh: bool) -> Catalog:
        if fresh:
            _note(window, observed)
        base = window.baseline
        instances = dict(observed.instances)
        for target, kept in base.instances.items():
            merged = _merge(window, target, kept, observed.instances.get(target, ()))
            instances[target] = merged if merged != observed.instances.get(target) else observed.instances[target]
        chains = self.chains(observed.chains)
        policies = {**base.policies, **observed.policies}
        result = Catalog(chains, instances, policies, {**base.callers, **observed.callers})
        self.held = _held(result, observed)
        if fresh and not self.held:
            self._window = None
            return observed
        return result


def is_default(chain: Mapping[str, Any]) -> bool:
    """Whether a chain is what Consul compiles for a service without config entries."""
    nodes = tuple((chain.get("Nodes") or {}).values())
    return len(nodes) == 1 and bool((nodes[0].get("Resolver") or {}).get("Default"))


def _note(window: _Window, observed: Catalog) -> None:
    for target, instances in observed.instances.items():
        for instance in instances:
            marks = {(target, mark) for mark in _marks(instance)}
            window.seen |= marks
            if instance.health is Health.PASSING:
                window.passed |= marks


def _marks(instance: Instance) -> tuple[_Mark, _Mark]:
    """By what an instance is known again: either is enough.

    Consul tells instances apart by node and id; two nodes may have the same id. Which node it is may change with the
    Consul that lost its state, and the address of the instance does not.
    """
    name = folded(instance.id)
    return (name, folded(instance.node)), (name, instance.address)


def _merge(
    window: _Window, target: Target, kept: tuple[Instance, ...], observed: tuple[Instance, ...]
) -> tuple[Instance, ...]:
    before = {mark: instance for instance in kept for mark in _marks(instance)}
    there = {mark for instance in observed for mark in _marks(instance)}
    merged = [_health(window, target, before, instance) for instance in observed]
    for instance in kept:
        marks = _marks(instance)
        if there.isdisjoint(marks) and window.seen.isdisjoint((target, mark) for mark in marks):
            merged.append(instance)
    return tuple(sorted(merged, key=lambda instance: (instance.id, instance.node)))


def _health(window: _Window, target: Target, kept: Mapping[_Mark, Instance], now: Instance) -> Instance:
    marks = _marks(now)
    before = next((kept[mark] for mark in marks if mark in kept), None)
    unproven = window.passed.isdisjoint((target, mark) for mark in marks)
    if before is not None and unproven and now.health is Health.CRITICAL and before.address == now.address:
        return replace(now, health=before.health, weight=before.weight)
    return now


def _held(result: Catalog, observed: Catalog) -> frozenset[ServiceName]:
    held = {name for name, chain in result.chains.items() if observed.chains.get(name) != chain}
    held |= result.policies.keys() - observed.policies.keys()
    held |= result.callers.keys() - observed.callers.keys()
    for target, instances in result.instances.items():
        if instances != observed.instances.get(target, ()):
            held.add(target.service)
    return frozenset(held)


def _size(catalog: Catalog) -> int:
    return sum(len(instances) for instances in catalog.instances.values())
