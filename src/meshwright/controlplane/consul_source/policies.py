"""The policy documents as they are in Consul's KV, parsed; of a broken one the last good stays. Pure.

Keys differ by case and names of services do not: of several documents for one service, that in lower case is in force,
or the first, and the others are problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.controlplane.model.policy import KV_PREFIX, Policy, parse_policy
from meshwright.errors import ValidationError, Violation
from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.consul import KvPair
    from meshwright.controlplane.problems import Problems


class Policies:
    """The policies in force."""

    def __init__(self, problems: Problems) -> None:
        self.parsed: dict[ServiceName, Policy] = {}
        self.changed = False
        """Whether a document came, went or is another one since `take`."""
        self._problems = problems
        self._documents: dict[ServiceName, bytes] = {}

    def see(self, pairs: Iterable[KvPair]) -> None:
        """Take in everything under the prefix."""
        documents = self._choose({pair.key.removeprefix(KV_PREFIX): pair.value for pair in pairs})
        self.changed |= documents != self._documents
        for service in self._documents.keys() - documents.keys():
            self.parsed.pop(service, None)
            self._problems.clear(KV_PREFIX + service)
        for service, document in documents.items():
            if self._documents.get(service) != document:
                self._parse(service, document)
        self._documents = documents

    def _choose(self, found: Mapping[str, bytes]) -> dict[ServiceName, bytes]:
        chosen: dict[ServiceName, str] = {}
        doubled: list[Violation] = []
        for key in sorted(found, key=lambda key: (key != folded(key), key)):
            name = ServiceName(folded(key))
            if chosen.setdefault(name, key) != key:
                what = f"is not in force: {KV_PREFIX}{chosen[name]} is about the same service, delete one of them"
                doubled.append(Violation(KV_PREFIX + key, what))
        if doubled:
            self._problems.add(KV_PREFIX, *doubled)
        else:
            self._problems.clear(KV_PREFIX)
        return {name: found[key] for name, key in chosen.items() if name}

    def take(self) -> dict[ServiceName, Policy]:
        """The policies in force, as a copy."""
        self.changed = False
        return dict(self.parsed)

    def _parse(self, service: ServiceName, document: bytes) -> None:
        topic = KV_PREFIX + service
        try:
            self.parsed[service] = parse_policy(service, document)
        except ValidationError as error:
            problems = (Violation(f"{topic} {problem.path}".rstrip(), problem.message) for problem in error.violations)
            self._problems.add(topic, *problems)
        else:
            self._problems.clear(topic)
