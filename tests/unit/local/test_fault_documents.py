from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from meshwright.consul import Indexed, KvPair
from meshwright.controlplane.model.policy import parse_policy
from meshwright.errors import MeshwrightError, ValidationError
from meshwright.local.mesh import faults
from meshwright.model import ServiceName


@dataclass
class FakeKv:
    """Consul's KV as far as an edit needs it. `rival` is written by another client before each of the first writes."""

    document: bytes | None = None
    index: int = 0
    rivals: list[bytes] = field(default_factory=list)

    async def kv_get(self, key: str) -> Indexed[KvPair | None]:
        pair = None if self.document is None else KvPair(key, self.document, self.index, 1)
        return Indexed(pair, self.index)

    async def kv_list(self, _prefix: str) -> Indexed[tuple[KvPair, ...]]:
        return Indexed((), self.index)

    async def kv_put(self, key: str, value: bytes, *, cas: int) -> bool:
        if self.rivals:
            self.document, self.index = self.rivals.pop(0), self.index + 1
        if cas != (self.index if self.document is not None else 0):
            return False
        self.document, self.index = value, self.index + 1
        return True

    async def kv_delete(self, key: str, *, cas: int) -> bool:
        assert cas == self.index
        self.document = None
        return True


ABORT = faults.fault("14", None, 30.0, [])


def test_a_fault_is_what_the_control_plane_understands() -> None:
    made = faults.fault("unavailable", "200ms", 25.0, [("x-user", "ada")])
    assert made == {
        "headers": [{"name": "x-user", "exact": "ada"}],
        "abort": {"status": "UNAVAILABLE", "percentage": 25.0},
        "delay": {"duration": "200ms", "percentage": 25.0},
    }
    policy = parse_policy(ServiceName("cart"), json.dumps({"faults": [made]}).encode())
    assert policy.faults[0].abort is not None
    assert policy.faults[0].abort.status == 14


def test_a_fault_without_abort_and_delay_is_refused() -> None:
    with pytest.raises(ValidationError, match="give --abort, --delay or both"):
        faults.fault(None, None, None, [])


def test_a_fault_replaces_the_one_for_the_same_calls_and_special_ones_go_first() -> None:
    general, special = faults.fault("14", None, None, []), faults.fault(None, "1s", None, [("a", "b")])
    document = faults.with_fault(faults.with_fault({}, general), special)
    assert document == {"faults": [special, general]}
    assert faults.with_fault(document, ABORT) == {"faults": [special, ABORT]}


async def test_other_keys_of_the_document_stay() -> None:
    kv = FakeKv(b'{"timeout": "3s"}', 4)
    await faults.edit(kv, "cart", lambda document: faults.with_fault(document, ABORT))  # type: ignore[arg-type]
    assert kv.document is not None
    assert json.loads(kv.document) == {"timeout": "3s", "faults": [ABORT]}
    await faults.edit(kv, "cart", faults.without_faults)  # type: ignore[arg-type]
    assert json.loads(kv.document) == {"timeout": "3s"}


async def test_an_edit_starts_again_where_another_writer_was_faster() -> None:
    kv = FakeKv(b'{"timeout": "3s"}', 4, rivals=[b'{"timeout": "5s"}', b'{"timeout": "6s"}'])
    await faults.edit(kv, "cart", lambda document: faults.with_fault(document, ABORT))  # type: ignore[arg-type]
    assert kv.document is not None
    assert json.loads(kv.document) == {"timeout": "6s", "faults": [ABORT]}


async def test_an_edit_gives_up_on_a_document_that_never_holds_still() -> None:
    kv = FakeKv(b"{}", 4, rivals=[b"{}"] * 100)
    with pytest.raises(MeshwrightError, match="changes faster than it can be written; nothing was done"):
        await faults.edit(kv, "cart", lambda document: faults.with_fault(document, ABORT))  # type: ignore[arg-type]


async def test_the_last_fault_takes_an_empty_document_with_it() -> None:
    kv = FakeKv()
    await faults.edit(kv, "cart", lambda document: faults.with_fault(document, ABORT))  # type: ignore[arg-type]
    await faults.edit(kv, "cart", faults.without_faults)  # type: ignore[arg-type]
    assert kv.document is None


async def test_a_wrong_fault_is_refused_and_nothing_is_written() -> None:
    kv = FakeKv(b'{"timeout": "3s"}', 4)
    wrong = faults.fault(None, "soon", None, [])
    with pytest.raises(ValidationError, match=r"faults\[0\].delay.duration: expected a duration"):
        await faults.edit(kv, "cart", lambda document: faults.with_fault(document, wrong))  # type: ignore[arg-type]
    assert kv.document == b'{"timeout": "3s"}'


async def test_a_document_that_is_not_json_is_not_overwritten() -> None:
    kv = FakeKv(b"{", 4)
    with pytest.raises(ValidationError, match=r"is not JSON: .*; mend or delete it"):
        await faults.edit(kv, "cart", faults.without_faults)  # type: ignore[arg-type]


class Keys:
    """Several documents, by key."""

    def __init__(self, **documents: bytes) -> None:
        self.documents = {f"meshwright/policy/{name}": document for name, document in documents.items()}

    def _pair(self, key: str) -> KvPair | None:
        return KvPair(key, self.documents[key], 1, 1) if key in self.documents else None

    async def kv_get(self, key: str) -> Indexed[KvPair | None]:
        return Indexed(self._pair(key), 1)

    async def kv_list(self, prefix: str) -> Indexed[tuple[KvPair | None, ...]]:
        return Indexed(tuple(self._pair(key) for key in sorted(self.documents) if key.startswith(prefix)), 1)

    async def kv_put(self, key: str, value: bytes, *, cas: int) -> bool:
        assert cas == (1 if key in self.documents else 0)
        self.documents[key] = value
        return True


@pytest.mark.parametrize(
    ("documents", "changed"),
    [
        ({}, "cart"),
        ({"Cart": b"{}"}, "Cart"),
        ({"Cart": b"{}", "cart": b"{}", "CART": b"{}"}, "cart"),
        ({"Cart": b"{}", "CART": b"{}"}, "CART"),
    ],
)
async def test_the_document_that_is_in_force_is_changed_however_its_key_is_spelled(
    documents: dict[str, bytes], changed: str
) -> None:
    kv = Keys(**documents)
    await faults.edit(kv, "cArt", lambda document: faults.with_fault(document, ABORT))  # type: ignore[arg-type]
    found = {key.rpartition("/")[2] for key, document in kv.documents.items() if b"faults" in document}
    assert found == {changed}
    assert await faults.document(kv, "CARt") == {"faults": [ABORT]}  # type: ignore[arg-type]
