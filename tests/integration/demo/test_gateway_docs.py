"""The gateway's description of itself, for people and for programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from meshwright.pages import assets
from services.gateway.pages.routes import PAGES

if TYPE_CHECKING:
    from support.demo.gateway import Demo

NAMESPACE = "http://www.w3.org/2000/svg"
"""The name of SVG's elements, which no browser loads."""

USERS = {
    ("post", "/users"),
    ("get", "/users"),
    ("get", "/users/{user_id}"),
    ("patch", "/users/{user_id}"),
    ("delete", "/users/{user_id}"),
    ("post", "/users/{user_id}/validate"),
    ("get", "/users/{user_id}/summary"),
}
CALCULATOR = {
    ("post", "/calculator/add"),
    ("post", "/calculator/multiply"),
    ("get", "/calculator/primes"),
}
SHOP = {
    ("post", "/orders"),
    ("get", "/orders"),
    ("get", "/orders/{order_id}"),
    ("get", "/orders/{order_id}/history"),
    ("get", "/orders/{order_id}/watch"),
    ("get", "/stock"),
    ("get", "/stock/{sku}"),
    ("get", "/account"),
    ("post", "/account/deposits"),
    ("get", "/account/bookings"),
    ("get", "/search"),
    ("get", "/views/{user_id}"),
}
OTHERS = {
    ("post", "/rpc"),
    ("post", "/auth/sign-up"),
    ("post", "/auth/sign-in"),
    ("post", "/auth/refresh"),
    ("post", "/auth/sign-out"),
    ("post", "/auth/social/{provider}"),
    ("get", "/auth/social/{provider}/callback"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/.well-known/openid-configuration"),
    ("get", "/api/versions"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
VERSIONED = {
    "v1": USERS | CALCULATOR,
    "v2": USERS | CALCULATOR,
    "v3": USERS | CALCULATOR | SHOP,
    "v4": USERS,
}
ROUTES = OTHERS | {
    (method, f"/api/{version}{path}") for version, routes in VERSIONED.items() for method, path in routes
}


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in sorted(assets(PAGES / "docs")))])
async def test_the_page_loads_nothing_from_elsewhere(served: Demo, path):
    response = await served.http.get(path)
    assert response.status_code == 200
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9][^\s\"')]*", response.text.replace("// ", "")))
    assert addresses <= {NAMESPACE}
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_all_that_the_page_refers_to_is_there(served: Demo) -> None:
    page = (await served.http.get("/docs")).text
    references = set(re.findall(r'(?:src|href)="([^"#]+)"', page)) - {"data:,"}
    assert references == {"docs/docs.css", "docs/docs.js", "openapi.json", "./"}
    for reference in references:
        assert (await served.http.get(f"/{reference}")).status_code == 200


async def test_nothing_else_is_served_beside_the_page(served: Demo) -> None:
    for name in ("docs.html", "..%2fserver.py", "%2e%2e"):
        assert (await served.http.get(f"/docs/{name}")).status_code == 404


async def test_the_description_has_every_route_and_its_problems(served: Demo) -> None:
    document = (await served.http.get("/openapi.json")).json()
    found = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert found == ROUTES
    for method, path in ROUTES - {("get", "/healthz")}:
        answers = document["paths"][path][method]["responses"]
        assert "application/problem+json" in answers["default"]["content"], (method, path)
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_every_reference_in_the_description_leads_somewhere(served: Demo) -> None:
    response = await served.http.get("/openapi.json")
    schemas = response.json()["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', response.text))
    assert {"Problem", "WrongField", "UserV1", "PageV1", "UserV4", "PageV4", "NewUser", "UserChanges"} <= references
    assert references <= set(schemas)
