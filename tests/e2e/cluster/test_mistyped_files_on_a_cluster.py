"""The same mistyped files, by `kubectl apply` on a real API server: its message names the field, nothing is made."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.kubernetes.cluster import apply_crd, kubectl, needs_cluster
from support.kubernetes.mistyped import BASE, TAKES, TYPOS, Mistyped
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def namespace() -> str:
    return os.environ.get("MESHWRIGHT_E2E_NAMESPACE", f"typos-{uuid.uuid4().hex[:6]}")


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="module")
async def made(namespace: str) -> AsyncIterator[None]:
    await apply_crd()
    await kubectl("create", "namespace", namespace, check=False)

    async def served() -> bool:
        return (await kubectl("get", "versionedrollouts", "--namespace", namespace, check=False))[0] == 0

    await eventually(served, timeout=30)
    yield
    await kubectl("delete", "namespace", namespace, "--wait=false", check=False)


async def apply(namespace: str, text: str) -> tuple[int, str]:
    """As a dry run: of a file with two documents kubectl makes the one that is good."""
    arguments = ("apply", "--namespace", namespace, "--filename=-", "--dry-run=server")
    return await kubectl(*arguments, given=text, check=False)


async def test_kubectl_apply_names_the_field_of_each(namespace: str) -> None:
    refused = [typo for typo in TYPOS if typo.kubectl != TAKES]
    assert len(refused) >= 30
    silent = [found for typo in refused if (found := await _unnamed(namespace, typo))]
    assert not silent, "\n\n".join(silent)


async def test_the_file_itself_is_taken(namespace: str) -> None:
    code, said = await apply(namespace, BASE)
    assert code == 0, said


async def _unnamed(namespace: str, typo: Mistyped) -> str:
    """What kubectl said, where it took the file or did not name the field."""
    code, said = await apply(namespace, typo.text)
    return "" if code and typo.word in said else f"{typo.name}: code {code}, {typo.word!r} is not in: {said}"
