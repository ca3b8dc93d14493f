"""Telephones that were not written here: baresip registers, refreshes and goes; sipp registers many."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest

from integration.voice.baresip import NO_BARESIP, baresip, find_baresip
from integration.voice.exchange import exchange
from services.voice.sip.digest import Algorithm
from support.waiting import eventually

if TYPE_CHECKING:
    from integration.voice.exchange import Exchange

NO_SIPP = "no sipp here: scripts/system-packages.sh installs it"
SIPP = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
  <send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:ada@[remote_ip]>;tag=[call_number]
To: <sip:ada@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="401" auth="true"/>
  <send retrans="500"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:ada@[remote_ip]>;tag=[call_number]
To: <sip:ada@[remote_ip]>
Call-ID: [call_id]
CSeq: 2 REGISTER
Contact: <sip:ada@[local_ip]:[local_port];line=[call_number]>;expires=[expires]
Max-Forwards: 70
[authentication username=ada password=PASSWORD]
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


@pytest.fixture
async def old_phones(store):
    """An exchange for telephones that know MD5 alone, as baresip 1.0 and sipp 3.6 do."""
    async with exchange(store, algorithms=[Algorithm.MD5]) as made:
        yield made


@pytest.mark.skipif(find_baresip() is None, reason=NO_BARESIP)
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_registers_and_unregisters_when_it_ends(old_phones, tmp_path, transport):
    address = f"<sip:ada@127.0.0.1:{old_phones.port};transport={transport}>"
    async with baresip(tmp_path, f"{address};auth_pass={await old_phones.device()};regint=60") as phone:

        async def registered():
            return await old_phones.telephony.bindings("ada")

        (binding,) = await eventually(registered)
        assert (binding.source.split()[0], binding.user_agent[:7]) == (transport, "baresip")
        await eventually(lambda: "200 OK" in phone.output)
    await eventually(lambda: _gone(old_phones))


async def _gone(switchboard: Exchange) -> bool:
    return not await switchboard.telephony.bindings("ada")


@pytest.mark.skipif(find_baresip() is None, reason=NO_BARESIP)
async def test_baresip_with_a_wrong_password_is_told_so(old_phones, tmp_path):
    await old_phones.device()
    async with baresip(tmp_path, f"<sip:ada@127.0.0.1:{old_phones.port}>;auth_pass=guess;regint=60") as phone:
        await eventually(lambda: "403 Forbidden" in phone.output)
    assert await old_phones.telephony.bindings("ada") == ()


@pytest.mark.skipif(shutil.which("sipp") is None, reason=NO_SIPP)
async def test_sipp_registers_200_times_without_a_failure(old_phones, tmp_path):
    expires = "0"  # one account has few contacts: each registration ends another's absence
    scenario = SIPP.replace("PASSWORD", await old_phones.device()).replace("[expires]", expires)
    (tmp_path / "register.xml").write_text(scenario)
    process = await asyncio.create_subprocess_exec(
        "sipp",
        *(f"127.0.0.1:{old_phones.port}", "-sf", "register.xml", "-i", "127.0.0.1"),
        *("-m", "200", "-r", "100", "-l", "50", "-nostdin", "-timeout", "60"),
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-3000:]
    assert old_phones.metric("sip_requests_total", method="REGISTER", status="200") == 200
