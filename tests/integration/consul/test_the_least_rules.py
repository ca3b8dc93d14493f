"""The rules of docs/how-to/consul.md on a real Consul that denies everything else: each part works with its own rules,
and not with one of them less."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from meshwright.consul import Consul, Registrar, Registration
from meshwright.controlplane import serving
from meshwright.errors import MeshwrightError
from meshwright.model import Address, InstanceId, ServiceName
from meshwright.rollout.adapters import ConsulTraffic
from meshwright.rollout.api.routing import Routing
from support.consul.credentials import part_of, rules
from support.consul.servers import NO_CONSUL, find_consul, real_consul
from support.controlplane.plane import page, plane_config
from support.kubernetes.rollouts import rollout
from support.mesh.up import command
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from meshwright.config import ConsulConfig
    from support.consul.servers import ConsulProcess

pytestmark = [pytest.mark.skipif(find_consul() is None, reason=NO_CONSUL), pytest.mark.asyncio(loop_scope="module")]

POLICY = b'{"max_concurrent_requests": 7}'


ROLES = {
    "service": rules("A service"),
    "client": rules("A service", 1),
    "control plane": rules("The control plane"),
    "operator": rules("The operator"),
    "command line": rules("The command line"),
    "up": rules("meshwright up"),
}
LESS = [(role, line, "") for role, lines in ROLES.items() for line in lines]
LESS += [(role, line, line.replace("write", "read")) for role, line, _ in LESS if "write" in line]


@dataclass(frozen=True)
class Scene:
    """Where a part runs: with its token, in a folder; `all` may see everything."""

    config: ConsulConfig
    folder: Path
    all: Consul


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def denying() -> AsyncIterator[ConsulProcess]:
    """With two instances of user and a policy for it."""
    async with real_consul(token=str(uuid.uuid4())) as server, Consul(server.config) as consul:
        for number in (1, 2):
            meta = {"version": f"{number}.0.0"}
            address = Address("127.0.0.1", number)
            made = Registration(InstanceId(f"user-{number}"), ServiceName("user"), address, meta=meta, grpc_check=None)
            await consul.register(made)
        await consul.kv_put("meshwright/policy/user", POLICY)
        yield server


async def be_a_service(scene: Scene) -> None:
    made = Registration(InstanceId("hello-1"), ServiceName("hello"), Address("127.0.0.1", 9), grpc_check=None)
    async with Consul(scene.config) as consul:
        registrar = Registrar(consul, made)
        await registrar.start()
        worked = registrar.registered and (await scene.all.instances("hello")).value
        assert await registrar.withdraw()
        assert worked
        assert not (await scene.all.instances("hello")).value


async def be_a_client(scene: Scene) -> None:
    async with Consul(scene.config) as consul:
        assert len((await consul.instances("user", passing=True)).value) == 2


async def be_a_control_plane(scene: Scene) -> None:
    async with serving(plane_config(scene.config)) as bound:

        async def settled() -> tuple[int, str]:
            status, text = await page(bound.debug, "/readyz")
            assert status == 200 or "does the token have" in text
            return status, text

        found = await eventually(settled)
        assert found is not None
        assert found[0] == 200, found[1]
        _, document = await page(bound.debug, "/debug/snapshot?service=user&type=cluster")
        assert '"max_requests": 7' in str(document).replace("'", '"')
        _, document = await page(bound.debug, "/debug/snapshot?service=user&type=endpoints")
        assert str(document).count("port_value") == 2


async def be_an_operator(scene: Scene) -> None:
    async with Consul(scene.config) as consul:
        traffic = ConsulTraffic(consul)
        try:
            await traffic.route(rollout(), Routing({"1.0.0": 90, "2.0.0": 10}))
            observed = await traffic.observe(rollout())
            assert observed.healthy == {"1.0.0": 1, "2.0.0": 1}
        finally:
            await traffic.release(rollout())


async def be_a_command_line(scene: Scene) -> None:
    environ = {"CONSUL_HTTP_ADDR": scene.config.address, "CONSUL_HTTP_TOKEN": str(scene.config.token)}
    for line in ("get user", "fault set user --delay 1ms", "fault clear user"):
        code, said = await command(scene.folder, *line.split(), **environ)
        assert code == 0, said
        assert "user" not in line or "user-1" in said or "fault" in line, said


async def be_all(scene: Scene) -> None:
    await be_a_service(scene)
    await be_an_operator(scene)
    await be_a_command_line(scene)
    await be_a_control_plane(scene)


PARTS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "service": be_a_service,
    "client": be_a_client,
    "control plane": be_a_control_plane,
    "operator": be_an_operator,
    "command line": be_a_command_line,
    "up": be_all,
}


async def play(server: ConsulProcess, role: str, lines: list[str], folder: Path) -> None:
    async with Consul(server.config) as consul:
        await PARTS[role](Scene(await part_of(server.config, lines), folder, consul))


@pytest.mark.parametrize("role", ROLES)
async def test_each_part_works_with_its_rules(denying: ConsulProcess, role: str, tmp_path: Path) -> None:
    await play(denying, role, ROLES[role], tmp_path)


@pytest.mark.parametrize(("role", "line", "instead"), LESS)
async def test_and_not_with_one_of_them_less(
    denying: ConsulProcess, role: str, line: str, instead: str, tmp_path: Path
) -> None:
    lines = [instead if each == line else each for each in ROLES[role]]
    with pytest.raises((AssertionError, MeshwrightError)):
        await play(denying, role, lines, tmp_path)
