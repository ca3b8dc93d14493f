"""The slides about splitting an application: discovery and failure isolation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.tour.guide import Guide

CALLS = 60


async def discovery(guide: Guide) -> None:
    """Service discovery and inter-service communication."""
    printed = await guide.command("ps", lines=30)
    guide.check("calculator-2" in printed, "two instances of the calculator")
    for _ in range(6):
        answer = await guide.ask("POST", "/api/v3/calculator/add", {"a": 1, "b": 2}, quiet=True)
        guide.check(answer.json() == {"value": 3.0}, f"3, not {answer.text}")
    answering = await guide.instances("calculator")
    guide.saw(f"the gateway found {', '.join(sorted(answering))} by the name `calculator`: no address is configured")
    guide.trace_link()


async def isolation(guide: Guide) -> None:
    """Why split your application? Failure isolation: an instance is killed, and no call fails."""
    await guide.command("kill", "calculator-1")
    failed = 0
    for _ in range(CALLS):
        answer = await guide.ask("POST", "/api/v3/calculator/multiply", {"a": 6, "b": 7}, quiet=True)
        failed += answer.status_code != 200
        await asyncio.sleep(0.02)
    guide.saw(f"calculator-1 was killed with -9; of the {CALLS} calls that followed, {failed} failed")
    guide.check(failed == 0, "no failed call: the other instance answers")

    async def back() -> bool:
        return "calculator-1" in await guide.instances("calculator")

    await guide.until("calculator-1 again", back)
    guide.saw("calculator-1 has been started again, and is back in Consul")
    count = len(await guide.instances("calculator"))
    await guide.command("scale", "calculator", str(count + 1))

    async def more() -> bool:
        return len(await guide.instances("calculator")) > count

    await guide.until("one instance more", more)
    guide.saw("one service is scaled, all others stay as they are")
    await guide.command("scale", "calculator", str(count))
