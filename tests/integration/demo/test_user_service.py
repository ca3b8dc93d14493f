"""The user service over gRPC, with the calculator behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import timestamp_pb2

import meshwright
from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc

if TYPE_CHECKING:
    from meshwright.calls.errors import ErrorDetails
    from support.demo.gateway import Demo

NOBODY = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def users(served: Demo) -> rpc.UserServiceStub:
    return rpc.UserServiceStub(served.user_channel)


async def refusal(call) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


async def create(users, name="Ada", email="ada@example.org", phone="+49 30 123456") -> pb.User:
    return await users.CreateUser(pb.CreateUserRequest(name=name, email=email, phone=phone))


async def test_a_user_is_created_and_read(users):
    ada = await create(users)
    assert (ada.name, ada.email, ada.phone, ada.active) == ("Ada", "ada@example.org", "+4930123456", True)
    assert ada.created_at == ada.updated_at
    assert abs(ada.created_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=30)
    assert await users.GetUser(pb.GetUserRequest(id=ada.id)) == ada


async def test_all_wrong_fields_are_named(users):
    found = await refusal(create(users, name="", email="ada", phone="1"))
    assert (found.code, found.reason, set(found.fields)) == (
        "INVALID_ARGUMENT",
        "INVALID_USER",
        {"name", "email", "phone"},
    )
    assert found.fields["name"] == "is required"


async def test_an_address_is_taken_once(users):
    await create(users)
    found = await refusal(create(users, email="ADA@example.org"))
    assert (found.code, found.reason) == ("ALREADY_EXISTS", "EMAIL_TAKEN")
    assert "example.org" not in found.message


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetUser", pb.GetUserRequest(id=NOBODY)),
        ("UpdateUser", pb.UpdateUserRequest(id=NOBODY, name="Ada")),
        ("DeleteUser", pb.DeleteUserRequest(id=NOBODY)),
        ("GetUserSummary", pb.GetUserSummaryRequest(id=NOBODY)),
        ("GetUser", pb.GetUserRequest(id="\x00")),
        ("GetUser", pb.GetUserRequest()),
    ],
)
async def test_an_unknown_user_is_not_found(users, method, request_):
    found = await refusal(getattr(users, method)(request_))
    assert (found.code, found.reason, found.message) == ("NOT_FOUND", "USER_NOT_FOUND", "there is no such user")


async def test_an_update_writes_the_fields_that_are_there_even_empty_ones(users):
    ada = await create(users)
    changed = await users.UpdateUser(pb.UpdateUserRequest(id=ada.id, phone="", active=False))
    assert (changed.name, changed.email, changed.phone, changed.active) == ("Ada", "ada@example.org", "", False)
    assert changed.updated_at.ToNanoseconds() > ada.updated_at.ToNanoseconds()
    found = await refusal(users.UpdateUser(pb.UpdateUserRequest(id=ada.id, name="")))
    assert found.fields == {"name": "is required"}


async def test_an_update_of_an_older_state_is_aborted(users):
    ada = await create(users)
    request = pb.UpdateUserRequest(id=ada.id, name="Ada King", if_updated_at=ada.updated_at)
    assert (await users.UpdateUser(request)).name == "Ada King"
    found = await refusal(users.UpdateUser(request))
    assert (found.code, found.reason) == ("ABORTED", "USER_CHANGED")


async def test_a_time_that_no_calendar_has_is_refused(users):
    ada = await create(users)
    never = timestamp_pb2.Timestamp(seconds=2**60)
    found = await refusal(users.UpdateUser(pb.UpdateUserRequest(id=ada.id, name="A", if_updated_at=never)))
    assert found.fields == {"if_updated_at": "must be a time between the years 1 and 9999"}


async def test_an_address_of_another_cannot_be_taken_by_update(users):
    await create(users)
    grace = await create(users, email="grace@example.org")
    found = await refusal(users.UpdateUser(pb.UpdateUserRequest(id=grace.id, email="Ada@Example.org")))
    assert found.code == "ALREADY_EXISTS"


async def test_users_are_listed_in_the_order_of_creation(users):
    created = [await create(users, email=f"ada{number}@example.org") for number in range(5)]
    by_id = sorted(created, key=lambda user: user.id)
    assert [user async for user in users.ListUsers(pb.ListUsersRequest())] == by_id
    assert [user async for user in users.ListUsers(pb.ListUsersRequest(limit=2, after=by_id[0].id))] == by_id[1:3]


async def test_a_list_refuses_what_it_cannot_mean(users):
    found = await refusal(users.ListUsers(pb.ListUsersRequest(limit=-1, after="x")).read())
    assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"limit", "after"})


async def test_a_deleted_user_is_gone(users):
    ada = await create(users)
    await users.DeleteUser(pb.DeleteUserRequest(id=ada.id))
    assert (await refusal(users.GetUser(pb.GetUserRequest(id=ada.id)))).code == "NOT_FOUND"


async def test_validation_tells_why_not(users):
    ada = await create(users)
    assert (await users.ValidateUser(pb.ValidateUserRequest(user_id=ada.id))).is_valid
    await users.UpdateUser(pb.UpdateUserRequest(id=ada.id, active=False))
    inactive = await users.ValidateUser(pb.ValidateUserRequest(user_id=ada.id))
    assert (inactive.is_valid, inactive.reason) == (False, "the user is not active")
    unknown = await users.ValidateUser(pb.ValidateUserRequest(user_id=NOBODY))
    assert (unknown.is_valid, unknown.reason) == (False, "there is no such user")


async def test_a_summary_holds_the_figure_of_the_calculator(users):
    ada = await create(users)
    summary = await users.GetUserSummary(pb.GetUserSummaryRequest(id=ada.id))
    assert (summary.user, summary.member_days, summary.points) == (ada, 1, 10)


async def test_without_the_calculator_a_summary_is_unavailable_and_the_user_is_not(served: Demo, users):
    ada = await create(users)
    await served.calculator.stop()
    found = await refusal(users.GetUserSummary(pb.GetUserSummaryRequest(id=ada.id)))
    assert (found.code, found.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
    assert "127.0.0.1" not in found.message
    assert await users.GetUser(pb.GetUserRequest(id=ada.id)) == ada
