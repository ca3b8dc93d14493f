"""Which problems are of which service."""

from __future__ import annotations

import pytest

from meshwright.controlplane.admin.about import in_force, is_about, service_of
from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.model.policy import parse_policy
from meshwright.errors import Violation
from meshwright.model import ServiceName


@pytest.mark.parametrize(
    ("where", "service"),
    [
        ("meshwright/policy/user retry.attempts", "user"),
        ("meshwright/policy/userview", "userview"),
        ("chain of User", "user"),
        ("instances of user-view where Service.Meta.version == 2", "user-view"),
        ("the name 'a b'", "a b"),
        ("user", "user"),
        ("", ""),
    ],
)
def test_a_problem_is_of_the_service_that_its_place_names(where: str, service: str) -> None:
    assert service_of(Violation(where, "user, userview and user-view are not meant")) == service


def test_a_refusal_is_about_the_services_whose_resources_it_names() -> None:
    assert is_about("cluster v2.user.default.dc1: bad", "User")
    assert not is_about("route userview: bad; route old-user: bad", "user")


def test_the_policy_in_force_is_the_last_good_document() -> None:
    name = ServiceName("user")
    policy = parse_policy(name, b'{"max_concurrent_requests": 7}')
    problems = [Violation("meshwright/policy/user x", "unknown key"), Violation("meshwright/policy/userview y", "user")]
    found = in_force("User", Catalog({name: {"Nodes": {}}}, {}, {name: policy}), problems)
    assert (found["policy"], found["policy_refused"], found["known"]) == ({"max_concurrent_requests": 7}, True, True)
    assert [problem["where"] for problem in found["problems"]] == ["meshwright/policy/user x"]
    nothing = in_force("order", None, problems)
    assert (nothing["chain"], nothing["policy"], nothing["problems"], nothing["known"]) == (None, None, [], False)
