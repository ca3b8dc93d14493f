"""What Consul's answers are read as."""

from __future__ import annotations

from typing import Any

import pytest

from meshwright.consul import decode

NODE: dict[str, Any] = {"Node": "n", "Address": "10.0.0.1"}
SERVICE: dict[str, Any] = {"ID": "a", "Service": "user", "Address": "", "Port": 1, "Tags": None, "Meta": {"x": "y"}}
PLACE = {"Region": "eu", "Zone": "a"}


@pytest.mark.parametrize(
    ("service", "node", "meta"),
    [
        ({}, {}, {"x": "y"}),
        ({"Locality": None}, {"Locality": None}, {"x": "y"}),
        ({"Locality": PLACE}, {}, {"x": "y", "region": "eu", "zone": "a"}),
        ({}, {"Locality": PLACE}, {"x": "y", "region": "eu", "zone": "a"}),
        ({"Locality": {"Region": "us", "Zone": ""}}, {"Locality": PLACE}, {"x": "y", "region": "us"}),
        ({"Locality": PLACE, "Meta": {"zone": "b"}}, {}, {"region": "eu", "zone": "b"}),
    ],
)
def test_where_an_instance_is_may_be_said_by_its_locality_too(
    service: dict[str, Any], node: dict[str, Any], meta: dict[str, str]
) -> None:
    found = decode.instance({"Service": {**SERVICE, **service}, "Node": {**NODE, **node}, "Checks": []})
    assert found.meta == meta
