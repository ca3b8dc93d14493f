"""The slides about API versions: by address, by header, by proto package, and how one of them ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from services.tour.guide import Stop

if TYPE_CHECKING:
    from services.tour.guide import Guide


async def by_address_and_header(guide: Guide) -> None:
    """URL versioning, header versioning, additive changes."""
    person = await guide.person("John Doe")
    first = await guide.get(f"/api/v1/users/{person.id}")
    second = await guide.get(f"/api/v2/users/{person.id}")
    guide.check(first.keys() - {"_deprecated", "_new_api_url"} <= second.keys(), "every field of v1 in v2")
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
    guide.check(answer.json()["_deprecated"] is True, "the flag of the slide in the body")
    guide.check(answer.headers["Deprecation"].startswith("@"), "a date as RFC 9745 wants it")
    guide.slide_says("sends `Deprecation: version=v1` and `Sunset: 2024-12-31`, which no client can read")
    matrix = await guide.get("/api/versions")
    for row in matrix["versions"]:
        guide.saw(f"{row['version']:<3} {row['status']:<11} ends {row['sunset_at'] or '-':<21} {row['features']}")


async def by_package(guide: Guide) -> None:
    """gRPC versioning: two packages, one server."""
    person = await guide.person("John Doe")
    old = await guide.call("user", "demo.user.v1.UserService/GetUser", {"id": person.id}, who=person)
    new = await guide.call("user", "demo.user.v2.UserService/GetUserHistory", {"id": person.id}, who=person)
    created = json.loads(new["events"][0]["data"])
    guide.check(old["email"] == created["email"] == person.email, "the same user by both")
    guide.slide_says("leaves open who keeps v1 as it was: here `buf breaking` refuses a change in `make check`")


STOPS = (
    Stop("API versioning strategies: URL and header; additive changes", "versions", by_address_and_header),
    Stop("Breaking changes handling; version support matrix", "deprecation", ending),
    Stop("gRPC versioning", "packages", by_package),
)
