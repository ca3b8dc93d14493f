"""What the gateway does not take: bodies too large, not JSON, of the wrong types. Each says what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.demo.gateway import MAX_BODY

if TYPE_CHECKING:
    from support.demo.gateway import Demo

USERS = "/api/v1/users"
ADD = "/api/v1/calculator/add"
JSON = {"content-type": "application/json"}


async def refused(served: Demo, path: str, content: bytes | str, headers=JSON) -> tuple[int, dict]:
    response = await served.http.post(path, content=content, headers=headers)
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ('{"name":', "the body is not valid JSON: Expecting value (character 8)"),
        (
            "{'name': 'Ada'}",
            "the body is not valid JSON: Expecting property name enclosed in double quotes (character 1)",
        ),
        ("nonsense", "the body is not valid JSON: Expecting value (character 0)"),
        (b"\xff\xfe\xfa", "the body is not valid JSON"),
        ("9" * 1990, "body must be a JSON object"),
    ],
)
async def test_what_is_not_json_is_told_with_the_place(served: Demo, content, detail):
    status, document = await refused(served, USERS, content)
    assert status in {400, 422}
    assert document["detail"] == detail


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("{}", {"name": "is required", "email": "is required"}),
        ("[]", {"body": "must be a JSON object"}),
        ('"Ada"', {"body": "must be a JSON object"}),
        ('{"name": 1, "email": null}', {"name": "must be a string", "email": "must be a string"}),
        ('{"name": "A", "email": "a@b.co", "phone": {}}', {"phone": "must be a string"}),
        ('{"name": "A", "email": "a@b.co", "admin": true}', {"admin": "is not known here"}),
        ('{"name": "\\ud800", "email": "a@b.co"}', {"name": "must be valid Unicode"}),
    ],
)
async def test_a_user_of_the_wrong_types_is_refused_field_by_field(served: Demo, content, errors):
    status, document = await refused(served, USERS, content)
    assert status == 422
    assert {item["field"]: item["detail"] for item in document["errors"]} == errors


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("NaN", "a must be a finite number"),
        ("-Infinity", "a must be a finite number"),
        ("1e999", "a must be a finite number"),
        ('"1"', "a must be a number"),
        ("true", "a must be a number"),
        ("null", "a must be a number"),
        ("[1]", "a must be a number"),
        ("1" * 400, "a must be a number"),
    ],
)
async def test_what_is_no_usual_number_is_refused(served: Demo, value, detail):
    status, document = await refused(served, ADD, f'{{"a": {value}, "b": 1}}')
    assert (status, document["detail"]) == (422, detail)


async def test_a_patch_takes_no_null(served: Demo) -> None:
    response = await served.http.patch(f"{USERS}/{await served.user_id()}", json={"phone": None, "active": 1})
    errors = {item["field"]: item["detail"] for item in response.json()["errors"]}
    assert (response.status_code, errors) == (422, {"phone": "must be a string", "active": "must be true or false"})


async def test_a_body_nested_too_deep_is_refused(served: Demo) -> None:
    status, document = await refused(served, USERS, "[" * MAX_BODY)
    assert status == 400
    assert document["detail"].startswith("the body is not valid JSON")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
async def test_another_media_type_is_refused_with_the_one_that_is_taken(served: Demo, kind):
    status, document = await refused(served, USERS, '{"name": "Ada", "email": "a@b.co"}', {"content-type": kind})
    assert status == 415
    assert document["detail"] == "send the body as JSON, with Content-Type: application/json"


async def test_no_body_is_told_as_such(served: Demo) -> None:
    response = await served.http.post(USERS)
    assert (response.status_code, response.json()["detail"]) == (422, "body is required")


async def test_a_body_of_the_largest_size_is_read(served: Demo) -> None:
    body = '{"a": 1, "b": 2}'.ljust(MAX_BODY)
    response = await served.http.post(ADD, content=body, headers=JSON)
    assert response.json() == {"value": 3}


async def test_a_larger_body_is_refused(served: Demo) -> None:
    status, document = await refused(served, ADD, '{"a": 1, "b": 2}'.ljust(MAX_BODY + 1))
    assert (status, document["title"]) == (413, "Content Too Large")
    assert document["detail"] == f"the body is larger than {MAX_BODY} bytes"


async def test_a_larger_body_is_refused_even_where_its_length_is_not_announced(served: Demo) -> None:
    async def chunks():
        for _ in range(MAX_BODY // 100 + 1):
            yield b" " * 100

    response = await served.http.post(ADD, content=chunks(), headers=JSON)
    assert response.status_code == 413


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(served: Demo) -> None:
    reader, writer = await asyncio.open_connection(served.address.host, served.address.port)
    writer.write(
        f"POST {ADD} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n".encode()
    )
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan"])
async def test_a_time_limit_that_is_none_is_refused(served: Demo, header):
    response = await served.http.get(USERS, headers={"X-Request-Timeout": header})
    assert response.status_code == 400
    assert response.json()["detail"] == "X-Request-Timeout must be a number of seconds above 0"
