"""The token issuer over REST: sign-up, sign-in, refresh, sign-out, keys, discovery, and social logins."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

import meshwright
from services.gateway import users
from services.gateway.api.dependencies import GatewayDependencies, TokenIssuer
from services.gateway.api.parameters import Within, backends_of, dependencies_of
from services.gateway.api.request_models import RequestModel, Text
from services.gateway.auth.accounts import NewAccount
from services.gateway.auth.domain import MAX_PASSWORD, MIN_PASSWORD, Tokens
from services.gateway.auth.signing_keys import ALGORITHM
from services.gateway.auth.social_login import LOGIN_SECONDS, SocialLogins
from services.gateway.errors import ApiError
from services.gateway.http.openapi import problems

COOKIE = "login_state"
_PASSWORD = Field(description=f"{MIN_PASSWORD} to {MAX_PASSWORD} characters", examples=["correct horse battery"])


class SignUp(RequestModel):
    """A sign-up."""

    name: Text = Field(examples=["Ada Lovelace"])
    email: Text = Field(examples=["ada@example.org"])
    password: Text = _PASSWORD
    phone: Text = Field("", examples=["+4930123456"])
    tenant: Text = Field("", description="a tenant to found, whose admin the user is to be; empty: none")


class SignIn(RequestModel):
    """A sign-in."""

    email: Text = Field(examples=["ada@example.org"])
    password: Text = _PASSWORD


class Session(RequestModel):
    """A refresh token, usable once."""

    refresh_token: Text


class Login(RequestModel):
    """The login page of another issuer."""

    authorization_url: str


def _issuer(dependencies: Annotated[GatewayDependencies, Depends(dependencies_of)]) -> TokenIssuer:
    if dependencies.issuer is None:
        raise ApiError("NOT_FOUND", "accounts are kept elsewhere: this gateway takes another issuer's tokens")
    return dependencies.issuer


def _users(request: Request) -> users.Users:
    # Without tenants: a sign-up has no caller.
    return backends_of(request).users


def _login(provider: str, issuer: Annotated[TokenIssuer, Depends(_issuer)]) -> SocialLogins:
    found = issuer.social.get(provider)
    if found is None:
        known = ", ".join(sorted(issuer.social)) or "none"
        raise ApiError("NOT_FOUND", f"there is no such issuer to sign in at; known: {known}")
    return found


def _never_stored(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


Own = Annotated[TokenIssuer, Depends(_issuer)]
Users = Annotated[users.Users, Depends(_users)]
Provider = Annotated[SocialLogins, Depends(_login)]

auth = APIRouter(prefix="/auth", tags=["authentication"], dependencies=[Depends(_never_stored)])
known = APIRouter(prefix="/.well-known", tags=["authentication"])


@auth.post("/sign-up", status_code=HTTPStatus.CREATED, responses=problems(400, 404, 409, 422, 503))
async def sign_up(body: SignUp, response: Response, issuer: Own, users: Users, within: Within) -> Tokens:
    """Become a user, with an account to sign in with; signed in at once. `Location` is the user."""
    user, tokens = await issuer.accounts.sign_up(users, NewAccount(**body.model_dump()), within)
    version = "v4" if body.tenant else "v3"
    response.headers["Location"] = f"/api/{version}/users/{user.id}"
    return tokens


@auth.post("/sign-in", responses=problems(401, 404, 422, 503))
async def sign_in(body: SignIn, issuer: Own) -> Tokens:
    """Get an access token, which is good for minutes, and a refresh token to get the next with."""
    return await issuer.accounts.sign_in(body.email, body.password)


@auth.post("/refresh", responses=problems(401, 404, 422))
async def refresh(body: Session, issuer: Own) -> Tokens:
    """New tokens. The refresh token is spent with this; a spent one that comes again ends the session."""
    return await issuer.accounts.refresh(body.refresh_token)


@auth.post("/sign-out", status_code=HTTPStatus.NO_CONTENT, response_class=Response, responses=problems(404, 422))
async def sign_out(body: Session, issuer: Own) -> None:
    """End the session. Its last access token stays good until it expires."""
    await issuer.accounts.sign_out(body.refresh_token)


@auth.post("/social/{provider}", responses=problems(404, 503))
async def begin_social_login(provider: str, response: Response, login: Provider, issuer: Own) -> Login:  # noqa: ARG001
    """Begin to sign in at another issuer; with a token, to link that login to the user whose token it is."""
    caller = meshwright.caller()
    url, state = await login.begin("" if caller is None else caller.subject)
    response.set_cookie(
        COOKIE,
        state,
        max_age=int(LOGIN_SECONDS),
        path="/auth/social",
        httponly=True,
        samesite="lax",
        secure=issuer.public_url.startswith("https://"),
    )
    return Login(authorization_url=url)


@auth.get(
    "/social/{provider}/callback",
    response_model=Tokens,
    responses=problems(400, 401, 404, 409, 503) | {303: {"description": "A browser that navigates goes to the page."}},
)
async def finish_social_login(
    *,
    provider: str,
    request: Request,
    response: Response,
    login: Provider,
    users: Users,
    within: Within,
    state: Annotated[str, Query(max_length=128)] = "",
    code: Annotated[str, Query(max_length=4096)] = "",
    error: Annotated[str, Query(max_length=256, description="what the other issuer says went wrong")] = "",
) -> Any:
    """Where the other issuer sends the browser back to. The browser must be the one that began.

    The answer is the tokens. A browser that comes here by itself is sent on to the page, whose script asks once more
    for the same address and can keep them: so no token is ever in an address.
    """
    if "text/html" in request.headers.get("accept", ""):
        query = {"login": provider, "state": state, "code": code, "error": error}
        return RedirectResponse(f"../../../?{urlencode(query)}", HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"})
    began = request.cookies.get(COOKIE, "")
    if not state or not hmac.compare_digest(began.encode(), state.encode()):
        raise ApiError("INVALID_ARGUMENT", "this browser has not begun this login", reason="LOGIN_UNKNOWN")
    response.delete_cookie(COOKIE, path="/auth/social")
    if error or not code:
        raise ApiError("UNAUTHENTICATED", "the login at the other issuer failed", reason="SOCIAL_LOGIN_REFUSED")
    return await login.finish(users, state, code, within)


@known.get("/jwks.json", responses=problems(404, 503))
async def jwks(response: Response, issuer: Own) -> dict[str, Any]:
    """The keys that tokens are verified with (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return await issuer.keys.jwks()


@known.get("/openid-configuration", responses=problems(404))
async def openid_configuration(issuer: Own) -> dict[str, Any]:
    """Where the issuer's parts are (OpenID Connect Discovery), as far as it has them."""
    url = issuer.public_url
    return {
        "issuer": issuer.accounts.settings.issuer,
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "token_endpoint": f"{url}/auth/sign-in",
        "registration_endpoint": f"{url}/auth/sign-up",
        "end_session_endpoint": f"{url}/auth/sign-out",
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": ["iss", "aud", "sub", "iat", "exp", "jti", "roles", "tenant"],
    }
