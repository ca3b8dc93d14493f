"""Which services an answer of a watch concerns."""

from __future__ import annotations

from typing import Any

import pytest

from meshwright.consul import CheckState, KvPair
from meshwright.controlplane.consul_source.change_tracker import ChangeTracker, reaching, references
from meshwright.controlplane.consul_source.policies import Policies
from meshwright.controlplane.problems import Problems
from meshwright.model import Health, InstanceId, ServiceName


def check(service: str, instance: str, health: Health = Health.PASSING, node: str = "n1", index: int = 1) -> CheckState:
    return CheckState(node, f"service:{instance}", ServiceName(service), InstanceId(instance), health, index)


NODE = CheckState("n1", "serfHealth", ServiceName(""), InstanceId(""), Health.PASSING, 1)
BOTH = (NODE, check("user", "user-1"), check("order", "order-1"))


@pytest.mark.parametrize(
    ("states", "touched"),
    [
        (BOTH, set()),
        ((*BOTH, check("user", "user-2")), {"user"}),
        (BOTH[:2], {"order"}),
        ((NODE, check("user", "user-1", Health.CRITICAL), BOTH[2]), {"user"}),
        ((NODE, check("user", "user-1", index=2), BOTH[2]), {"user"}),
        ((CheckState(*["n1", "serfHealth", "", "", Health.CRITICAL, 2]), *BOTH[1:]), {"user", "order"}),
        ((), {"user", "order"}),
    ],
)
def test_checks_touch_the_services_whose_checks_differ(states: Any, touched: set[str]) -> None:
    mirror = ChangeTracker()
    mirror.see_checks(BOTH)
    assert mirror.see_checks(states) == touched


def test_services_touch_what_came_went_or_has_other_tags() -> None:
    mirror = ChangeTracker()
    user, order, new = map(ServiceName, ("user", "order", "new"))
    mirror.see_services({user: ("v1",), order: ()})
    assert mirror.see_services({user: ("v1", "v2"), new: ()}) == {user, order, new}
    assert mirror.names == {user, new}


def test_a_name_that_only_a_config_entry_makes_can_be_dialled_and_consul_cannot() -> None:
    mirror = ChangeTracker()
    mirror.see_services({ServiceName("consul"): (), ServiceName("user"): ()})
    mirror.see_entries("service-resolver", [{"Name": "people", "Redirect": {"Service": "user"}}])
    mirror.see_entries("service-defaults", [{"Name": "elsewhere", "Protocol": "grpc"}])
    assert mirror.names == {"user", "people"}


def test_an_entry_touches_every_chain_that_reaches_it_before_or_after() -> None:
    mirror = ChangeTracker()
    mirror.see_services({ServiceName(name): () for name in ("shop", "cart", "user", "other")})
    router = {"Name": "shop", "Routes": [{"Destination": {"Service": "cart"}}, {"Match": {}}]}
    mirror.see_entries("service-router", [router])
    splitter = {"Name": "cart", "Splits": [{"Weight": 50, "Service": "user"}, {"Weight": 50}]}
    assert mirror.see_entries("service-splitter", [splitter]) == {"shop", "cart"}
    assert mirror.see_entries("service-defaults", [{"Name": "user", "Protocol": "grpc"}]) == {"shop", "cart", "user"}
    assert mirror.see_entries("service-splitter", []) == {"shop", "cart"}
    assert mirror.see_entries("service-splitter", []) == set()
    assert mirror.see_entries("proxy-defaults", [{"Name": "global"}]) == {"shop", "cart", "user", "other"}


@pytest.mark.parametrize(
    ("kind", "entry", "expected"),
    [
        ("service-resolver", {"Redirect": {"Service": "a"}, "Failover": {"*": {"Service": "b"}, "v1": {}}}, {"a", "b"}),
        ("service-resolver", {"Redirect": None, "Failover": None}, set()),
        ("service-splitter", {"Splits": None}, set()),
        ("service-router", {"Routes": [{"Destination": None}, {"Destination": {"Service": "c"}}]}, {"c"}),
    ],
)
def test_references_of_an_entry(kind: str, entry: dict[str, Any], expected: set[str]) -> None:
    assert references(kind, entry) == expected


def test_reaching_ends_on_circles() -> None:
    assert reaching({"a"}, {"b": frozenset("a"), "c": frozenset("b"), "b2": frozenset("x")}, {"a": frozenset("c")}) == {
        "a",
        "b",
        "c",
    }


def pair(key: str, value: bytes) -> KvPair:
    return KvPair(f"meshwright/policy/{key}", value, 1, 1)


def test_a_broken_policy_leaves_the_last_good_one_and_a_problem_that_goes_when_it_is_mended() -> None:
    problems = Problems()
    policies = Policies(problems)
    policies.see([pair("user", b'{"max_concurrent_requests": 7}'), pair("", b"")])
    good = dict(policies.parsed)
    assert list(good) == ["user"]
    policies.see([pair("user", b"{"), pair("order", b'{"max_concurrent_requests": "many"}')])
    assert policies.parsed == good
    places = [problem.path for problem in problems.all]
    assert any(place.startswith("meshwright/policy/user") for place in places)
    assert any(place.startswith("meshwright/policy/order") for place in places)
    policies.see([pair("user", b"{}")])
    assert problems.all == ()
    assert policies.parsed["user"] != good["user"]
    policies.see([])
    assert policies.parsed == {}


def test_names_that_differ_by_case_are_one() -> None:
    mirror = ChangeTracker()
    mirror.see_services({ServiceName("User"): ("a",), ServiceName("user"): ("b",)})
    assert mirror.services == {"user": ("a", "b")}
    assert mirror.see_checks((check("USER", "User-1"),)) == {"user"}
    assert ("n1", "user-1") in mirror.checked
    mirror.see_entries("service-resolver", [{"Name": "People", "Redirect": {"Service": "USER"}}])
    assert mirror.see_entries("service-resolver", [{"Name": "user", "ConnectTimeout": "1s"}]) == {"user", "people"}
    assert mirror.names == {"user"}


def test_a_node_is_the_same_in_any_case() -> None:
    mirror = ChangeTracker()
    one = CheckState("N1", "serfHealth", ServiceName(""), InstanceId(""), Health.PASSING, 1)
    mirror.see_checks((one, check("user", "user-1")))
    failing = CheckState("n1", "SerfHealth", ServiceName(""), InstanceId(""), Health.CRITICAL, 2)
    assert mirror.see_checks((failing, check("user", "user-1", node="N1"))) == {"user"}


def test_of_two_documents_for_one_service_the_lower_case_one_is_in_force_and_the_other_a_problem() -> None:
    problems = Problems()
    policies = Policies(problems)

    policies.see([pair("User", b'{"max_concurrent_requests": 1}'), pair("Order", b'{"max_concurrent_requests": 3}')])
    assert policies.take().keys() == {"user", "order"}
    assert problems.all == ()
    alone = policies.take()["user"]
    policies.see(
        [
            pair("User", b'{"max_concurrent_requests": 1}'),
            pair("user", b'{"max_concurrent_requests": 2}'),
            pair("Order", b'{"max_concurrent_requests": 3}'),
        ]
    )
    assert policies.take()["user"] != alone
    (problem,) = problems.all
    assert problem.path == "meshwright/policy/User"
    assert "meshwright/policy/user is about the same service" in problem.message
    policies.see([pair("User", b'{"max_concurrent_requests": 1}')])
    assert policies.take() == {"user": alone}
    assert problems.all == ()
