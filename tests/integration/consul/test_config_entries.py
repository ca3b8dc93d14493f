"""Config entries and the discovery chain that Consul compiles from them."""

from __future__ import annotations

import pytest

from meshwright.consul import ConsulError

DEFAULTS = {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"}
RESOLVER = {
    "Kind": "service-resolver",
    "Name": "user",
    "DefaultSubset": "v1",
    "Subsets": {"v1": {"Filter": 'Service.Meta.version == "1"'}, "v2": {"Filter": 'Service.Meta.version == "2"'}},
}
SPLITTER = {
    "Kind": "service-splitter",
    "Name": "user",
    "Splits": [{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10, "ServiceSubset": "v2"}],
}


async def test_an_entry_is_written_read_listed_and_deleted(consul):
    assert await consul.put_config_entry(DEFAULTS)
    entry = await consul.config_entry("service-defaults", "user")
    assert entry
    assert (entry["Kind"], entry["Name"], entry["Protocol"]) == ("service-defaults", "user", "grpc")
    listed = await consul.config_entries("service-defaults")
    assert [item["Name"] for item in listed.value] == ["user"]
    await consul.delete_config_entry("service-defaults", "user")
    assert await consul.config_entry("service-defaults", "user") is None


async def test_a_kind_without_entries_lists_none(consul):
    assert (await consul.config_entries("service-router")).value == ()


async def test_deleting_an_entry_that_is_not_there_is_fine(consul):
    await consul.delete_config_entry("service-resolver", "nobody")


async def test_an_entry_is_written_only_over_the_version_that_was_read(consul):
    assert await consul.put_config_entry(DEFAULTS, cas=0)
    entry = await consul.config_entry("service-defaults", "user")
    assert entry
    assert await consul.put_config_entry(DEFAULTS | {"Protocol": "http"}, cas=entry["ModifyIndex"])
    assert not await consul.put_config_entry(DEFAULTS | {"Protocol": "tcp"}, cas=entry["ModifyIndex"])
    now = await consul.config_entry("service-defaults", "user")
    assert now
    assert now["Protocol"] == "http"


async def test_the_chain_of_a_service_without_entries_is_one_resolver(consul):
    chain = (await consul.discovery_chain("user")).value
    assert chain["ServiceName"] == "user"
    assert chain["Nodes"][chain["StartNode"]]["Type"] == "resolver"
    assert list(chain["Targets"]) == ["user.default.dc1"]


async def test_the_chain_shows_a_weighted_split_over_subsets(consul):
    for entry in (DEFAULTS, RESOLVER, SPLITTER):
        assert await consul.put_config_entry(entry)
    chain = (await consul.discovery_chain("user")).value
    start = chain["Nodes"][chain["StartNode"]]
    assert start["Type"] == "splitter"
    assert [split["Weight"] for split in start["Splits"]] == [90, 10]
    assert set(chain["Targets"]) == {"v1.user.default.dc1", "v2.user.default.dc1"}
    assert chain["Protocol"] == "grpc"


async def test_an_entry_that_consul_refuses_raises_with_its_reason(consul):
    await consul.put_config_entry(DEFAULTS)
    await consul.put_config_entry(RESOLVER)
    unbalanced = SPLITTER | {"Splits": [{"Weight": 50, "ServiceSubset": "v1"}]}
    with pytest.raises(ConsulError, match="100") as caught:
        await consul.put_config_entry(unbalanced)
    assert caught.value.status >= 400
    assert caught.value.request == "PUT /v1/config"
