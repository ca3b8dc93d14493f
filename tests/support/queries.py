"""Every query of the chart, and what of it may have no data on a mesh that is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.monitoring import panels
from support.scraping import filled_in, selectors

if TYPE_CHECKING:
    from typing import Any

    from support.scraping import Prometheus

EMPTY = {
    'reason="PauseStep"': "no rollout is in a timed pause at this moment",
    "meshwright_translate_seconds_bucket": "nothing changed within the window",
    "meshwright_rollout_duration_seconds": "no rollout has ended yet",
    "meshwright_rollout_analysis_verdicts_total": "no analysis has come to a verdict yet",
    "meshwright_rollout_failures_total": "no pass has failed",
    'status=~"5..': "no request was answered 5xx",
    'version="",status=~': "each call reached an instance",
    'status=~"DATA_LOSS': "no call has failed",
    'alertstate="firing"': "no alert fires",
}
"""Selectors by a part of theirs, and why there may be no such series."""


def allowed(selector: str) -> bool:
    return any(part in selector for part in EMPTY)


async def without_data(prometheus: Prometheus, rules: dict[str, Any], **variables: str) -> list[str]:
    """The panels and rules whose queries give nothing, and need not.

    A panel, and what is recorded, gives a row. An alert gives none until it fires: each series that it reads is there.
    """
    lacking = []
    for dashboard, title, expression in panels():
        asked = filled_in(expression, **variables)
        if not await prometheus.query(asked) and not any(allowed(each) for each in selectors(asked)):
            lacking.append(f"{dashboard}, {title}: {asked}")
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                if not await prometheus.query(rule["expr"]):
                    lacking.append(f"{rule['record']}: {rule['expr']}")
                continue
            await prometheus.query(rule["expr"])
            needed = [each for each in selectors(rule["expr"]) if not allowed(each)]
            counted = [(each, await prometheus.query(f"count({each})")) for each in needed]
            lacking += [f"{rule['alert']}: {each}" for each, found in counted if not found]
    return lacking
