"""Which versions `up` starts of services that an earlier run's rollouts have moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshwright.local.planner import resumed_versions
from meshwright.local.planner.component_source import ComponentSource, UpOptions
from meshwright.local.planner.plan import Plan, make
from meshwright.local.planner.resumed_versions import ResumedVersion, VersionTemplate
from meshwright.local.planner.scaling import initial
from meshwright.local.topology.parsing import parse

HEALTHY = {"phase": "Healthy", "stable": "2.0.0", "routing": {"weights": {"2.0.0": 100}}}
CANARY = {
    "phase": "Progressing",
    "stable": "2.0.0",
    "target": "3.0.0",
    "canaryReplicas": 1,
    "routing": {"weights": {"2.0.0": 80, "3.0.0": 20}},
}
SHOP = """
[processes.cart]
command = ["cart"]
version = "1.0.0"
[processes.price]
command = ["price"]
"""


def rollout(folder: Path, status: dict[str, Any], *, name: str = "cart") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"spec": {"service": name, "replicas": 2}, "status": status}))
    return path


def plan(found: resumed_versions.Resumed) -> Plan:
    ports = iter(range(20000, 20100))
    made = make(
        parse(SHOP, Path("shop.toml")), UpOptions(), ComponentSource(dev=True), Path("/state"), lambda: next(ports)
    )
    return Plan(**{name: getattr(made, name) for name in made.__slots__} | {"resumed": found})


def test_the_version_that_a_rollout_has_promoted_is_started_and_not_the_topologys(tmp_path: Path) -> None:
    rollout(tmp_path, HEALTHY)
    found = resumed_versions.read(tmp_path, rules_are_kept=False)
    assert found == {"cart": (ResumedVersion("2.0.0", 2),)}
    made = plan(found)
    cart, price = made.process("cart"), made.process("price")
    assert [spec for spec in initial(made) if spec.name in ("cart", "price")] == [
        price.numbered(1, "0.0.0"),
        cart.numbered(1, "2.0.0"),
        cart.numbered(2, "2.0.0"),
    ]


def test_a_canary_is_started_at_once_where_the_rules_send_it_calls(tmp_path: Path) -> None:
    rollout(tmp_path, CANARY)
    assert resumed_versions.read(tmp_path, rules_are_kept=True) == {
        "cart": (ResumedVersion("2.0.0", 2), ResumedVersion("3.0.0", 1))
    }
    without_rules = resumed_versions.read(tmp_path, rules_are_kept=False)
    assert without_rules == {"cart": (ResumedVersion("2.0.0", 2),)}, "without rules it would be called like the others"


def test_versions_keep_the_variables_and_the_revision_of_their_pod_templates(tmp_path: Path) -> None:
    path = rollout(tmp_path, CANARY)
    resumed_versions.write_templates(
        path, {"2.0.0": VersionTemplate({"COLOUR": "blue"}, 3), "3.0.0": VersionTemplate()}
    )
    (stable, canary) = resumed_versions.read(tmp_path, rules_are_kept=True)["cart"]
    assert (stable.environment, canary.environment) == ({"COLOUR": "blue"}, {})
    assert resumed_versions.templates(path)["2.0.0"].revision == 3
    resumed_versions.write_templates(path, {})
    assert resumed_versions.templates(path) == {}


def test_a_rollout_that_never_began_or_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    rollout(tmp_path, {})
    (tmp_path / "broken.json").write_text("{")
    assert resumed_versions.read(tmp_path, rules_are_kept=True) == {}
    assert resumed_versions.read(tmp_path / "nowhere", rules_are_kept=True) == {}
