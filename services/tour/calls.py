"""The slides about calls: REST outside and gRPC inside, JSON-RPC, streams, errors, who may call."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from services.tour.guide import Stop

if TYPE_CHECKING:
    from services.tour.guide import Guide

UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"


async def outside_and_inside(guide: Guide) -> None:
    """External APIs by HTTP, internal ones by gRPC: the same call on both ways."""
    rest = await guide.ask("POST", "/api/v1/calculator/add", {"a": 2, "b": 3})
    inside = await guide.call("calculator", "Add", {"a": 2, "b": 3})
    guide.check(rest.json()["value"] == inside["value"] == 5, "5 on both ways")
    guide.saw("JSON for everybody outside, Protocol Buffers between services; how many bytes each takes:")
    guide.saw("`meshwright compare-protocols` measures it, beside the slide's 650 KB, 85 KB, 50 KB, 7x and 87 %")
    guide.trace_link()


async def json_rpc(guide: Guide) -> None:
    """JSON-RPC: simple RPC over HTTP, and what the slide leaves out of the specification."""
    person = {"name": "John Doe", "email": f"john.{os.urandom(3).hex()}@example.com"}
    made = await guide.ask("POST", "/rpc", {"jsonrpc": "2.0", "method": "createUser", "params": person, "id": 1})
    guide.check(made.json()["result"]["name"] == "John Doe", "the user that was created")
    batch = [
        {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 2},
        {"jsonrpc": "2.0", "method": "nothing", "id": 3},
        {"jsonrpc": "2.0", "method": "add", "params": {"a": 1, "b": 1}},
    ]
    answers = (await guide.ask("POST", "/rpc", batch)).json()
    by_id = {answer["id"]: answer for answer in answers}
    guide.check(by_id[2]["result"] == 3, "the sum")
    guide.check(by_id[3]["error"]["code"] == -32601, "-32601, method not found")
    guide.check(len(answers) == 2, "no answer to the notification, which has no id")
    guide.slide_says("has neither batches, notifications nor error codes, which the specification asks for")


async def streaming(guide: Guide) -> None:
    """gRPC streaming: the server sends one prime after the other."""
    printed = await guide.command("call", "calculator", "GetPrimes", json.dumps({"limit": 12}), lines=6)
    primes = [json.loads(line)["value"] for line in printed.splitlines()]
    guide.check(primes == [2, 3, 5, 7, 11], f"the primes up to 12, not {primes}")
    answer = await guide.ask("GET", "/api/v1/calculator/primes?limit=12", quiet=True)
    guide.saw(f"through the gateway the same stream is lines of JSON: {' '.join(answer.text.split())}")
    guide.slide_says(
        "holds a thread for each stream (time.Sleep); here a caller that goes away ends the stream at once"
    )


async def errors(guide: Guide) -> None:
    """User service with gRPC: bad input, somebody who is not there, an address that is taken."""
    wrong = await guide.ask("POST", "/api/v1/users", {"name": "", "email": "nobody"})
    guide.check({item["field"] for item in wrong.json()["errors"]} == {"name", "email"}, "both fields named at once")
    missing = await guide.ask("GET", f"/api/v1/users/{UNKNOWN_ID}")
    guide.check((missing.status_code, missing.json()["reason"]) == (404, "USER_NOT_FOUND"), "404 with a reason")
    person = await guide.person("Grace Hopper")
    body = {"name": "Other", "email": person.email.upper()}
    taken = await guide.ask("POST", "/api/v1/users", body)
    guide.check(taken.status_code == 409, "409: addresses are compared without regard to case")
    guide.slide_says(
        "asks whether the address exists and inserts then; two at once both pass. Here an index refuses one"
    )


async def interceptors(guide: Guide) -> None:
    """gRPC middleware and interceptors: authentication, metrics."""
    refused = await guide.ask("GET", "/api/v3/orders")
    guide.check((refused.status_code, refused.json()["reason"]) == (401, "TOKEN_MISSING"), "401 without a token")
    forged = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."}
    none = await guide.ask("GET", "/api/v3/orders", headers=forged)
    guide.check(none.status_code == 401, "401 for a token with the algorithm `none`")
    person = await guide.person("Ada Lovelace")
    own = await guide.ask("GET", "/api/v3/orders", who=person)
    guide.check(own.status_code == 200, "200 with her own token")
    guide.slide_says(
        "keeps the user's id under a plain string key, and says nothing of keys that change: see /.well-known/jwks.json"
    )


STOPS = (
    Stop("Internal vs external API architecture; a simple gRPC service", "calls", outside_and_inside),
    Stop("JSON-RPC: simple RPC over HTTP", "json-rpc", json_rpc),
    Stop("gRPC streaming", "streaming", streaming),
    Stop("User service with gRPC", "errors", errors),
    Stop("gRPC middleware and interceptors", "interceptors", interceptors),
)
