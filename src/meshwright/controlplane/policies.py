"""The policy documents as they are in Consul's KV, parsed; of a broken one the last good stays. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.controlplane.policy import KV_PREFIX, Policy, parse_policy
from meshwright.errors import BadInputError, Problem
from meshwright.model import ServiceName

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        documents = {ServiceName(pair.key.removeprefix(KV_PREFIX)): pair.value for pair in pairs}
        documents.pop(ServiceName(""), None)
        self.changed |= documents != self._documents
        for service in self._documents.keys() - documents.keys():
            self.parsed.pop(service, None)
            self._problems.clear(KV_PREFIX + service)
        for service, document in documents.items():
            if self._documents.get(service) != document:
                self._parse(service, document)
        self._documents = documents

    def take(self) -> dict[ServiceName, Policy]:
        """The policies in force, as a copy."""
        self.changed = False
        return dict(self.parsed)

    def _parse(self, service: ServiceName, document: bytes) -> None:
        topic = KV_PREFIX + service
        try:
            self.parsed[service] = parse_policy(service, document)
        except BadInputError as error:
            problems = (Problem(f"{topic} {problem.where}".rstrip(), problem.what) for problem in error.problems)
            self._problems.add(topic, *problems)
        else:
            self._problems.clear(topic)
