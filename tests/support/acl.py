"""Tokens of a Consul that denies everything else, with the rules of docs/how-to/consul.md."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meshwright.consul.transport import Transport
from support.consul import ROOT

if TYPE_CHECKING:
    from meshwright.config import ConsulConfig


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
