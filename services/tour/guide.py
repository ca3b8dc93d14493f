"""The guide: runs the stops of the tour, prints requests and responses, and reports failures.

A stop is a function that demonstrates a slide on a running system, only with HTTP at the gateway and the command
`meshwright`. Each action is printed as a line that can be typed. Each claim is checked: `Guide.check` fails a stop with
an unexpected result, and the tour with exit code 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from meshwright.config import environment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PASSWORD = "correct horse battery"  # noqa: S105 - of temporary users
DEMO_PASSWORD = "operate-the-demo"  # noqa: S105 - public, in services/demo.toml
WAIT_SECONDS = 20.0
"""Timeout of asynchronous results: a saga, the read side."""
COMMAND_TIMEOUT = 120.0
"""Timeout of one `meshwright ...`; the longest, `compare-protocols`, takes ten seconds on an idle machine."""
STEP = 0.1
WIDTH = 160
TRACE = "x-trace-id"


class UnexpectedResultError(Exception):
    """The result differs from the slide."""


@dataclass(frozen=True, slots=True)
class TourStop:
    """A stop of the tour: one or more related slides."""

    slide: str
    """Its title."""
    name: str
    """For `--only`."""
    visit: Callable[[Guide], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TourUser:
    """A user that signed up for the tour."""

    id: str
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Guide:
    """Runs requests and commands for stops. `say` prints a line; `gateway`, `traces`: URLs, `traces` may be empty."""

    say: Callable[[str], None]
    gateway: str
    traces: str = ""
    topology: str = ""
    http: httpx.AsyncClient = field(init=False)
    trace: str = ""
    """Of the last request."""
    asked: str = ""
    """The last request and its response."""

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(base_url=self.gateway, timeout=WAIT_SECONDS, trust_env=False)

    # Actions

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: TourUser | None = None,
        headers: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> httpx.Response:
        """Sends a request, and prints it with its response, unless `quiet`."""
        sent = {**(who.headers if who else {}), **(headers or {})}
        try:
            response = await self.http.request(method, path, json=body, headers=sent)
        except httpx.TransportError as error:
            what = str(error) or type(error).__name__
            raise UnexpectedResultError(f"no answer of {self.gateway} to {method} {path}: {what}") from error
        self.asked = short(f"{method} {path} was answered by {response.status_code} {response.text}")
        self.trace = response.headers.get(TRACE, self.trace)
        if not quiet:
            shown = "".join(f" {name}: {text}" for name, text in (headers or {}).items())
            what = f" {json.dumps(body, ensure_ascii=False)}" if body is not None else ""
            as_whom = f" (as {who.email})" if who else ""
            self.say(short(f"  > {method} {path}{shown}{what}{as_whom}"))
            self.say(short(f"  < {response.status_code} {response.text}"))
        return response

    async def get(self, path: str, **more: Any) -> Any:
        """Sends a GET request; returns the JSON of the response, which must be 200."""
        response = await self.ask("GET", path, **more)
        self.check(response.status_code == httpx.codes.OK, f"200 for {path}, not {response.status_code}")
        return response.json()

    async def command(self, *arguments: str, lines: int = 3, typed: str = "") -> str:
        """Runs `meshwright ...` with `typed` as input; prints the command and the first `lines` of its output."""
        before = f"echo {shlex.quote(typed)} | " if typed else ""
        self.say(short(f"  $ {before}meshwright {shlex.join(arguments)}"))
        where = ("--topology", self.topology) if self.topology else ()
        code, out, err = await self._run(*arguments, *where, typed=typed)
        printed = out or err
        rows = printed.rstrip().splitlines()
        for row in rows[:lines]:
            self.say(short(f"    {row}"))
        if len(rows) > lines:
            self.say(f"    ... {len(rows) - lines} more")
        self.check(code == 0, f"`meshwright {arguments[0]}` to end with 0, not {code}")
        return printed

    async def read(self, *arguments: str, mesh: bool = True) -> Any:
        """Runs `meshwright ...` without printing; returns its JSON. `mesh`: passes the topology."""
        where = ("--topology", self.topology) if self.topology and mesh else ()
        code, out, err = await self._run(*arguments, *where)
        self.check(code == 0, f"`meshwright {arguments[0]}` to end with 0, not: {err.strip()}")
        return json.loads(out)

    async def instances(self, service: str) -> dict[str, Any]:
        """The healthy instances of a service by name, from `meshwright ps`."""
        rows = await self.read("ps", "--json")
        return {row["instance"]: row for row in rows if row["service"] == service and row["health"] == "passing"}

    async def call(self, service: str, method: str, request: Mapping[str, Any], *, who: TourUser | None = None) -> Any:
        """Makes a gRPC call through the mesh; returns the last message."""
        header = ("-H", f"authorization=Bearer {who.token}") if who else ()
        as_whom = f" (as {who.email})" if who else ""
        self.say(short(f"  $ meshwright call {service} {method} {shlex.quote(json.dumps(request))}{as_whom}"))
        where = ("--topology", self.topology) if self.topology else ()
        code, out, err = await self._run("call", service, method, json.dumps(request), *header, *where)
        self.check(code == 0, f"an answer of {service}, not: {err.strip()}")
        rows = out.splitlines()
        self.say(short(f"    {rows[-1] if rows else 'nothing'}"))
        return json.loads(rows[-1]) if rows else None

    async def _run(self, *arguments: str, typed: str = "") -> tuple[int, str, str]:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "meshwright.cli", *arguments),
            env={**environment(), "COLUMNS": str(WIDTH)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(child.communicate(typed.encode()), COMMAND_TIMEOUT)
        except TimeoutError:
            child.kill()
            await child.wait()
            what = f"`meshwright {arguments[0]}` did not end within {COMMAND_TIMEOUT:g} s"
            raise UnexpectedResultError(f"{what}: this machine may be busy; try this stop alone, with --only") from None
        return child.returncode or 0, out.decode(), err.decode()

    # Output

    def saw(self, text: str) -> None:
        """Prints a sentence about a result."""
        self.say(f"  - {text}")

    def slide_says(self, text: str) -> None:
        """Prints what the slide omits or has wrong."""
        self.say(f"  ! the slide: {text}")

    def check(self, right: bool, what: str) -> None:
        """Fails the stop unless `right`; `what` completes "expected"."""
        if not right:
            raise UnexpectedResultError(f"expected {what}")

    def trace_link(self) -> None:
        if self.trace and self.traces:
            self.saw(f"its trace: {self.traces}/trace/{self.trace}")

    # Helpers

    async def person(self, name: str, tenant: str = "") -> TourUser:
        """Signs up a new user."""
        email = f"{fresh(name.split(maxsplit=1)[0].lower())}@example.org"
        body = {"name": name, "email": email, "password": PASSWORD} | ({"tenant": tenant} if tenant else {})
        response = await self.ask("POST", "/auth/sign-up", body, quiet=True)
        self.check(response.status_code == httpx.codes.CREATED, f"a new account, not: {response.text}")
        found = response.json()
        self.saw(
            f"{name} signs up at /auth/sign-up as {email}{f' as founder of the tenant {tenant}' if tenant else ''}"
        )
        return TourUser(found["subject"], email, found["access_token"])

    async def operator(self) -> TourUser:
        """Signs in as the operator, an account of the gateway's configuration."""
        body = {"email": "operator", "password": environment().get("GATEWAY_OPERATOR_PASSWORD") or DEMO_PASSWORD}
        response = await self.ask("POST", "/auth/sign-in", body, quiet=True)
        self.check(response.is_success, f"a sign-in as `operator`, not: {response.text}")
        found = response.json()
        self.saw(
            "who is an admin signs in at /auth/sign-in as operator: GATEWAY_OPERATOR_PASSWORD in services/demo.toml"
        )
        return TourUser(found["subject"], "operator", found["access_token"])

    async def until(self, what: str, looked: Callable[[], Awaitable[Any]]) -> Any:
        """Polls `looked` until it returns a result."""
        end = time.monotonic() + WAIT_SECONDS
        while not (found := await looked()):
            self.check(time.monotonic() < end, f"{what} within {WAIT_SECONDS:.0f} s")
            await asyncio.sleep(STEP)
        return found


def fresh(name: str) -> str:
    """A unique name."""
    return f"{name}-{os.urandom(3).hex()}"


def short(text: str) -> str:
    """Shortens text to one line of WIDTH characters."""
    line = " ".join(text.splitlines())
    return line if len(line) <= WIDTH else line[: WIDTH - 4] + " ..."
