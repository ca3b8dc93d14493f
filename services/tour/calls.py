"""The slides about calls: REST outside and gRPC inside, JSON-RPC, streams, errors, authentication."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from services.tour.guide import short

if TYPE_CHECKING:
    from services.tour.guide import Guide

FEW = 10
"""Calls of each protocol; the bytes do not vary."""
UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"


async def outside_and_inside(guide: Guide) -> None:
    """External APIs by HTTP, internal ones by gRPC: the same call on both ways."""
    rest = await guide.ask("POST", "/api/v3/calculator/add", {"a": 2, "b": 3})
    inside = await guide.call("calculator", "Add", {"a": 2, "b": 3})
    guide.check(rest.json()["value"] == inside["value"] == 5, "5 on both ways")
    guide.saw("JSON outside, Protocol Buffers between services")
    guide.trace_link()


async def sizes(guide: Guide) -> None:
    """HTTP vs gRPC: size comparison; performance comparison."""
    guide.say(f"  $ meshwright compare-protocols -n {FEW}")
    report = await guide.read("compare-protocols", "-n", str(FEW), "--json", mesh=False)
    both = {"createUser": "one call", "chat": "one message, until it is heard"}
    for work, what in both.items():
        rows = [(row["protocol"], row["bytes"]) for row in report["protocols"] if row["work"] == work]
        each = ", ".join(f"{name} {(one['up'] + one['down']) / FEW:.0f}" for name, one in rows)
        guide.saw(f"{work}, bytes of {what}: {each}")
    for claim in report["claims"]:
        if "faster" not in claim["claim"]:  # A few calls do not measure speed.
            guide.slide_says(claim["claim"])
            guide.saw(f"here: {claim['found']}")
    guide.saw("how fast each is, and what processors do for it: `meshwright compare-protocols`, half a minute or so")
    up = {row["protocol"]: row["bytes"]["up"] for row in report["protocols"] if row["work"] == "createUser"}
    guide.check(up["gRPC"] < up["HTTP/1.1 JSON"], "fewer bytes by gRPC")


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
    answer = await guide.ask("GET", "/api/v3/calculator/primes?limit=12", quiet=True)
    guide.saw(f"through the gateway the same stream is lines of JSON: {' '.join(answer.text.split())}")
    numbers = "\n".join(json.dumps({"value": value}) for value in (1, 2, 3))
    total = await guide.command("call", "calculator", "SumNumbers", "-", typed=numbers, lines=1)
    guide.check(json.loads(total)["value"] == 6, "6: the client streamed, the server summed")
    words = "\n".join(json.dumps({"user": "visitor", "text": text}) for text in ("Hello!", "Bye!"))
    said = await guide.command("call", "calculator", "NumberService/Chat", "-", typed=words, lines=2)
    guide.check("Hello!" in said and "Bye!" in said, "both messages on a stream both ways")
    guide.slide_says(
        "holds a thread for each stream (time.Sleep); here a caller that goes away ends the stream at once"
    )


async def errors(guide: Guide) -> None:
    """User service with gRPC: invalid input, an unknown user, a taken address."""
    person = await guide.person("Grace Hopper")
    wrong = await guide.ask("POST", "/api/v3/users", {"name": "", "email": "nobody"}, who=person)
    guide.check({item["field"] for item in wrong.json()["errors"]} == {"name", "email"}, "both fields named at once")
    missing = await guide.ask("GET", f"/api/v3/users/{UNKNOWN_ID}")
    guide.check((missing.status_code, missing.json()["reason"]) == (404, "USER_NOT_FOUND"), "404 with a reason")
    body = {"name": "Other", "email": person.email.upper()}
    taken = await guide.ask("POST", "/api/v3/users", body, who=person)
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
    await _metrics(guide)
    guide.slide_says(
        "keeps the user's id under a plain string key, and says nothing of keys that change: see /.well-known/jwks.json"
    )


async def _metrics(guide: Guide) -> None:
    """The interceptors' metrics, as Prometheus reads them."""
    registry = {row["process"]: row["address"] for row in await guide.read("ps", "--json")}.get("registry")
    if registry is None:
        guide.saw("each instance's `metrics_port` in Consul is where its interceptors' counters are read")
        return
    instances = (await guide.http.get(f"http://{registry}/v1/catalog/service/order")).json()
    page = f"http://{instances[0]['Address']}:{instances[0]['ServiceMeta']['metrics_port']}/metrics"
    guide.say(f"  > GET {page}")
    counted = [
        line for line in (await guide.http.get(page)).text.splitlines() if line.startswith("grpc_requests_total{")
    ]
    for line in counted[:3]:
        guide.say(short(f"  < {line}"))
    guide.check(bool(counted), "the order service's calls, counted by method and status")
    guide.saw("a line in the log for each call: MESHWRIGHT_LOG_LEVEL=debug make up, then `meshwright logs order`")
