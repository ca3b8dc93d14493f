from __future__ import annotations

import pytest

from meshwright.name_suggestions import closest, no_such_service

KNOWN = ["calculator", "weather", "userview", "user"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("wether", "weather"), ("Weather", "weather"), ("usr", "user"), ("uservew", "userview"), ("payroll", None)],
)
def test_the_closest_name_is_found_whatever_its_case(name: str, meant: str | None) -> None:
    assert closest(name, KNOWN) == meant


def test_the_sentence_names_the_closest_service() -> None:
    assert no_such_service("wether", KNOWN) == "no service is called wether; did you mean weather?"


def test_the_sentence_lists_the_services_where_none_is_similar() -> None:
    assert no_such_service("zzz", ["b", "a"]) == "no service is called zzz; there are a, b"
    many = [f"service-{number:02}" for number in range(10)]
    assert no_such_service("zzz", many).endswith("service-06, service-07 and 2 more")


def test_the_sentence_says_that_there_are_none() -> None:
    assert no_such_service("user", ()) == "no service is called user; none is registered"
