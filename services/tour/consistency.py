"""The slides about data: a database for each service, sagas, event sourcing, CQRS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from services.tour.guide import Guide, TourUser

ENDED = {"completed", "rejected", "needs_attention"}
IN_THE_TRACE = {"gateway", "order", "inventory", "payment", "notification", "userview"}
MUG = "MUG-BLUE"
SAMOVAR = "SAMOVAR"


async def _ordered(guide: Guide, who: TourUser, sku: str, quantity: int) -> dict[str, Any]:
    """Places an order, and watches it to its end."""
    body = {"items": [{"sku": sku, "quantity": quantity}]}
    placed = await guide.ask("POST", "/api/v3/orders", body, who=who)
    guide.check(placed.status_code == 201, "201: the order is stored, its saga runs on")
    guide.trace_link()
    trace, address = guide.trace, placed.headers["Location"]

    async def ended() -> dict[str, Any] | None:
        order: dict[str, Any] = (await guide.ask("GET", address, who=who, quiet=True)).json()
        return order if order["state"] in ENDED else None

    order: dict[str, Any] = await guide.until("the end of the saga", ended)
    for step in order["steps"]:
        state = "not begun" if step["state"] == "waiting" else step["state"]
        tries = f", attempt {step['attempts']}" if step["attempts"] > 1 else ""
        why = f": {step['error']}" if step["error"] else ""
        guide.saw(f"step {step['name']:<17} {state}{tries}{why}")
    guide.saw(f"the order is {order['state']}" + (f": {order['reason']}" if order["reason"] else ""))
    return {**order, "trace": trace}


async def trace_goes_on(guide: Guide, trace: str) -> None:
    """Checks that an order's trace includes the consumers of its events, if Jaeger's query API is available."""
    if not (trace and guide.traces):
        return
    url = f"{guide.traces}/api/traces/{trace}"

    async def whole() -> set[str] | None:
        answer = await guide.http.get(url)
        found = answer.json()["data"][0] if answer.is_success else {"spans": [], "processes": {}}
        services = {found["processes"][span["processID"]]["serviceName"] for span in found["spans"]}
        return services if services >= IN_THE_TRACE else None

    try:
        (await guide.http.get(url)).json()
    except (httpx.TransportError, ValueError):
        guide.saw(f"the trace is not checked: {guide.traces} does not answer Jaeger's query API")
        return
    services = await guide.until(f"{', '.join(sorted(IN_THE_TRACE))} in the order's trace", whole)
    guide.saw(f"the trace goes on in what the events cause: {', '.join(sorted(services))}")


async def databases(guide: Guide) -> None:
    """Database per service: instead of a join, three responses, and a view that lags for a moment."""
    person = await guide.person("Grace Hopper")
    await guide.ask("POST", "/api/v3/account/deposits", {"amount_cents": 700}, who=person, quiet=True)
    user = await guide.get(f"/api/v3/users/{person.id}", who=person)
    account = await guide.get("/api/v3/account", who=person)
    guide.check("balance_cents" not in user and account["user_id"] == person.id, "her money with payment alone")

    async def seen() -> Any:
        view = (await guide.ask("GET", f"/api/v3/views/{person.id}", who=person, quiet=True)).json()
        return view if view.get("balance_cents") == 700 else None

    view = await guide.until("both in the view of her", seen)
    guide.saw(f"userview has heard of both by events: {view['name']} has {view['balance_cents']} cents")
    files = sorted(path.name for path in (Path(".meshwright") / (guide.topology or "demo") / "data").glob("*.db"))
    if files:
        guide.saw(f"the databases, in .meshwright/{guide.topology or 'demo'}/data: {', '.join(files)}")
    guide.slide_says("names the price (no joins, no transaction over two services) and leaves it at that")


async def saga(guide: Guide) -> None:
    """Saga: an order that goes through, one that is declined, one that is out of stock."""
    person = await guide.person("Marie Curie")
    await guide.ask("POST", "/api/v3/account/deposits", {"amount_cents": 5000}, who=person)
    before = (await guide.get(f"/api/v3/stock/{MUG}", quiet=True))["available"]
    if before < 3:
        key, operator = f"tour-{person.id}", await guide.operator()
        await guide.call("inventory", "Restock", {"key": key, "sku": MUG, "quantity": 40}, who=operator)
        before = (await guide.get(f"/api/v3/stock/{MUG}", quiet=True))["available"]
    order = await _ordered(guide, person, MUG, 2)
    guide.check(order["state"] == "completed", "a completed order")
    await trace_goes_on(guide, order["trace"])
    left = (await guide.get("/api/v3/account", who=person))["balance_cents"]
    guide.check(left == 5000 - order["total_cents"], f"{5000 - order['total_cents']} cents left, not {left}")
    declined = await _ordered(guide, person, SAMOVAR, 1)
    guide.check(declined["state"] == "rejected", "a rejected order: there is not money enough")
    guide.check((await guide.get("/api/v3/account", who=person))["balance_cents"] == left, "no money gone")
    gone = await _ordered(guide, person, MUG, 9999)
    guide.check(gone["state"] == "rejected", "a rejected order: there is not stock enough")
    after = (await guide.get(f"/api/v3/stock/{MUG}"))["available"]
    guide.check(after <= before - 2, "two mugs fewer")
    guide.slide_says(
        "keeps `Executed` in memory, so a crash in the middle leaves goods reserved and money taken for ever;"
    )
    guide.slide_says("it ignores what Compensate returns. Here each step is stored first, and has a key of its own")


async def event_sourcing(guide: Guide) -> None:
    """Event sourcing: who changed what, when, and how it was before."""
    person = await guide.person("Emmy Noether")
    before = await guide.call("user", "demo.user.v2.UserService/GetUserHistory", {"id": person.id}, who=person)
    address = f"/api/v3/users/{person.id}"
    changed = await guide.ask("PATCH", address, {"email": f"new.{person.email}"}, who=person)
    guide.check(changed.status_code == 200, "her address changed")
    await guide.ask("POST", "/api/v3/account/deposits", {"amount_cents": 1250}, who=person)

    async def balance() -> Any:
        history = await guide.call("user", "demo.user.v2.UserService/GetUserHistory", {"id": person.id}, who=person)
        return history if any(event["type"].startswith("BalanceUpdated") for event in history["events"]) else None

    history = await guide.until("the payment in her history", balance)
    for event in history["events"]:
        guide.saw(
            f"{event['occurredAt'][:23]} {event['type']:<14} by {event.get('actor', 'nobody')}: {event['data'][:80]}"
        )
    then = before["events"][-1]["occurredAt"]
    past = await guide.call("user", "demo.user.v2.UserService/GetUserAt", {"id": person.id, "time": then}, who=person)
    guide.check(past["profile"]["email"] == person.email, "the old address at the old time")
    guide.slide_says(
        "asks who made changes, and stores nobody; it replays all events on each read: here there are snapshots"
    )


async def order_events(guide: Guide) -> None:
    """The order is event-sourced, too: its history is what the saga did."""
    person = await guide.person("Lise Meitner")
    order = await _ordered(guide, person, MUG, 1)
    for event in await guide.get(f"/api/v3/orders/{order['id']}/history", who=person, quiet=True):
        guide.saw(f"version {event['version']:>2} {event['type']:<22} {_brief(event['data'])}")
    guide.check(order["state"] == "rejected", "a rejected order: she has no money")


async def cqrs(guide: Guide) -> None:
    """CQRS: a read side that follows the events of users and orders."""
    person = await guide.person("Hedy Lamarr")
    paid = await guide.ask("POST", "/api/v3/account/deposits", {"amount_cents": 2500}, who=person)
    place = {"Demo-Position": paid.headers.get("Demo-Position", "none")}
    guide.saw(f"the answer says where it wrote: Demo-Position: {place['Demo-Position']}; a read that brings it waits")
    own = await guide.get(f"/api/v3/views/{person.id}", who=person, headers=place)
    guide.check(own["balance_cents"] == 2500, "her own write in the first view that she reads")
    order = await _ordered(guide, person, MUG, 1)
    guide.check(order["state"] == "completed", "a completed order")

    async def seen() -> Any:
        answer = await guide.ask("GET", f"/api/v3/views/{person.id}", who=person, quiet=True)
        view = answer.json()
        return view if view.get("total_orders") == 1 and view.get("balance_cents") == 1300 else None

    view = await guide.until("the view of her", seen)
    guide.saw(f"UserView: {json.dumps(view)}")
    found = await guide.get(f"/api/v3/search?q={person.email.split('@')[0]}")
    guide.check(person.id in {item["id"] for item in found}, "her among those found")
    await guide.call("userview", "GetLag", {})
    await _made_anew(guide, person)
    guide.slide_says(
        "saves a view for each event and forgets where it was; a crash loses or doubles. Here the place is"
    )
    guide.slide_says("stored with the view, and a rebuild from the first event runs beside the old view")


async def _made_anew(guide: Guide, person: TourUser) -> None:
    """Rebuilds all views from the first event, while the old ones serve reads."""
    await guide.call("userview", "Rebuild", {}, who=await guide.operator())
    answers = 0

    async def done() -> bool:
        nonlocal answers
        view = await guide.get(f"/api/v3/views/{person.id}", who=person, quiet=True)
        guide.check(view["total_orders"] == 1, "her view to be as it was, meanwhile")
        answers += 1
        return not (await guide.read("call", "userview", "GetLag", "{}")).get("rebuilding")

    await guide.until("the views made anew", done)
    guide.saw(f"all views made anew from the first event; hers was there meanwhile, each time of {answers}")


def _brief(data: str) -> str:
    return data if len(data) <= 90 else f"{data[:86]} ..."
