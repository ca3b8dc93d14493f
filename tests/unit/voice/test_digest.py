"""Digest authentication against the examples of its RFCs, and what a nonce is worth."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.voice.sip import digest
from services.voice.sip.digest import Algorithm, Nonces, Validity, credentials_of, ha1, verified

RFC_7616 = {
    "username": "Mufasa",
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "nc": "00000001",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "qop": "auth",
}
RESPONSES = {
    "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_example_of_rfc_7616_section_3_9_1_is_verified(algorithm):
    given_ = credentials_of(RFC_7616 | {"algorithm": algorithm.value, "response": RESPONSES[algorithm.value]})
    assert given_ is not None
    kept = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")
    assert verified(given_, "GET", kept)
    assert not verified(given_, "POST", kept)
    assert not verified(given_, "GET", ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of life"))


COMPLETE = RFC_7616 | {"algorithm": "MD5", "response": RESPONSES["MD5"]}


@pytest.mark.parametrize(
    "change",
    [
        *({name: ""} for name in COMPLETE if name != "algorithm"),
        {"qop": "auth-int"},
        {"nc": "1"},
        {"nc": "0000000g"},
        {"algorithm": "MD5-sess"},
        {"algorithm": "SHA-512-256"},
        {"username": "a" * 300},
    ],
)
def test_incomplete_and_unknown_credentials_are_none(change):
    assert credentials_of(COMPLETE) is not None
    assert credentials_of(COMPLETE | change) is None


def test_an_algorithm_that_is_not_named_is_md5():
    assert credentials_of({k: v for k, v in COMPLETE.items() if k != "algorithm"}).algorithm is Algorithm.MD5


@pytest.fixture
def nonces():
    return Nonces(b"secret", os.urandom)


def test_a_nonce_is_good_for_its_address_and_its_time(nonces):
    nonce = nonces.new("192.0.2.1", 1000.0)
    assert nonces.validity(nonce, "192.0.2.1", 1000.0) is Validity.GOOD
    assert nonces.validity(nonce, "192.0.2.1", 1299.0) is Validity.GOOD
    assert nonces.validity(nonce, "192.0.2.1", 1301.0) is Validity.STALE
    assert nonces.validity(nonce, "192.0.2.2", 1000.0) is Validity.FOREIGN
    assert Nonces(b"other", os.urandom).validity(nonce, "192.0.2.1", 1000.0) is Validity.FOREIGN


@given(st.text(max_size=100))
def test_no_text_of_a_stranger_is_a_nonce(text):
    assert Nonces(b"secret", os.urandom).validity(text, "192.0.2.1", 1000.0) is Validity.FOREIGN


def test_a_nonce_is_used_with_rising_counts_only(nonces):
    nonce = nonces.new("192.0.2.1", 0.0)
    assert nonces.use(nonce, "00000001", 0.0)
    assert not nonces.use(nonce, "00000001", 0.0)
    assert nonces.use(nonce, "0000000a", 0.0)
    assert not nonces.use(nonce, "00000009", 0.0)


def test_a_full_table_of_used_nonces_accepts_no_further_one_until_some_expire(nonces, monkeypatch):
    monkeypatch.setattr(digest, "MAX_USED", 3)
    assert all(nonces.use(str(number), "00000001", 0.0) for number in range(3))
    assert not nonces.use("one more", "00000001", 1.0)
    assert nonces.use("0", "00000002", 1.0)
    assert nonces.use("one more", "00000001", 301.0)
