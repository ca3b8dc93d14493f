"""Versions by address and by header, what each shows and says of itself, and tenants in the beta."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.gateway.auth.tenancy import TenantUsers
from services.gateway.errors import ApiError
from support.demo.gateway import Demo, demo
from support.demo.people import PASSWORD, Person, address, reason, sign_up

if TYPE_CHECKING:
    from pathlib import Path

    from services.gateway.auth.tenancy import Tenancy

PICTURE = "https://example.org/ada.png"


async def test_each_version_shows_what_the_one_before_did_and_more(served: Demo) -> None:
    ada = await sign_up(served)
    shown = [(await served.http.get(f"/api/v{number}/users/{ada.subject}")).json() for number in (1, 2, 3)]
    assert set(shown[0]) - {"_deprecated", "_new_api_url"} == set(shown[1])
    assert set(shown[2]) == set(shown[1]) | {"identities"}
    assert (shown[1]["phone"], shown[2]["identities"]) == (None, [])


async def test_version_1_says_in_body_and_headers_that_it_is_to_go(served: Demo) -> None:
    path = f"/api/v1/users/{await served.user_id()}"
    answer = await served.http.get(path)
    successor = path.replace("v1", "v2")
    assert (answer.json()["_deprecated"], answer.json()["_new_api_url"]) == (True, successor)
    assert answer.headers["deprecation"] == f"@{int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())}"
    assert parsedate_to_datetime(answer.headers["sunset"]) == datetime(2028, 1, 1, tzinfo=UTC)
    assert answer.headers["link"].startswith(f'<{successor}>; rel="successor-version"')
    assert (await served.http.get(answer.json()["_new_api_url"])).status_code == 200


async def test_the_current_version_says_nothing_of_the_kind(served: Demo) -> None:
    answer = await served.http.get("/api/v3/users")
    assert not {"deprecation", "sunset", "link"} & set(answer.headers)
    assert answer.headers["api-version"] == "v3"


@pytest.mark.parametrize(
    ("header", "version"), [(None, "v3"), ("v1", "v1"), ("2", "v2"), ("2.0", "v2"), ("V3", "v3"), ("v1.0", "v1")]
)
async def test_a_header_chooses_the_version(served: Demo, header, version):
    headers = {} if header is None else {"API-Version": header}
    answer = await served.http.get("/api/users?limit=1", headers=headers)
    assert (answer.status_code, answer.headers["api-version"]) == (200, version)
    assert "API-Version" in answer.headers["vary"]


@pytest.mark.parametrize("header", ["v9", "two", "", "2.1", "\x7f"])
async def test_an_unknown_version_is_refused_with_the_known_ones(served: Demo, header):
    answer = await served.http.get("/api/users", headers={"API-Version": header})
    assert (answer.status_code, answer.json()["detail"]) == (400, "API-Version must be one of v1, v2, v3, v4")


@pytest.mark.parametrize("name", ["v9", "v0", "v01", "v123456"])
async def test_an_address_of_an_unknown_version_is_refused_with_the_known_ones(served: Demo, name):
    answer = await served.http.get(f"/api/{name}/users")
    assert (answer.status_code, answer.json()["detail"]) == (400, f"there is no {name}; versions are v1, v2, v3, v4")


async def test_no_two_versions_of_a_body_have_one_tag(served: Demo) -> None:
    path = f"/api/users/{await served.user_id()}"
    tags = [(await served.http.get(path, headers={"API-Version": f"v{n}"})).headers["etag"] for n in (1, 2, 3)]
    assert len(set(tags)) == 3
    other = await served.http.get(path, headers={"API-Version": "v1", "If-None-Match": tags[1]})
    assert other.status_code == 200
    changed = await served.http.patch(f"/api/v1/users/{path[11:]}", json={"name": "B"}, headers={"If-Match": tags[2]})
    assert changed.status_code == 200


async def test_an_address_and_a_header_that_differ_are_refused(served: Demo) -> None:
    answer = await served.http.get("/api/v2/users", headers={"API-Version": "v1"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "API-Version says v1, and the address says v2")


async def test_after_its_last_day_a_version_is_gone_and_names_its_successor(served: Demo, clock):
    last = datetime(2028, 1, 1, tzinfo=UTC).timestamp()
    clock.ahead = last - clock() - 60
    assert (await served.http.get("/api/v1/users")).status_code == 200
    clock.ahead += 61
    gone = await served.http.get("/api/v1/users")
    assert (gone.status_code, gone.json()["detail"]) == (410, "v1 has ended; go on at /api/v2/users")
    assert 'rel="successor-version"' in gone.headers["link"]
    assert (await served.http.get("/api/users", headers={"API-Version": "1"})).status_code == 410


async def test_the_matrix_tells_what_the_headers_tell(served: Demo, clock):
    document = (await served.http.get("/api/versions")).json()
    rows = {row["version"]: row for row in document["versions"]}
    assert document["current"] == "v3"
    assert {name: row["status"] for name, row in rows.items()} == {
        "v1": "deprecated",
        "v2": "supported",
        "v3": "current",
        "v4": "beta",
    }
    answer = await served.http.get("/api/v1/users")
    assert datetime.fromisoformat(rows["v1"]["sunset_at"]) == parsedate_to_datetime(answer.headers["sunset"])
    clock.ahead = 3 * 366 * 86400.0
    later = (await served.http.get("/api/versions")).json()["versions"]
    assert [row["status"] for row in later] == ["sunset", "sunset", "current", "beta"]


async def test_from_version_2_on_a_write_needs_a_token_and_ones_own(served: Demo) -> None:
    ada, eve = await sign_up(served), await sign_up(served)
    path = f"/api/v2/users/{ada.subject}"
    body = {"phone": "+4930123456", "avatar": PICTURE}
    refused = await served.http.patch(path, json=body)
    assert (reason(refused), refused.headers["www-authenticate"]) == ((401, "TOKEN_MISSING"), "Bearer")
    assert reason(await served.http.patch(path, json=body, headers=eve.headers)) == (403, "NOT_ALLOWED")
    assert reason(await served.http.delete(path, headers=eve.headers)) == (403, "NOT_ALLOWED")
    changed = await served.http.patch(path, json=body, headers=ada.headers)
    assert (changed.json()["phone"], changed.json()["avatar"]) == ("+4930123456", PICTURE)
    assert (await served.http.delete(path, headers=ada.headers)).status_code == 204


@pytest.mark.parametrize(("mode", "read", "write"), [("open", 200, 201), ("writes", 200, 401), ("all", 401, 401)])
async def test_what_needs_a_token_is_a_setting(tmp_path: Path, mode: str, read: int, write: int) -> None:
    async with demo(tmp_path, settings={"GATEWAY_AUTH": mode}) as served:
        for method in ("GET", "HEAD"):
            assert (await served.http.request(method, "/api/v3/users")).status_code == read
        made = await served.http.post("/api/v3/users", json={"name": "Ada", "email": address()})
        assert made.status_code == write
        assert (await served.http.get("/api/v1/users")).status_code == 200


async def test_a_user_with_a_picture_that_is_none_is_not_made_at_all(served: Demo) -> None:
    ada = await sign_up(served)
    body = {"name": "Bob", "email": "bob@example.org", "avatar": "http://plain"}
    assert reason(await served.http.post("/api/v3/users", json=body, headers=ada.headers))[0] == 400
    body["avatar"] = PICTURE
    made = await served.http.post("/api/v3/users", json=body, headers=ada.headers)
    assert (made.status_code, made.json()["avatar"]) == (201, PICTURE)


async def test_the_creator_of_a_user_may_give_it_a_picture_where_services_verify_tokens(tmp_path: Path) -> None:
    async with demo(tmp_path, asks=True) as served:
        ada, acme = await sign_up(served), await sign_up(served, tenant="acme")
        for version, headers in (("v2", ada.headers), ("v3", ada.headers), ("v4", acme.beta)):
            body = {"name": "Bob", "email": address(), "avatar": PICTURE}
            made = await served.http.post(f"/api/{version}/users", json=body, headers=headers)
            assert (made.status_code, made.json()["avatar"]) == (201, PICTURE), made.text
        path = f"/api/v4/users/{made.json()['id']}"
        changed = await served.http.patch(path, json={"avatar": f"{PICTURE}2"}, headers=acme.beta)
        assert (changed.status_code, changed.json()["avatar"]) == (200, f"{PICTURE}2")


async def test_of_changes_all_are_made_or_none(served: Demo) -> None:
    ada = await sign_up(served)
    path = f"/api/v3/users/{ada.subject}"
    changes = {"name": "Ada King", "avatar": "http://plain"}
    assert reason(await served.http.patch(path, json=changes, headers=ada.headers))[0] == 400
    assert (await served.http.get(path)).json()["name"] == "Ada"


async def test_a_user_that_has_changed_is_not_deleted_by_who_has_not_seen_that(served: Demo) -> None:
    path = f"/api/v1/users/{await served.user_id()}"
    seen = (await served.http.get(path)).headers["etag"]
    now = (await served.http.patch(path, json={"name": "Ada King"})).headers["etag"]
    assert reason(await served.http.delete(path, headers={"If-Match": seen})) == (412, "USER_CHANGED")
    assert (await served.http.delete(path, headers={"If-Match": now})).status_code == 204
    assert reason(await served.http.delete(path, headers={"If-Match": now})) == (404, "USER_NOT_FOUND")


async def test_who_has_an_account_is_not_anybodys_to_change_by_the_open_protocols(served: Demo) -> None:
    ada, eve, acme = await sign_up(served), await sign_up(served), await sign_up(served, tenant="acme")
    path = f"/api/v1/users/{ada.subject}"
    rpc = [
        {"jsonrpc": "2.0", "id": 1, "method": "deleteUser", "params": {"id": ada.subject.upper()}},
        {"jsonrpc": "2.0", "id": 2, "method": "updateUser", "params": {"id": ada.subject, "email": address()}},
    ]
    assert reason(await served.http.delete(path)) == (401, "TOKEN_MISSING")
    assert reason(await served.http.patch(path, json={"name": "Eve"}, headers=eve.headers)) == (403, "NOT_ALLOWED")
    for headers, code in (({}, -32005), (eve.headers, -32006)):
        answers = (await served.http.post("/rpc", json=rpc, headers=headers)).json()
        assert [answer["error"]["code"] for answer in answers] == [code, code]
    # Of a tenant's user not even this much is told.
    assert reason(await served.http.delete(f"/api/v1/users/{acme.subject}")) == (404, "USER_NOT_FOUND")
    assert (await served.http.patch(path, json={"name": "Ada King"}, headers=ada.headers)).status_code == 200
    assert (await served.http.delete(path, headers=ada.headers)).status_code == 204


async def test_the_beta_is_for_those_who_ask_for_it(served: Demo) -> None:
    path = "/api/v4/users"
    hidden = await served.http.get(path)
    assert (hidden.status_code, hidden.json()["detail"]) == (404, "v4 is beta: send API-Beta: v4")
    assert (await served.http.get(path, headers={"API-Beta": "v5"})).status_code == 400
    assert reason(await served.http.get(path, headers={"API-Beta": "v4"})) == (401, "TOKEN_MISSING")
    ada = await sign_up(served)
    assert reason(await served.http.get(path, headers=ada.beta)) == (403, "NO_TENANT")


async def members(served: Demo, person: Person) -> set[str]:
    page = await served.http.get("/api/v4/users", headers=person.beta)
    assert page.status_code == 200, page.text
    return {user["id"] for user in page.json()["users"]}


async def test_a_tenant_never_sees_anothers_users(stored: Demo) -> None:
    acme, other = await sign_up(stored, tenant="acme"), await sign_up(stored, tenant="other")
    body = {"name": "Bob", "email": address(), "password": PASSWORD}
    made = await stored.http.post("/api/v4/users", json=body, headers=acme.beta)
    assert (made.status_code, made.json()["tenant"]) == (201, "acme")
    bob = made.json()["id"]
    assert await members(stored, acme) == {acme.subject, bob}
    assert await members(stored, other) == {other.subject}
    spellings = (bob, bob.upper(), bob.replace("-", ""), f"urn:uuid:{bob}", f"%7B{bob}%7D", f"0{bob}"[1:])
    for user_id in spellings:
        for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/summary")):
            for version, headers in (("v4", other.beta), ("v3", other.headers), ("v1", {})):
                path = f"/api/{version}/users/{user_id}{rest}"
                json = {"name": "Eve"} if method == "PATCH" else None
                answer = await stored.http.request(method, path, json=json, headers=headers)
                assert answer.status_code in {403, 404}, (path, answer.text)
                assert "Bob" not in answer.text
        valid = await stored.http.post(f"/api/v4/users/{user_id}/validate", headers=other.beta)
        assert valid.json()["is_valid"] is False
    for version in ("v1", "v2", "v3"):
        assert (await stored.http.get(f"/api/{version}/users")).json()["users"] == []
    rpc = {"jsonrpc": "2.0", "id": 1, "method": "getUser", "params": {"id": bob}}
    assert (await stored.http.post("/rpc", json=rpc)).json()["error"]["code"] == -32001
    assert (await stored.http.get(f"/api/v4/users/{bob}", headers=acme.beta)).json()["name"] == "Bob"


async def test_a_member_signs_in_to_its_tenant_and_makes_no_user(stored: Demo) -> None:
    acme = await sign_up(stored, tenant="acme")
    email = address()
    body = {"name": "Bob", "email": email, "password": PASSWORD}
    await stored.http.post("/api/v4/users", json=body, headers=acme.beta)
    tokens = (await stored.http.post("/auth/sign-in", json={"email": email, "password": PASSWORD})).json()
    bob = Person(email, tokens["subject"], tokens)
    assert await members(stored, bob) == {acme.subject, bob.subject}
    body["email"] = address()
    assert reason(await stored.http.post("/api/v4/users", json=body, headers=bob.beta)) == (403, "NOT_ALLOWED")
    page = await stored.http.get("/api/v4/users?limit=1", headers=bob.beta)
    rest = await stored.http.get(f"/api/v4/users?after={page.json()['next']}", headers=bob.beta)
    assert [user["id"] for user in rest.json()["users"]] == [bob.subject]


class Users:
    """A user service that fails with `code`, and notes whose the user was when it was asked to make it."""

    def __init__(self, tenancy: Tenancy, code: str) -> None:
        self._tenancy = tenancy
        self._code = code
        self.user_id = ""
        self.seen: dict[str, str] = {}

    async def create(self, *_written: Any, user_id: str, **_more: Any) -> Any:
        self.user_id = user_id
        self.seen = await self._tenancy.tenants_of([self.user_id])
        raise ApiError(self._code)


@pytest.mark.parametrize(("code", "stays"), [("DEADLINE_EXCEEDED", True), ("ALREADY_EXISTS", False)])
async def test_a_tenants_user_is_the_tenants_before_it_is_there(stored: Demo, code: str, stays: bool) -> None:
    tenancy = stored.edge.tenancy
    users = Users(tenancy, code)
    with pytest.raises(ApiError, match=code):
        await TenantUsers(users, tenancy, stored.edge.store, "acme").create("Bob", address(), "", 5.0)  # type: ignore[arg-type]
    assert users.seen == {users.user_id: "acme"}
    assert await tenancy.tenants_of([users.user_id]) == ({users.user_id: "acme"} if stays else {})


async def test_pages_of_a_tenant_go_on_past_users_who_are_gone(stored: Demo) -> None:
    acme = await sign_up(stored, tenant="acme")
    made = []
    for _ in range(4):
        body = {"name": "Bob", "email": address()}
        made.append((await stored.http.post("/api/v4/users", json=body, headers=acme.beta)).json()["id"])
    for gone in made[:2]:
        assert (await stored.http.delete(f"/api/v4/users/{gone}", headers=acme.beta)).status_code == 204
    found, after = [], ""
    while after is not None:
        page = (await stored.http.get(f"/api/v4/users?limit=1&after={after}", headers=acme.beta)).json()
        found += [user["id"] for user in page["users"]]
        after = page["next"]
    assert found == [acme.subject, *made[2:]]


async def test_a_name_of_a_tenant_is_founded_once(stored: Demo) -> None:
    await sign_up(stored, tenant="acme")
    body = {"name": "Eve", "email": address(), "password": PASSWORD, "tenant": "acme"}
    assert reason(await stored.http.post("/auth/sign-up", json=body)) == (409, "TENANT_TAKEN")


async def test_an_admin_of_a_tenant_is_none_elsewhere(served: Demo) -> None:
    acme, ada = await sign_up(served, tenant="acme"), await sign_up(served)
    answer = await served.http.patch(f"/api/v3/users/{ada.subject}", json={"name": "Eve"}, headers=acme.headers)
    assert reason(answer) == (404, "USER_NOT_FOUND")


async def test_a_page_is_full_though_users_of_tenants_are_left_out(stored: Demo) -> None:
    first = await stored.user_id()
    await sign_up(stored, tenant="acme")
    second = await stored.user_id()
    page = (await stored.http.get("/api/v1/users?limit=2")).json()
    assert ([user["id"] for user in page["users"]], page["next"]) == ([first, second], None)
