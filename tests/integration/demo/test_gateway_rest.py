"""The gateway's REST API: what goes in, what comes out, and how failures read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.demo.gateway import Demo

USERS = "/api/v1/users"
NOBODY = "01890000-0000-7000-8000-000000000000"


def problem(response) -> dict:
    """The problem document, having checked that it is one."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["type"] == "about:blank"
    assert document["instance"] == response.request.url.path
    assert document["title"]
    return document


async def test_a_user_is_created_where_location_says(served: Demo) -> None:
    body = {"name": "Ada Lovelace", "email": "ada@example.org", "phone": "+49 30 123456"}
    created = await served.http.post(USERS, json=body)
    assert created.status_code == 201
    user = created.json()
    assert user | body == user | {"phone": "+49 30 123456"}
    assert (user["phone"], user["active"]) == ("+4930123456", True)
    assert user["created_at"].endswith("Z")
    found = await served.http.get(created.headers["location"])
    assert (found.status_code, found.json(), found.headers["etag"]) == (200, user, created.headers["etag"])


async def test_wrong_fields_are_named_by_the_service_that_owns_them(served: Demo) -> None:
    response = await served.http.post(USERS, json={"name": "", "email": "ada"})
    document = problem(response)
    assert (response.status_code, document["code"], document["reason"]) == (400, "INVALID_ARGUMENT", "INVALID_USER")
    assert document["errors"] == [
        {"field": "name", "detail": "is required"},
        {"field": "email", "detail": "must be an e-mail address, as in ada@example.org"},
    ]


async def test_an_address_that_is_taken_is_a_conflict(served: Demo) -> None:
    await served.user_id(email="ada@example.org")
    response = await served.http.post(USERS, json={"name": "Ada", "email": "Ada@Example.org"})
    document = problem(response)
    assert (response.status_code, document["reason"]) == (409, "EMAIL_TAKEN")
    assert document["detail"] == "another user has this e-mail address"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/summary")],
)
@pytest.mark.parametrize("user_id", [NOBODY, "x", "%00", "%F0%9F%9A%80", "a" * 3000])
async def test_an_unknown_user_is_not_found(served: Demo, method, path, user_id):
    body = {"name": "Ada"} if method == "PATCH" else None
    response = await served.http.request(method, f"{USERS}/{user_id}{path}", json=body)
    assert (response.status_code, response.json()["detail"]) == (404, "there is no such user")


async def test_a_patch_changes_what_it_carries(served: Demo) -> None:
    user_id = await served.user_id(phone="+4930123456")
    response = await served.http.patch(f"{USERS}/{user_id}", json={"phone": "", "active": False})
    assert response.status_code == 200
    user = response.json()
    assert (user["name"], user["phone"], user["active"]) == ("Ada", "", False)
    assert (await served.http.patch(f"{USERS}/{user_id}", json={})).json() == user


async def test_a_patch_of_an_older_state_fails_its_precondition(served: Demo) -> None:
    path = f"{USERS}/{await served.user_id()}"
    etag = (await served.http.get(path)).headers["etag"]
    first = await served.http.patch(path, json={"name": "Ada King"}, headers={"If-Match": etag})
    assert first.status_code == 200
    assert first.headers["etag"] != etag
    second = await served.http.patch(path, json={"name": "Ada Byron"}, headers={"If-Match": etag})
    assert (second.status_code, problem(second)["reason"]) == (412, "USER_CHANGED")
    foreign = await served.http.patch(path, json={"name": "Ada Byron"}, headers={"If-Match": '"zzz"'})
    assert (foreign.status_code, problem(foreign)["detail"]) == (412, "If-Match is not an ETag of this user")
    assert (await served.http.get(path)).json()["name"] == "Ada King"


async def test_a_deleted_user_is_gone(served: Demo) -> None:
    path = f"{USERS}/{await served.user_id()}"
    deleted = await served.http.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await served.http.get(path)).status_code == 404


async def test_users_are_listed_page_by_page(served: Demo) -> None:
    assert (await served.http.get(USERS)).json() == {"users": [], "next": None}
    ids = sorted([await served.user_id() for _ in range(5)])
    seen, after = [], ""
    for _ in range(3):
        page = (await served.http.get(USERS, params={"limit": 2, "after": after})).json()
        seen += [user["id"] for user in page["users"]]
        after = page["next"]
    assert (seen, after) == (ids, None)


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("limit=0", 422, "limit should be greater than or equal to 1"),
        ("limit=501", 422, "limit should be less than or equal to 500"),
        ("limit=ten", 422, "limit must be a whole number"),
        ("after=nobody", 400, "after must be the id of a user"),
    ],
)
async def test_a_page_has_bounds(served: Demo, query, status, detail):
    response = await served.http.get(f"{USERS}?{query}")
    assert (response.status_code, problem(response)["detail"]) == (status, detail)


async def test_validation_answers_for_unknown_users_too(served: Demo) -> None:
    good = await served.http.post(f"{USERS}/{await served.user_id()}/validate")
    assert (good.status_code, good.json()) == (200, {"is_valid": True, "reason": ""})
    unknown = await served.http.post(f"{USERS}/{NOBODY}/validate")
    assert (unknown.status_code, unknown.json()) == (200, {"is_valid": False, "reason": "there is no such user"})


async def test_a_summary_is_composed_of_two_services(served: Demo) -> None:
    user_id = await served.user_id()
    response = await served.http.get(f"{USERS}/{user_id}/summary")
    assert response.status_code == 200
    summary = response.json()
    assert (summary["user"]["id"], summary["member_days"], summary["points"]) == (user_id, 1, 10.0)


@pytest.mark.parametrize(
    ("operation", "a", "b", "value"), [("add", 1, 2, 3), ("multiply", 6, 7, 42), ("add", 0.5, -1, -0.5)]
)
async def test_two_numbers_give_one(served: Demo, operation, a, b, value):
    response = await served.http.post(f"/api/v1/calculator/{operation}", json={"a": a, "b": b})
    assert (response.status_code, response.json()) == (200, {"value": value})


async def test_a_result_that_no_double_holds_is_refused(served: Demo) -> None:
    response = await served.http.post("/api/v1/calculator/multiply", json={"a": 1e200, "b": 1e200})
    assert (response.status_code, problem(response)["code"]) == (400, "OUT_OF_RANGE")


async def test_primes_come_as_lines(served: Demo) -> None:
    response = await served.http.get("/api/v1/calculator/primes?limit=12")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["value"] for line in response.text.splitlines()] == [2, 3, 5, 7, 11]


async def test_no_primes_are_no_lines(served: Demo) -> None:
    response = await served.http.get("/api/v1/calculator/primes?limit=1")
    assert (response.status_code, response.text) == (200, "")


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("", 422, "limit is required"),
        ("?limit=-1", 400, "limit must be from 0 to 100000"),
        ("?limit=100001", 400, "limit must be from 0 to 100000"),
        ("?limit=99999999999", 422, "limit should be less than or equal to 2147483647"),
        ("?limit=1e3", 422, "limit must be a whole number"),
        ("?limit=" + "9" * 5000, 422, "limit must be a whole number of usual size"),
    ],
)
async def test_a_limit_is_checked_before_the_first_line(served: Demo, query, status, detail):
    response = await served.http.get(f"/api/v1/calculator/primes{query}")
    assert (response.status_code, problem(response)["detail"]) == (status, detail)


async def test_what_is_not_there_and_what_is_not_possible_are_problems_too(served: Demo) -> None:
    missing = await served.http.get("/api/v1/people")
    assert (missing.status_code, problem(missing)["title"]) == (404, "Not Found")
    impossible = await served.http.put(USERS, json={})
    assert (impossible.status_code, problem(impossible)["detail"]) == (405, "PUT is not possible here")
    assert impossible.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    options = await served.http.options(f"{USERS}/x")
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH")


async def test_a_service_that_is_away_is_told_without_its_address(served: Demo) -> None:
    await served.user.stop()
    response = await served.http.get(f"{USERS}/{NOBODY}")
    document = problem(response)
    assert (response.status_code, document["code"]) == (503, "UNAVAILABLE")
    assert document["detail"] == "a service that is needed for the answer cannot be reached now"
    assert response.headers["retry-after"] == "1"


async def test_a_service_behind_the_service_that_is_away_is_told_alike(served: Demo) -> None:
    user_id = await served.user_id()
    await served.calculator.stop()
    response = await served.http.get(f"{USERS}/{user_id}/summary")
    document = problem(response)
    assert (response.status_code, document["reason"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert document["detail"] == "a service that this one needs did not answer"
