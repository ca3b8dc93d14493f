"""The filter language, over the same three instances for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

SHAPES: list[dict[str, Any]] = [
    {"Port": 1, "Tags": ["a", "b c"], "Meta": {"version": "v1", "x-y": "1"}, "Checks": ["critical"]},
    {"Port": 2, "Tags": [], "Meta": {"version": "v2"}, "Checks": ["passing"]},
    {"Port": 3, "Checks": ["passing", "critical"]},
]


@pytest.fixture
async def service(http: httpx.AsyncClient, name: str) -> str:
    """A service of three instances, on a node of their own."""
    for number, shape in enumerate(SHAPES, start=1):
        node = {"Node": f"node-{name}", "Address": "10.0.0.1", "NodeMeta": {"os": "linux"}}
        service = {"Service": name, "ID": str(number), **{k: v for k, v in shape.items() if k != "Checks"}}
        checks = [
            {
                "CheckID": f"{number}-{at}",
                "Name": "c",
                "Status": status,
                "ServiceID": str(number),
            }
            for at, status in enumerate(shape["Checks"])
        ]
        answer = await http.put("catalog/register", json={**node, "Service": service, "Checks": checks})
        assert answer.status_code == 200, answer.text
    return name


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Service.Meta.version == v1", "1"),
        ('Service.Meta.version == "v1"', "1"),
        ("Service.Meta.version == `v1`", "1"),
        ("Service.Meta.version != v1", "23"),
        ("Service.Meta.nope == v1", ""),
        ("Service.Meta.nope != v1", "123"),
        ('Service.Meta["x-y"] == 1', "1"),
        ('Service.Meta.version matches "v[12]"', "123"),
        ('Service.Meta.version not matches "v1"', "23"),
        ("a in Service.Tags", "1"),
        ('"b c" in Service.Tags', "1"),
        ("a not in Service.Tags", "23"),
        ("Service.Tags contains a", "1"),
        ("Service.Tags not contains a", "23"),
        ("Service.Tags is empty", "23"),
        ("Service.Tags is not empty", "1"),
        ("version in Service.Meta", "12"),
        ("Service.Meta contains version", "12"),
        ("version not in Service.Meta", "3"),
        ("Service.Meta is empty", "3"),
        ("Service.Port == 1", "1"),
        ("Service.Port != 1", "23"),
        ("Service.EnableTagOverride == false", "123"),
        ('Service.Kind == ""', "123"),
        ("Service.ID contains 1", "1"),
        ("Service.Weights.Passing == 1", "123"),
        ("Node.Meta.os == linux", "123"),
        ("Node.Datacenter == dc2", ""),
        ("Checks.Status == passing", "23"),
        ("Checks.Status == critical", "13"),
        ("Checks.Status != passing", "13"),
        ("Checks is empty", ""),
        ("Checks is not empty", "123"),
        ("Service.Port == 1 or Service.Port == 2", "12"),
        ("Service.Port == 1 and Service.Meta.version == v2", ""),
        ("Service.Port == 1 or Service.Port == 2 and Service.Meta.version == v1", "1"),
        ("(Service.Port == 1 or Service.Port == 2) and Service.Meta.version == v2", "2"),
        ("not Service.Port == 1", "23"),
        ("not (Service.Port == 1 or Service.Port == 2)", "3"),
        ("not Service.Port == 1 and Service.Port == 2", "2"),
    ],
)
async def test_a_filter_selects(http: httpx.AsyncClient, service: str, text: str, ids: str) -> None:
    answer = await http.get(f"health/service/{service}", params={"filter": text})
    assert answer.status_code == 200, answer.text
    assert "".join(sorted(row["Service"]["ID"] for row in answer.json())) == ids


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Foo == x", 'Selector "Foo" is not valid'),
        ("service.port == 1", 'Selector "service" is not valid'),
        ("Service.Foo == x", 'Selector "Service.Foo" is not valid'),
        ("Service.Tags == a", 'Invalid match operator "Equal" for selector "Service.Tags"'),
        ("Service.ID is empty", "Invalid match operator"),
        ("Service.Port is empty", "Invalid match operator"),
        ("Checks == x", "Invalid match operator"),
        ("Service.Port == x", 'Failed to coerce value "x" for selector "Service.Port"'),
        ("Service.EnableTagOverride == x", "Failed to coerce value"),
        ('Service.ID matches "("', "Failed to compile regular expression"),
        ("Service.Port ==", "no match found"),
        ("Service.Port = 1", "no match found"),
        ("Service.Port == 1 x", "no match found"),
        ("Service.Port == 1 AND Service.Port == 1", "no match found"),
        ("(Service.Port == 1", ""),
        ("Service.Meta.version == 1a", ""),
        ("Service.Meta.version == v1.2", ""),
        (" ", ""),
    ],
)
async def test_a_filter_that_means_nothing_is_refused(http: httpx.AsyncClient, text: str, complaint: str) -> None:
    answer = await http.get("health/service/whatever", params={"filter": text})
    assert answer.status_code == 500
    assert answer.text.startswith("Failed to create boolean expression evaluator:")
    assert complaint in answer.text


async def test_other_lists_take_filters_in_their_own_vocabulary(http: httpx.AsyncClient, service: str) -> None:
    async def rows(path: str, text: str) -> list[dict[str, str]]:
        answer = await http.get(path, params={"filter": text})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, str]] = answer.json()
        return found

    flat = await rows(f"catalog/service/{service}", "ServiceMeta.version == v1 and NodeMeta.os == linux")
    assert [row["ServiceID"] for row in flat] == ["1"]
    nodes = await rows("catalog/nodes", f'Node == "node-{service}" and Meta is not empty')
    assert [row["Node"] for row in nodes] == [f"node-{service}"]
    checks = await rows("health/state/any", f'ServiceName == "{service}" and Status == critical')
    assert sorted(row["CheckID"] for row in checks) == ["1-0", "3-1"]


async def test_the_agents_lists_take_filters(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Meta": {"of": name}, "Check": {"TTL": "1h"}})
    services = await http.get("agent/services", params={"filter": f'Meta.of == "{name}"'})
    assert list(services.json()) == [name]
    checks = await http.get("agent/checks", params={"filter": f'ServiceID == "{name}" and Status == critical'})
    assert list(checks.json()) == [f"service:{name}"]
    assert (await http.get("agent/services", params={"filter": "Foo == x"})).status_code == 500
