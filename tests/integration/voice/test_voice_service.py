"""Devices over gRPC, in databases of both kinds; and the service as a process: environment, start, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import grpc
import pytest

from demo.voice.v1 import voice_pb2 as pb
from demo.voice.v1 import voice_pb2_grpc as rpc
from integration.voice.exchange import ADA, BOB
from integration.voice.phone import phone
from meshwright.auth import Auth
from meshwright.testing import Issuer, served
from services.voice.app import Identity, Telephony
from services.voice.domain import MAX_DEVICES
from services.voice.server import ERRORS, PUBLIC, VoiceService
from support.demo.saga import refusal
from support.processes import promised_port, python, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.voice.adapters import DatabaseStore


@pytest.fixture
async def voice(any_store: DatabaseStore) -> AsyncIterator[rpc.VoiceServiceStub]:
    service = VoiceService(Telephony(any_store, Identity("example.org", "tests"), entropy=os.urandom))
    async with served(rpc.add_VoiceServiceServicer_to_server, service, errors=ERRORS) as made:
        yield rpc.VoiceServiceStub(made.channel)


async def create(
    voice: rpc.VoiceServiceStub, user: str = ADA, account: str = "ada", label: str = "desk"
) -> pb.CreatedDevice:
    return await voice.CreateDevice(pb.CreateDeviceRequest(user_id=user, account=account, label=label))


async def labels(voice: rpc.VoiceServiceStub, user: str = ADA) -> list[str]:
    return [each.label for each in (await voice.ListDevices(pb.ListDevicesRequest(user_id=user))).devices]


async def test_a_device_is_made_listed_and_revoked(voice):
    made = await create(voice)
    assert (made.address, made.realm, made.device.account, len(made.password)) == (
        "sip:ada@example.org",
        "tests",
        "ada",
        24,
    )
    other = await create(voice, account="", label="kitchen")
    assert other.device.account == "ada"
    assert other.password != made.password
    assert await labels(voice) == ["desk", "kitchen"]
    await voice.RevokeDevice(pb.RevokeDeviceRequest(user_id=ADA, device_id=made.device.id))
    assert await labels(voice) == ["kitchen"]
    again = voice.RevokeDevice(pb.RevokeDeviceRequest(user_id=ADA, device_id=made.device.id))
    assert (await refusal(again)).reason == "DEVICE_NOT_FOUND"


async def test_an_account_has_one_user_for_ever_and_a_user_one_account(voice):
    made = await create(voice)
    await voice.RevokeDevice(pb.RevokeDeviceRequest(user_id=ADA, device_id=made.device.id))
    assert (await refusal(create(voice, BOB))).reason == "ACCOUNT_TAKEN"
    await create(voice, BOB, "bob")
    assert (await refusal(create(voice, ADA, "adele"))).reason == "INVALID_DEVICE"


async def test_two_users_who_want_one_account_at_once_do_not_both_get_it(voice):
    outcomes = await asyncio.gather(create(voice, ADA), create(voice, BOB), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert [each.code() for each in refused] == [grpc.StatusCode.ALREADY_EXISTS]


async def test_a_user_has_a_bounded_number_of_devices(voice):
    for number in range(MAX_DEVICES):
        await create(voice, label=f"{number}")
    assert (await refusal(create(voice))).reason == "TOO_MANY_DEVICES"
    assert len(await labels(voice)) == MAX_DEVICES


async def test_another_users_device_cannot_be_revoked(voice):
    made = await create(voice)
    await create(voice, BOB, "bob")
    attempt = voice.RevokeDevice(pb.RevokeDeviceRequest(user_id=BOB, device_id=made.device.id))
    assert (await refusal(attempt)).reason == "DEVICE_NOT_FOUND"
    assert await labels(voice) == ["desk"]


async def test_only_the_owner_makes_and_sees_devices(store):
    issuer = Issuer()
    service = VoiceService(Telephony(store, Identity("example.org", "tests"), entropy=os.urandom))
    auth = Auth(issuer.verifier(), public=PUBLIC)
    async with served(rpc.add_VoiceServiceServicer_to_server, service, errors=ERRORS, auth=auth) as made:
        stub = rpc.VoiceServiceStub(made.channel)
        bob = issuer.metadata(BOB)
        for call in (
            stub.CreateDevice(pb.CreateDeviceRequest(user_id=ADA, account="ada", label="desk"), metadata=bob),
            stub.ListDevices(pb.ListDevicesRequest(user_id=ADA), metadata=bob),
            stub.RevokeDevice(pb.RevokeDeviceRequest(user_id=ADA, device_id="x"), metadata=bob),
            stub.ListRegistrations(pb.ListRegistrationsRequest(user_id=ADA), metadata=bob),
        ):
            assert (await refusal(call)).reason == "NOT_ALLOWED"
        await stub.CreateDevice(pb.CreateDeviceRequest(user_id=BOB, account="bob", label="desk"), metadata=bob)


async def test_the_process_registers_a_telephone_and_keeps_it_over_a_restart(tmp_path):
    port, sip = promised_port(), promised_port()
    environ = {
        "VOICE_DATABASE_URL": f"sqlite:///{tmp_path}/voice.db",
        "VOICE_SIP_PORT": str(sip),
        "MESHWRIGHT_PORT": str(port),
        "MESHWRIGHT_REGISTER": "false",
    }
    async with contextlib.AsyncExitStack() as stack:
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        voice = rpc.VoiceServiceStub(channel)
        async with running(python("-m", "services.voice"), tmp_path / "1.log", environ) as process:
            request = pb.CreateDeviceRequest(user_id=ADA, account="ada", label="desk")
            made = await voice.CreateDevice(request, wait_for_ready=True, timeout=30)
            telephone = await stack.enter_async_context(phone(sip, "ada", made.password))
            assert (await telephone.register()).status_code == 200
            assert await process.terminate() == 0
        async with running(python("-m", "services.voice"), tmp_path / "2.log", environ) as process:
            asked = pb.ListRegistrationsRequest(user_id=ADA)
            (known,) = (await voice.ListRegistrations(asked, wait_for_ready=True, timeout=30)).registrations
            assert (known.contact, known.device_id) == (telephone.contact[1:-1], made.device.id)
            assert (await telephone.register()).status_code == 200
            assert await process.terminate() == 0


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("VOICE_RATE", "0", "VOICE_RATE: must be above 0"),
        ("VOICE_SIP_PORT", "70000", "VOICE_SIP_PORT: must be 0 to 65535"),
        ("VOICE_DIGESTS", "SHA-1", "VOICE_DIGESTS: must be SHA-256, MD5, or both with a comma between"),
    ],
)
async def test_a_wrong_environment_is_told(tmp_path, variable, value, told):
    environ = {"MESHWRIGHT_REGISTER": "false", variable: value}
    async with running(python("-m", "services.voice"), tmp_path / "log", environ) as process:
        assert await asyncio.wait_for(process.child.wait(), 30) == 1
    assert told in process.tail()
    assert "Traceback" not in process.tail()


async def test_a_port_that_is_taken_ends_the_process_with_a_sentence(tmp_path, switchboard):
    environ = {
        "VOICE_DATABASE_URL": f"sqlite:///{tmp_path}/other.db",
        "VOICE_SIP_PORT": str(switchboard.port),
        "MESHWRIGHT_PORT": str(promised_port()),
        "MESHWRIGHT_REGISTER": "false",
    }
    async with running(python("-m", "services.voice"), tmp_path / "log", environ) as process:
        assert await asyncio.wait_for(process.child.wait(), 30) == 1
    assert f"VOICE_SIP_PORT: 127.0.0.1:{switchboard.port} cannot be used: address already in use" in process.tail()
    assert "Traceback" not in process.tail()
