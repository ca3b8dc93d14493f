"""What is ready by its own account and not healthy in Consul: what is wrong with its registration, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from meshwright.consul import Indexed
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from meshwright.rollout.adapters import ConsulTraffic
from support.kubernetes.rollouts import rollout

if TYPE_CHECKING:
    from meshwright.consul import Consul
    from meshwright.rollout.api.observed import Trouble

ADDRESS = Address("10.0.0.7", 8080)


class Catalog:
    """A Consul with these instances and nothing else."""

    def __init__(self, *instances: Instance) -> None:
        self.known = instances

    async def services(self) -> Indexed[dict[ServiceName, tuple[str, ...]]]:
        return Indexed({ServiceName("consul"): (), **{one.service: () for one in self.known}}, 1)

    async def instances(self, service: str) -> Indexed[tuple[Instance, ...]]:
        return Indexed(tuple(one for one in self.known if one.service == service), 1)


def registered(
    service: str = "user",
    version: str = "2.0.0",
    health: Health = Health.PASSING,
    address: Address = ADDRESS,
    name: str = "user-7",
) -> Instance:
    meta = {"version": version} if version else {}
    return Instance(InstanceId(name), ServiceName(service), address, health, meta=meta)


async def told(*instances: Instance, addresses: tuple[str, ...] = (ADDRESS.host,)) -> tuple[Trouble, ...]:
    """What is said of version 2.0.0 of user at these addresses."""
    traffic = ConsulTraffic(cast("Consul", Catalog(*instances)))
    return await traffic.explain(rollout("2.0.0"), "2.0.0", addresses)


@pytest.mark.parametrize("address", [ADDRESS.host, str(ADDRESS)])
@pytest.mark.parametrize(
    ("instance", "reason", "words"),
    [
        (registered(health=Health.CRITICAL), "CheckFailing", "its check in Consul is critical"),
        (registered(health=Health.WARNING), "CheckFailing", "its check in Consul is warning"),
        (registered(version="1.9.0"), "OtherVersion", "registered as version 1.9.0 (meta `version`), not as 2.0.0"),
        (registered(version=""), "OtherVersion", "registered without a version (meta `version`), not as 2.0.0"),
        (
            registered(version="1.9.0", health=Health.CRITICAL),
            "OtherVersion",
            "registered as version 1.9.0 (meta `version`), not as 2.0.0",
        ),
        (registered("users"), "OtherServiceName", "registered as the service users, not as user"),
    ],
)
async def test_a_registration_that_is_wrong_is_named(instance: Instance, reason: str, words: str, address: str) -> None:
    (trouble,) = await told(instance, addresses=(address,))
    assert (trouble.object, trouble.reason) == ("instance user-7", reason)
    assert words in trouble.message
    assert ADDRESS.host in trouble.message


@pytest.mark.parametrize(
    "others",
    [
        (),
        (registered(address=Address("10.0.0.8", 8080)),),
        (registered("users", address=Address("10.0.0.70", 8080)),),
        (registered("consul"),),
    ],
    ids=["nothing", "another address", "another service elsewhere", "Consul itself"],
)
async def test_what_is_registered_nowhere_is_named_by_its_address(others: tuple[Instance, ...]) -> None:
    (trouble,) = await told(*others)
    assert (trouble.object, trouble.reason) == ("instance at 10.0.0.7", "NotRegistered")


async def test_another_port_of_the_same_machine_is_another_instance() -> None:
    (trouble,) = await told(registered(address=Address("127.0.0.1", 9001)), addresses=("127.0.0.1:9000",))
    assert (trouble.object, trouble.reason) == ("instance at 127.0.0.1:9000", "NotRegistered")


async def test_what_is_healthy_is_no_trouble_whatever_an_earlier_process_left_there() -> None:
    left = registered(version="1.9.0", health=Health.CRITICAL, name="user-3")
    assert await told(left, registered()) == ()
    assert await told(registered(), left, addresses=(str(ADDRESS),)) == ()


async def test_the_failing_check_of_this_version_is_told_before_what_an_earlier_process_left_there() -> None:
    left = registered(version="1.9.0", health=Health.CRITICAL, name="user-3")
    (trouble,) = await told(left, registered(health=Health.CRITICAL))
    assert (trouble.object, trouble.reason) == ("instance user-7", "CheckFailing")


async def test_each_reason_is_told_once_by_its_first_instance() -> None:
    places = [Address(f"10.0.0.{number}", 8080) for number in range(1, 5)]
    wrong = [registered(version="1.9.0", address=place, name=f"user-{place.host[-1]}") for place in places[:2]]
    failing = registered(health=Health.CRITICAL, address=places[2], name="user-3")
    troubles = await told(*wrong, failing, addresses=tuple(place.host for place in places))
    assert [(one.object, one.reason) for one in troubles] == [
        ("instance user-1", "OtherVersion"),
        ("instance user-3", "CheckFailing"),
        ("instance at 10.0.0.4", "NotRegistered"),
    ]
