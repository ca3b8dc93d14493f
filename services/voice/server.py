"""The gRPC service of telephony: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2, timestamp_pb2

from demo.voice.v1 import voice_pb2 as pb
from demo.voice.v1 import voice_pb2_grpc as rpc
from meshwright.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from services.common.runtime.authorization import check_owner
from services.common.runtime.errors import StoreUnavailableError
from services.voice import domain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import grpc

    from meshwright.errors import ServiceError
    from services.voice.app import Telephony

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidDeviceError: InvalidArgumentError,
    domain.AccountTakenError: AlreadyExistsError,
    domain.TooManyDevicesError: ResourceExhaustedError,
    domain.DeviceNotFoundError: NotFoundError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset[str]()
"""Methods without authentication: none."""


class VoiceService(rpc.VoiceServiceServicer):
    def __init__(self, telephony: Telephony) -> None:
        self._telephony = telephony

    async def CreateDevice(self, request: pb.CreateDeviceRequest, context: Context) -> pb.CreatedDevice:
        check_owner(request.user_id)
        device, password = await self._telephony.create_device(request.user_id, request.account, request.label)
        identity = self._telephony.identity
        return pb.CreatedDevice(
            device=device_message(device),
            password=password,
            address=f"sip:{device.account}@{identity.domain}",
            realm=identity.realm,
        )

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        check_owner(request.user_id)
        devices = await self._telephony.devices(request.user_id)
        return pb.ListDevicesResponse(devices=[device_message(device) for device in devices])

    async def RevokeDevice(self, request: pb.RevokeDeviceRequest, context: Context) -> empty_pb2.Empty:
        check_owner(request.user_id)
        await self._telephony.revoke_device(request.user_id, request.device_id)
        return empty_pb2.Empty()

    async def ListRegistrations(
        self, request: pb.ListRegistrationsRequest, context: Context
    ) -> pb.ListRegistrationsResponse:
        check_owner(request.user_id)
        found = await self._telephony.registrations(request.user_id)
        return pb.ListRegistrationsResponse(registrations=[registration_message(binding) for binding in found])


def device_message(device: domain.Device) -> pb.Device:
    return pb.Device(
        id=device.id,
        user_id=device.user_id,
        account=device.account,
        label=device.label,
        created_at=_timestamp(device.created_at),
    )


def registration_message(binding: domain.Binding) -> pb.Registration:
    return pb.Registration(
        device_id=binding.device_id,
        contact=binding.contact,
        source=binding.source,
        user_agent=binding.user_agent,
        expires_at=_timestamp(binding.expires_at),
    )


def _timestamp(at: datetime) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(at)
    return made
