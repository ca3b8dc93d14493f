"""STUN: which datagrams are answered, and with what."""

from __future__ import annotations

import pytest
from aioice import stun
from hypothesis import example, given
from hypothesis import strategies as st

from services.gateway.realtime.stun import LARGEST, binding_response

ADDRESS = ("192.0.2.1", 54400)
RFC_5769_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae80220010"
    "5354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a683676"
    "59202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249"
    "c1b571a280280004e57a3bcf"
)
"""RFC 5769, 2.1."""


def request(**attributes: object) -> bytes:
    names = {name.replace("_", "-"): value for name, value in attributes.items()}
    return bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST, b"0123456789ab", names))


@pytest.mark.parametrize("address", [ADDRESS, ("2001:db8::1", 1)])
def test_a_binding_request_is_told_where_it_came_from(address: tuple[str, int]) -> None:
    answer = binding_response(request(), address)
    response = stun.parse_message(answer)
    assert (response.message_class, response.transaction_id) == (stun.Class.RESPONSE, b"0123456789ab")
    assert response.attributes == {"XOR-MAPPED-ADDRESS": address}
    assert len(answer) <= 44


def test_the_request_of_rfc_5769_is_answered_with_a_fingerprint() -> None:
    answer = binding_response(RFC_5769_REQUEST, ADDRESS)
    response = stun.parse_message(answer)  # which checks the fingerprint
    assert response.transaction_id.hex() == "b7e7a701bc34d686fa87dfae"
    assert set(response.attributes) == {"XOR-MAPPED-ADDRESS", "FINGERPRINT"}
    broken = bytearray(RFC_5769_REQUEST)
    broken[30] ^= 1
    assert binding_response(bytes(broken), ADDRESS) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        request()[:19],
        request() + b"\0",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, b"0123456789ab")),
        bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION, b"0123456789ab")),
        bytes(stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST, b"0123456789ab")),
        request(CHANGE_REQUEST=6),
        request()[:4] + bytes(4) + request()[8:],
        request(SOFTWARE="x" * LARGEST),
    ],
)
def test_what_is_no_binding_request_gets_no_answer(data: bytes) -> None:
    assert binding_response(data, ADDRESS) == b""


@given(st.one_of(st.binary(max_size=600), st.builds(lambda tail: request()[:8] + tail, st.binary(max_size=200))))
@example(request()[:2] + b"\0\x04" + request()[4:] + b"\x80\x28\0\x03")
def test_no_datagram_breaks_it_and_no_answer_is_much_larger_than_its_request(data: bytes) -> None:
    assert len(binding_response(data, ("2001:db8::1", 65535))) <= 3 * len(data)
