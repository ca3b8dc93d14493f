"""The steps of a rollout, for any strategy: one state machine serves canary and blue-green.

Blue-green is a canary whose steps are: all instances, the preview route, the first analysis, an optional pause, all
calls at once, the second analysis. Every plan ends with all calls on the target, which is then promoted.
"""

from __future__ import annotations

import hashlib
import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from meshwright.rollout.api.routing import WHOLE
from meshwright.rollout.api.spec import AnalysisStep, BlueGreen, Pause, SetCanaryScale, SetHeaderRoute, SetWeight

if TYPE_CHECKING:
    from meshwright.rollout.api.spec import Api, Canary, Rollout, Step
    from meshwright.rollout.api.status import RolloutStatus


def steps(rollout: Rollout, *, skip: bool = False) -> tuple[Step, ...]:
    """All steps; with `skip`, only the last one."""
    if skip:
        return (SetWeight(WHOLE),)
    if isinstance(rollout.strategy, BlueGreen):
        return _blue_green(rollout.strategy)
    return _canary(rollout.strategy)


def _canary(strategy: Canary) -> tuple[Step, ...]:
    weights = [step.weight for step in strategy.steps if isinstance(step, SetWeight)]
    whole = bool(weights) and weights[-1] == WHOLE
    return strategy.steps if whole else (*strategy.steps, SetWeight(WHOLE))


def _blue_green(strategy: BlueGreen) -> tuple[Step, ...]:
    found: list[Step] = [SetCanaryScale(weight=WHOLE)]
    if strategy.preview:
        found.append(strategy.preview)
    if strategy.pre_promotion:
        found.append(AnalysisStep(strategy.pre_promotion, "pre-promotion"))
    if not strategy.auto_promotion:
        found.append(Pause())
    found.append(SetWeight(WHOLE))
    if strategy.post_promotion:
        found.append(AnalysisStep(strategy.post_promotion, "post-promotion"))
    return tuple(found)


def digest(planned: tuple[Step, ...]) -> str:
    """Changes when the steps do. An analysis' thresholds may change under way without starting over."""
    told = [(step.name, "analysis") if isinstance(step, AnalysisStep) else step for step in planned]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:12]


def describe(step: Step) -> str:
    """A short description of a step."""
    if isinstance(step, SetWeight):
        return f"setWeight {step.weight}"
    if isinstance(step, Pause):
        return "pause" if step.duration is None else f"pause {step.duration:g}s"
    if isinstance(step, SetCanaryScale):
        share = f"{step.weight} %" if step.weight is not None else "by weight"
        return f"setCanaryScale {step.replicas if step.replicas is not None else share}"
    if isinstance(step, SetHeaderRoute):
        return f"setHeaderRoute {step.name}"
    return f"analysis {step.name}"


def instances(rollout: Rollout, scale: SetCanaryScale | None, weight: int) -> int:
    """How many instances the target needs to carry `weight`; all of them for all calls, and never none."""
    if weight >= WHOLE:
        return rollout.replicas
    if scale is not None and scale.replicas is not None:
        return scale.replicas
    share = scale.weight if scale is not None and scale.weight is not None else weight
    return max(1, math.ceil(rollout.replicas * share / WHOLE))


def is_recent(rollout: Rollout, status: RolloutStatus) -> bool:
    """Whether the version is within the rollback window and so skips the steps."""
    if not rollout.rollback_window:
        return False
    before = [promotion.version for promotion in status.history if promotion.version != status.stable]
    return rollout.version in before[-rollout.rollback_window :]


def serves(api: Api, version: str) -> bool:
    """Whether the version serves the API, by the patterns of `servedBy`."""
    return any(fnmatchcase(version, pattern) for pattern in api.served_by)


def lost_apis(rollout: Rollout, stable: str, target: str, today: str) -> tuple[str, ...]:
    """The APIs that end with `stable`, except those past their sunset. `today` is a date such as `2026-12-31`."""
    if not stable or stable == target:
        return ()
    return tuple(
        api.name
        for api in rollout.apis
        if serves(api, stable) and not serves(api, target) and not (api.sunset and api.sunset <= today)
    )
