"""The user service's releases: what 1.x, 2.x and 3.x answer, side by side on one database."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meshwright
from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc
from demo.user.v2 import user_pb2 as pb2
from demo.user.v2 import user_pb2_grpc as rpc2
from meshwright.model import Address
from services.user.server import Release, release_of
from support.mesh.mesh import serving
from support.processes import promised_port, python, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.demo.gateway import Demo


@contextlib.asynccontextmanager
async def release(version: str, folder: Path, database: str, **environ: str) -> AsyncIterator[grpc.aio.Channel]:
    """A process of the service of that version; a channel to it."""
    address = Address("127.0.0.1", promised_port())
    given = {
        "MESHWRIGHT_VERSION": version,
        "MESHWRIGHT_PORT": str(address.port),
        "MESHWRIGHT_REGISTER": "false",
        "MESHWRIGHT_PROPAGATION": "0",
        "USER_DATABASE_URL": database,
    }
    log = folder / f"user-{version}-{os.urandom(3).hex()}.log"
    async with running(python("-m", "services.user"), log, {**given, **environ}) as process:
        await serving(address, "", process)
        async with grpc.aio.insecure_channel(str(address)) as channel:
            yield channel


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.0.0", Release()),
        ("2.0.0", Release(avatars=True)),
        ("2", Release(avatars=True)),
        ("3.0.0", Release(avatars=True, failing=1.0)),
        ("0.0.0", Release()),
        ("nightly", Release()),
    ],
)
def test_a_version_belongs_to_a_release(version: str, expected: Release) -> None:
    assert release_of(version) == expected
    assert release_of(version, 0.25).failing == 0.25


async def test_releases_share_a_database_and_differ_in_what_they_show(tmp_path: Path, database: str) -> None:
    async with release("2.0.0", tmp_path, database) as new, release("1.0.0", tmp_path, database) as old:
        ada = await rpc.UserServiceStub(old).CreateUser(pb.CreateUserRequest(name="Ada", email="ada@example.org"))
        assert not ada.HasField("avatar")
        profiles = rpc2.UserServiceStub(new)
        derived = await profiles.GetUserProfile(pb2.GetUserProfileRequest(id=ada.id))
        assert derived.avatar.startswith("https://avatars.example.org/")
        assert (derived.name, derived.member_since) == ("Ada", ada.created_at)
        chosen = "https://pictures.example.org/ada.png"
        assert (await profiles.SetAvatar(pb2.SetAvatarRequest(id=ada.id, avatar=chosen))).avatar == chosen

        # A release that knows nothing of avatars does not lose one.
        renamed = await rpc.UserServiceStub(old).UpdateUser(pb.UpdateUserRequest(id=ada.id, name="Ada L."))
        assert not renamed.HasField("avatar")
        seen = await rpc.UserServiceStub(new).GetUser(pb.GetUserRequest(id=ada.id))
        assert (seen.name, seen.avatar) == ("Ada L.", chosen)

        for call in (
            rpc2.UserServiceStub(old).GetUserProfile(pb2.GetUserProfileRequest(id=ada.id)),
            rpc2.UserServiceStub(old).SetAvatar(pb2.SetAvatarRequest(id=ada.id, avatar="")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        history = await rpc2.UserServiceStub(old).GetUserHistory(pb2.GetUserHistoryRequest(id=ada.id))
        assert [event.type for event in history.events] == ["UserCreated", "AvatarChanged", "NameChanged"]


@pytest.mark.parametrize(
    "avatar", ["http://example.org/a.png", "ada.png", "https://", f"https://example.org/{'a' * 500}"]
)
async def test_what_is_no_address_of_a_picture_is_refused(served: Demo, avatar: str) -> None:
    profiles = rpc2.UserServiceStub(served.user_channel)
    user_id = await served.user_id()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await profiles.SetAvatar(pb2.SetAvatarRequest(id=user_id, avatar=avatar))
    found = meshwright.error_details(caught.value)
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"avatar"})


async def test_the_gateway_shows_an_avatar_where_the_service_knows_one(served: Demo) -> None:
    user_id = await served.user_id()
    shown = (await served.http.get(f"/api/v1/users/{user_id}")).json()
    assert shown["avatar"].startswith("https://avatars.example.org/")


async def test_the_release_with_a_bug_fails_while_its_health_says_serving(tmp_path: Path) -> None:
    async with release("3.0.0", tmp_path, f"sqlite:///{tmp_path}/users.db") as channel:
        users = rpc.UserServiceStub(channel)
        for call in (
            users.CreateUser(pb.CreateUserRequest(name="Ada", email="ada@example.org")),
            users.ValidateUser(pb.ValidateUserRequest(user_id="x")),
            rpc2.UserServiceStub(channel).GetUserProfile(pb2.GetUserProfileRequest(id="x")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        with pytest.raises(grpc.aio.AioRpcError, match="INTERNAL"):
            async for _ in users.ListUsers(pb.ListUsersRequest()):
                pass
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
