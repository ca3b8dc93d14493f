"""The slides about API versions: by path, header and proto package, and their deprecation."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from services.tour.guide import fresh, short

if TYPE_CHECKING:
    from services.tour.guide import Guide, TourUser

GONE = 410
NEWER = "2.0.0"


async def by_address_and_header(guide: Guide) -> None:
    """URL versioning, header versioning, additive changes."""
    person = await guide.person("John Doe")
    first = await guide.ask("GET", f"/api/v1/users/{person.id}")
    second = await guide.get(f"/api/v2/users/{person.id}")
    if first.status_code == GONE:
        guide.saw("v1 has ended")
    else:
        guide.check(first.json().keys() - {"_deprecated", "_new_api_url"} <= second.keys(), "every field of v1 in v2")
    third = await guide.get(f"/api/v3/users/{person.id}")
    guide.check(second.keys() <= third.keys(), "every field of v2 in v3")
    guide.saw(f"v3 adds {', '.join(sorted(third.keys() - second.keys()))}, and takes nothing away")
    by_header = await guide.ask("GET", f"/api/users/{person.id}", headers={"API-Version": "v2"})
    guide.check(by_header.json() == second, "the same by header")
    unknown = await guide.ask("GET", f"/api/users/{person.id}", headers={"API-Version": "v9"})
    guide.check(unknown.status_code == 400, "400 for a version that there is not")
    guide.slide_says("answers an unknown version with the latest: a client with a typo would not learn of it")


async def ending(guide: Guide) -> None:
    """Deprecation strategy and the support matrix."""
    person = await guide.person("John Doe")
    answer = await guide.ask("GET", f"/api/v1/users/{person.id}")
    for name in ("Deprecation", "Sunset", "Link"):
        guide.saw(f"{name}: {answer.headers[name]}")
    if answer.status_code == GONE:
        guide.saw("the day has come: 410, and where to go on")
    else:
        guide.check(answer.json()["_deprecated"] is True, "the flag of the slide in the body")
    guide.check(answer.headers["Deprecation"].startswith("@"), "a date as RFC 9745 wants it")
    guide.slide_says("sends `Deprecation: version=v1` and `Sunset: 2024-12-31`, which no client can read")
    matrix = await guide.get("/api/versions")
    for row in matrix["versions"]:
        guide.saw(f"{row['version']:<3} {row['status']:<11} ends {row['sunset_at'] or '-':<21} {row['features']}")


async def tenants(guide: Guide) -> None:
    """v4 of the matrix, a beta: multi-tenancy."""
    one, other = await guide.person("Ada Lovelace", fresh("acme")), await guide.person("Bob Ross", fresh("globex"))
    address, opted = f"/api/v4/users/{one.id}", {"API-Beta": "v4"}
    closed = await guide.ask("GET", address, who=one)
    guide.check(closed.status_code == 404, "404 for who has not asked for the beta")
    own = await guide.ask("GET", address, who=one, headers=opted)
    guide.check(own.json()["tenant"].startswith("acme"), "herself, with her tenant")
    foreign = await guide.ask("GET", address, who=other, headers=opted)
    guide.check(foreign.status_code == 404, "404: for another tenant there is no such user")
    guide.slide_says("names multi-tenancy in the matrix and shows nothing of it")


async def by_package(guide: Guide) -> None:
    """gRPC versioning: two packages, one server."""
    person = await guide.person("John Doe")
    old = await guide.call("user", "demo.user.v1.UserService/GetUser", {"id": person.id}, who=person)
    new = await guide.call("user", "demo.user.v2.UserService/GetUserHistory", {"id": person.id}, who=person)
    created = json.loads(new["events"][0]["data"])
    guide.check(old["email"] == created["email"] == person.email, "the same user by both")
    await _new_method(guide, person)
    guide.slide_says("leaves open who keeps v1 as it was: here `buf breaking` refuses a change in `make check`")


async def _new_method(guide: Guide, person: TourUser) -> None:
    """GetUserProfile is in release 2.0.0 of the service: an instance of it, beside those of 1.0.0, for a moment."""

    async def newer() -> str:
        found = await guide.instances("user")
        return next((row["address"] for row in found.values() if row["version"] == NEWER), "")

    begun = not await newer()
    if begun:
        await guide.command("scale", "user", "1", "--version", NEWER)
    try:
        address = await guide.until(f"an instance of user {NEWER}", newer)
        method = "demo.user.v2.UserService/GetUserProfile"
        token = f"authorization=Bearer {person.token}"
        request = json.dumps({"id": person.id})
        guide.say(short(f"  $ meshwright call user {method} {shlex.quote(request)} --address {address}"))
        profile = await guide.read("call", "user", method, request, "--address", address, "-H", token)
        guide.say(short(f"    {json.dumps(profile)}"))
        guide.check(profile["email"] == person.email, "the profile, by the method that v1 has not")
    finally:
        if begun:
            await guide.command("scale", "user", "0", "--version", NEWER)
