"""A real cluster, reached through kubectl as a person would. Which one: KUBECONFIG; nothing else is ever touched."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = shutil.which("kubectl") or shutil.which(ROOT / ".tools/helm/kubectl")
NO_CLUSTER = "no cluster: KUBECONFIG names none, or there is no kubectl"

CRD = ROOT / "helm/meshwright/crds/versionedrollouts.yaml"

needs_cluster = pytest.mark.skipif(not (os.environ.get("KUBECONFIG") and KUBECTL), reason=NO_CLUSTER)


async def kubectl(
    *arguments: str, given: str | None = None, check: bool = True, timeout: float = 120
) -> tuple[int, str]:
    """Run kubectl; returns its exit code and all that it printed. With `check` it must succeed."""
    assert KUBECTL
    child = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(child.communicate((given or "").encode()), timeout)
    assert child.returncode is not None
    text = out.decode()
    assert not (check and child.returncode), f"kubectl {' '.join(arguments)}: {text}"
    return child.returncode, text


async def apply_crd() -> None:
    """The CRD of this checkout. In Helm's name: Helm refuses to change what another manager has written."""
    as_helm = ("--server-side", "--force-conflicts", "--field-manager=helm")
    await kubectl("apply", *as_helm, "--filename", str(CRD))
