"""A gateway that finds the chat at a given address: `python -m bench.realtime_gateway CHAT`."""

from __future__ import annotations

import asyncio
import sys

from meshwright.config import environment, load_config
from meshwright.model import Address
from meshwright.testing import resolving
from services.gateway.__main__ import DEFAULTS, GatewayConfig, run


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    with resolving({"chat": [Address(host, int(port))]}):
        asyncio.run(run(load_config(GatewayConfig, DEFAULTS | environment())))


if __name__ == "__main__":
    main()
