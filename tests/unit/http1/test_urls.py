"""What of a URL a request needs, and which texts are no URL."""

from __future__ import annotations

import pytest

from meshwright.http1 import Url


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "header"),
    [
        ("http://consul", "consul", 80, "/", "consul"),
        ("HTTP://Consul:8500/a/b", "consul", 8500, "/a/b", "consul:8500"),
        ("https://issuer.example/keys?kind=jwks#top", "issuer.example", 443, "/keys?kind=jwks", "issuer.example"),
        ("https://issuer.example:443/", "issuer.example", 443, "/", "issuer.example"),
        ("http://[::1]:8500/", "::1", 8500, "/", "[::1]:8500"),
        ("http://[fe80::1%lo]/", "fe80::1%lo", 80, "/", "[fe80::1]"),
        ("http://münchen.example/", "xn--mnchen-3ya.example", 80, "/", "xn--mnchen-3ya.example"),
        ("http://a/already%20encoded/ä?q=ö", "a", 80, "/already%20encoded/%C3%A4?q=%C3%B6", "a"),
        ("http://under_score:1", "under_score", 1, "/", "under_score:1"),
    ],
)
def test_a_url_is_read_into_its_parts(text: str, host: str, port: int, target: str, header: str) -> None:
    url = Url.parse(text)
    assert (url.host, url.port, url.target, url.host_header) == (host, port, target, header)
    assert url.authorization == ""


def test_user_and_password_become_a_header() -> None:
    assert Url.parse("http://ada:love%40lace@consul:8500").authorization == "Basic YWRhOmxvdmVAbGFjZQ=="
    assert Url.parse("http://ada@consul").authorization == "Basic YWRhOg=="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "consul:8500",
        "ftp://consul",
        "http://",
        "http://:80",
        "http://a b",
        "http://a\n",
        "http://a:99999",
        "http://a:x",
        "http://a..b",
        "http://" + "x" * 70,
        "http://[::1",
        "http://[::1]]:80",
        "http://[zz]:80",
        "http://a@b@c",
        "http://a,b",
    ],
)
def test_a_text_that_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Url.parse(text)
