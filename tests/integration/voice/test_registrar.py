"""Registration over UDP: challenges, credentials, bindings, refusals, repetitions, floods."""

from __future__ import annotations

import asyncio

import pytest
from aiosipua import parse_auth

from integration.voice.exchange import ADA, BOB, REALM, exchange
from integration.voice.phone import phone
from services.voice.domain import MAX_BINDINGS
from services.voice.sip.guard import Limits
from support.waiting import eventually


@pytest.fixture
async def ada(switchboard):
    async with phone(switchboard.port, "ada", await switchboard.device()) as made:
        yield made


async def contacts(switchboard, account="ada"):
    return [binding.contact for binding in await switchboard.telephony.bindings(account)]


async def test_a_request_without_credentials_is_challenged_with_the_better_hash_first(ada):
    response = await ada.ask(ada.request(Contact=ada.contact))
    challenges = [parse_auth(value) for value in response.get_header_values("WWW-Authenticate")]
    assert response.status_code == 401
    assert [each.params["algorithm"] for each in challenges] == ["SHA-256", "MD5"]
    assert {(each.params["realm"], each.params["qop"]) for each in challenges} == {(REALM, "auth")}


@pytest.mark.parametrize("which", [0, 1])
async def test_either_hash_registers_a_contact_until_it_expires(switchboard, ada, which):
    response = await ada.register(which, Expires="120", User_Agent="a test")
    assert response.status_code == 200
    assert response.contact[0].uri.port == ada.own_port
    assert 118 <= int(response.contact[0].params["expires"]) <= 120
    (binding,) = await switchboard.telephony.bindings("ada")
    assert (binding.source, binding.user_agent) == (f"udp 127.0.0.1:{ada.own_port}", "a test")


async def test_several_devices_of_a_user_are_registered_each_with_a_password_of_its_own(switchboard, ada):
    second = await switchboard.device(label="kitchen")
    async with phone(switchboard.port, "ada", second) as kitchen:
        assert (await ada.register()).status_code == 200
        assert len((await kitchen.register()).contact) == 2
    assert len({binding.device_id for binding in await switchboard.telephony.bindings("ada")}) == 2


async def test_a_revoked_device_is_gone_at_once_and_the_other_stays(switchboard, ada):
    second = await switchboard.device(label="kitchen")
    async with phone(switchboard.port, "ada", second) as kitchen:
        await ada.register()
        await kitchen.register()
        first, _ = await switchboard.telephony.devices(ADA)
        await switchboard.telephony.revoke_device(ADA, first.id)
        assert await contacts(switchboard) == [kitchen.contact[1:-1]]
        assert (await ada.register()).status_code == 403
        assert (await kitchen.register()).status_code == 200


async def test_a_contact_is_removed_by_expires_0_and_all_by_an_asterisk(switchboard, ada):
    await ada.register()
    await ada.register(Contact="<sip:ada@192.0.2.7>")
    assert len(await contacts(switchboard)) == 2
    assert len((await ada.register(Expires="0")).contact) == 1
    assert (await ada.register(Contact="*", Expires="0")).contact == []
    assert await contacts(switchboard) == []


async def test_a_request_without_contact_asks_for_the_bindings(ada):
    await ada.register(Contact="<sip:ada@192.0.2.7>;expires=90, <sip:ada@192.0.2.8;transport=tcp>")
    challenge = await ada.ask(ada.request())
    response = await ada.ask(ada.answering(challenge))
    assert [address.uri.host for address in response.contact] == ["192.0.2.7", "192.0.2.8"]
    assert response.get_header_values("Contact")[1].startswith("<sip:ada@192.0.2.8;transport=tcp>;expires=")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Expires": "30"}, 423),
        ({"Contact": "*"}, 400),
        ({"Contact": "<mailto:ada@example.org>"}, 400),
        ({"Contact": ", ".join(f"<sip:ada@192.0.2.{n}>" for n in range(MAX_BINDINGS + 1))}, 403),
        ({"To": "<sip:bob@127.0.0.1>"}, 403),
        ({"Require": "outbound"}, 420),
        ({"CSeq": "7 OPTIONS"}, 400),
        ({"CSeq": "4294967296 REGISTER"}, 400),
        ({"Max_Forwards": "many"}, 400),
    ],
)
async def test_what_the_rules_forbid_is_refused_and_changes_nothing(switchboard, ada, headers, status):
    response = await ada.register(**headers)
    assert response.status_code == status
    assert response.get_header("Min-Expires") == ("60" if status == 423 else None)
    assert await contacts(switchboard) == []


async def test_a_wish_for_too_long_is_shortened_and_a_malformed_one_is_an_hour(ada):
    assert 3598 <= int((await ada.register(Expires="86400")).contact[0].params["expires"]) <= 3600
    assert 3598 <= int((await ada.register(Expires="soon")).contact[0].params["expires"]) <= 3600


async def test_a_request_that_was_overtaken_by_a_later_one_is_refused(ada):
    challenge = await ada.ask(ada.request())
    late = ada.answering(challenge, Contact=ada.contact)
    assert (await ada.register()).status_code == 200
    assert (await ada.ask(late)).status_code == 500


async def test_a_repeated_request_gets_the_same_response_and_is_done_once(switchboard, ada):
    challenge = await ada.ask(ada.request())
    request = ada.answering(challenge, Contact=ada.contact)
    first, again = await ada.ask(request), await ada.ask(request)
    assert (first.status_code, bytes(first)) == (200, bytes(again))
    assert switchboard.metric("sip_requests_total", method="REGISTER", status="200") == 1


async def test_credentials_of_another_are_used_neither_twice_nor_from_elsewhere_nor_late(switchboard, ada):
    challenge = await ada.ask(ada.request())
    heard = ada.answering(challenge, Contact=ada.contact)
    assert (await ada.ask(heard)).status_code == 200
    replayed = ada.request(Contact="<sip:mallory@192.0.2.66>", Authorization=heard.get_header("Authorization"))
    response = await ada.ask(replayed)
    assert (response.status_code, parse_auth(response.get_header("WWW-Authenticate")).params["stale"]) == (401, "true")
    challenge = await ada.ask(ada.request())
    switchboard.time.ahead = 400.0
    late = await ada.ask(ada.answering(challenge, Contact=ada.contact))
    assert parse_auth(late.get_header("WWW-Authenticate")).params["stale"] == "true"
    assert await contacts(switchboard) == [ada.contact[1:-1]]


async def test_an_unknown_account_a_wrong_password_and_a_password_of_another_get_the_same_answer(switchboard, ada):
    bobs = await switchboard.device(BOB, "bob")
    told = set()
    for account, password in (("carl", "guess"), ("ada", "guess"), ("ada", bobs)):
        async with phone(switchboard.port, account, password) as stranger:
            challenge = await stranger.ask(stranger.request())
            response = await stranger.register()
            names = tuple(sorted(name for name, _ in response.headers.items()))
            told.add((challenge.status_code, response.status_code, response.reason_phrase, names))
    assert len(told) == 1
    assert {status for _, status, _, _ in told} == {403}
    assert switchboard.metric("sip_wrong_passwords_total") == 3


async def test_after_too_many_wrong_passwords_an_address_is_not_answered_for_a_time(store):
    async with exchange(store, Limits(1e6, 1e6, failures=3, ban=600.0)) as switchboard:
        password = await switchboard.device()
        async with phone(switchboard.port, "ada", "guess") as scanner, phone(switchboard.port, "ada", password) as ada:
            for _ in range(3):
                assert (await scanner.register()).status_code == 403
            scanner.send(scanner.request())
            await eventually(lambda: switchboard.metric("sip_dropped_messages_total", reason="banned") == 1)
            assert switchboard.metric("sip_banned_addresses") == 1
            assert scanner.responses.empty()
            switchboard.time.ahead = 601.0
            assert (await ada.register()).status_code == 200


async def test_a_flood_is_dropped_without_an_answer(store):
    async with exchange(store, Limits(rate=0.001, burst=20.0)) as switchboard, phone(switchboard.port) as flooding:
        for _ in range(100):
            flooding.send(flooding.request())
        dropped = {"name": "sip_dropped_messages_total", "reason": "limited"}
        await eventually(lambda: switchboard.metric(**dropped) == 80)
        await eventually(lambda: flooding.responses.qsize() == 20)


async def test_options_are_answered_and_methods_that_are_not_served_are_refused(ada):
    response = await ada.ask(ada.request("OPTIONS"))
    assert (response.status_code, "REGISTER" in (response.get_header("Allow") or "")) == (200, True)
    assert (await ada.ask(ada.request("MESSAGE"))).status_code == 405
    assert (await ada.ask(ada.request("DANCE"))).status_code == 501


async def test_while_the_tables_are_gone_a_device_is_told_to_come_back_and_then_registers(ada, store, drop_tables):
    await drop_tables()
    response = await ada.register()
    assert (response.status_code, response.get_header("Retry-After")) == (503, "5")
    await store.prepare()
    assert (await ada.register()).status_code == 403


async def test_a_hundred_devices_that_register_at_once_are_all_registered(switchboard):
    passwords = [await switchboard.device(f"user-{number}", f"u{number}") for number in range(100)]

    async def one(number):
        async with phone(switchboard.port, f"u{number}", passwords[number]) as made:
            # Where the disk is slow the database has not written a hundred within its time: a telephone tries again.
            while (response := await made.register()).status_code == 503:
                pass
            return response.status_code

    assert await asyncio.gather(*(one(number) for number in range(100))) == [200] * 100
    assert await switchboard.telephony.registered() == 100


async def test_a_request_is_a_span(switchboard, ada):
    await ada.register()
    statuses = [span.attributes["sip.response.status_code"] for span in await switchboard.spans()]
    assert statuses == [401, 200]
