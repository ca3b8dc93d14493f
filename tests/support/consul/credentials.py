"""Certificates of tests, made by openssl, and tokens of a Consul that denies everything else.

The tokens have the rules that the reference gives. The fixture `pki` is in conftest.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.consul.transport import Transport
from support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from meshwright.config import ConsulConfig


NAME = "consul.example"
"""The one name that the server's certificate is good for."""
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make certificates with")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificate(folder: Path, name: str, *extensions: str) -> None:
    """NAME.pem and NAME.key, signed by folder/ca.pem."""
    request, key = folder / f"{name}.csr", folder / f"{name}.key"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
    config = folder / f"{name}.ext"
    config.write_text("\n".join(["basicConstraints=CA:FALSE", *extensions]))
    signing = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", str(request), *signing, "-extfile", str(config), "-out", str(folder / f"{name}.pem"))


def authority(folder: Path) -> None:
    """ca, server (for `NAME`) and client, each as .pem and .key."""
    subject = ["-subj", "/CN=test authority", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    files = ["-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject)
    certificate(folder, "server", f"subjectAltName=DNS:{NAME}", "extendedKeyUsage=serverAuth")
    certificate(folder, "client", "extendedKeyUsage=clientAuth")


def rules(heading: str, block: int = 0) -> list[str]:
    """The rules of a block under a heading of the page."""
    page = (ROOT / "docs/how-to/consul.md").read_text("utf-8")
    text = page.split(f"### {heading}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(r"```hcl\n(.*?)```", text, re.DOTALL)[block].splitlines()


async def part_of(admin: ConsulConfig, lines: list[str]) -> ConsulConfig:
    """The configuration of a part that has a token with these rules."""
    async with Transport(admin) as http:

        async def put(path: str, body: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = (await http.request("PUT", path, body=json.dumps(body).encode())).json()
            return found

        policy = await put("/v1/acl/policy", {"Name": uuid.uuid4().hex, "Rules": "\n".join(lines)})
        made = await put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})
    return replace(admin, token=made["SecretID"])
