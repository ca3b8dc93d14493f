"""What a changed topology asks of a running `up`."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from meshwright.errors import ValidationError
from meshwright.local.planner.component_source import ComponentSource, UpOptions
from meshwright.local.planner.plan import Plan, make
from meshwright.local.planner.plan_change import PlanChange, carried_ports, compare, with_mesh_of
from meshwright.local.supervisor.rolling_restart import can_try_out
from meshwright.local.topology.parsing import parse

SHOP = """
[processes.cart]
module = "cart"
[processes.price]
command = ["price", "--listen", "${port}"]
replicas = 2
[processes.web]
command = ["web"]
port = 8080
environment = { CART = "${cart.address}" }
"""


def plan(text: str, before: Plan | None = None) -> Plan:
    ports = itertools.count(21000 if before is None else 23000)
    carried = carried_ports(before) if before else None
    topology = parse(text, Path("shop.toml"))
    source = ComponentSource(dev=True)
    return make(topology, UpOptions(), source, Path("/state"), lambda: next(ports), carried=carried)


def change(old: str, new: str) -> PlanChange:
    first = plan(old)
    return compare(first, plan(new, first))


def names(found: PlanChange) -> dict[str, list[str]]:
    kinds = {"removed": found.removed, "added": found.added, "changed": found.changed, "scaled": found.scaled}
    return {kind: [process.name for process in processes] for kind, processes in kinds.items() if processes}


def test_the_same_topology_asks_for_nothing_though_other_ports_would_be_free() -> None:
    assert change(SHOP, f"# a comment\n{SHOP}") == PlanChange()


def test_processes_come_and_go() -> None:
    other = SHOP.replace("[processes.price]", "[processes.stock]")
    assert names(change(SHOP, other)) == {"removed": ["price"], "added": ["stock"]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"price", "--listen"', '"price", "-l"'),
        ("replicas = 2", 'replicas = 2\nversion = "2.0.0"'),
        ("replicas = 2", "replicas = 2\nenvironment = { COLOUR = 'red' }"),
        ("replicas = 2", "replicas = 2\nready = 'tcp'"),
    ],
)
def test_one_that_is_started_otherwise_has_changed_and_no_other(old: str, new: str) -> None:
    assert names(change(SHOP, SHOP.replace(old, new))) == {"changed": ["price"]}


def test_a_variable_of_all_changes_all() -> None:
    assert names(change(SHOP, f"[environment]\nA = 'b'\n{SHOP}")) == {"changed": ["cart", "price", "web"]}


def test_another_number_is_scaled_and_restarts_nothing() -> None:
    assert names(change(SHOP, SHOP.replace("replicas = 2", "replicas = 3"))) == {"scaled": ["price"]}
    alone = change(SHOP, SHOP.replace("replicas = 2", "replicas = 1"))
    assert names(alone) == {"scaled": ["price"]}


def test_one_that_names_an_address_changes_with_it() -> None:
    moved = SHOP.replace('module = "cart"', 'module = "cart"\nport = 8090')
    assert names(change(SHOP, moved)) == {"changed": ["cart", "web"]}


def test_an_address_that_is_no_more_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"nothing is called \$\{cart.address\}"):
        change(SHOP, SHOP.replace('module = "cart"', 'module = "cart"\nreplicas = 2'))


def test_the_running_mesh_stays() -> None:
    running = parse(SHOP, Path("shop.toml"))
    new = parse(f'name = "other"\n[mesh]\ntraces = "none"\n{SHOP}', Path("shop.toml"))
    kept = with_mesh_of(running, new)
    assert (kept.name, kept.mesh, kept.processes) == ("shop", running.mesh, new.processes)


def test_what_can_have_a_second_instance_is_tried_out_first() -> None:
    made = plan(
        SHOP + '[processes.store]\ncommand = ["store", "${state}"]\n[processes.admin]\nmodule = "admin"\nport = 9\n'
    )
    assert [process.name for process in made.own if can_try_out(made, process)] == ["cart", "price"]
