"""Configuration: frozen values, read from the environment once, here and nowhere else.

Every process of Meshwright and every service built on it takes a frozen dataclass as its configuration.
Each field names its environment variable, its default and, in its docs, its unit. `load_config` builds the value;
whatever is wrong with the environment is reported in one error that lists every variable at fault, so that a
person fixes all of them in one go. No other module reads `os.environ` (a project test holds us to that),
which is what makes configuration testable: pass a mapping instead.

Variables that Consul's own tools know (`CONSUL_HTTP_ADDR` and its family) mean here what they mean there;
`OTEL_*` variables are read by the OpenTelemetry SDK itself.
"""

from __future__ import annotations

import math
import os
import types
import typing
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from meshwright.errors import ValidationError, Violation
from meshwright.model import Address, carried_header_problem, instance_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_TRUE = frozenset({"1", "t", "true", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "off"})


def env_field(variable: str, default: Any = MISSING, *, help: str = "") -> Any:  # noqa: A002
    """A dataclass field that `load_config` reads from the environment variable of that name.

    Without a default the variable is required. `help` is one sentence with the unit, shown in errors.
    """
    metadata = {"variable": variable, "help": help}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def load_config(kind: type[T], environ: Mapping[str, str] | None = None, **overrides: Any) -> T:
    """Build `kind`, a dataclass made of `env_field` fields, from the environment.

    Fields that are dataclasses themselves are loaded recursively. `overrides` win over the environment.
    An empty variable counts as unset. Raises `ValidationError` with one problem for each variable that is
    missing or does not parse.
    """
    source = os.environ if environ is None else environ
    problems: list[Violation] = []
    value = _load(kind, source, overrides, problems)
    if problems:
        raise ValidationError("the environment", problems)
    return typing.cast("T", value)


def environment(names: tuple[str, ...] | None = None) -> dict[str, str]:
    """A copy of the environment, or of those of its variables that `names` lists: for child processes."""
    if names is None:
        return dict(os.environ)
    return {name: os.environ[name] for name in names if name in os.environ}


def adopt(variables: Mapping[str, str]) -> None:
    """Make variables those of this process: for a command that found out where the mesh is, before anything is read."""
    os.environ.update(variables)


def set_grpc_xds_bootstrap(document: str) -> bool:
    """Hand gRPC its xDS bootstrap document (gRFC A27): the one thing that it takes from the environment alone.

    Must happen before the first `xds:///` channel of the process. False where the user has set one, which wins.
    """
    if os.environ.get("GRPC_XDS_BOOTSTRAP") or os.environ.get("GRPC_XDS_BOOTSTRAP_CONFIG"):
        return False
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = document
    return True


def _load(kind: type, source: Mapping[str, str], overrides: Mapping[str, Any], problems: list[Violation]) -> Any:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    found_before = len(problems)
    for item in fields(kind):
        hint = hints[item.name]
        if item.name in overrides:
            values[item.name] = overrides[item.name]
        elif isinstance(hint, type) and is_dataclass(hint) and "variable" not in item.metadata:
            values[item.name] = _load(hint, source, {}, problems)
        elif "variable" in item.metadata:
            _read(item, hint, source, values, problems)
    unknown = sorted(set(overrides) - {item.name for item in fields(kind)})
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {', '.join(unknown)}")
    if len(problems) > found_before:
        return None
    try:
        return kind(**values)
    except ValidationError as error:
        # What a class says of its own values is told beside what its sisters say of theirs.
        problems.extend(error.violations)
        return None


def _read(
    item: Field[Any], hint: Any, source: Mapping[str, str], values: dict[str, Any], problems: list[Violation]
) -> None:
    variable = item.metadata["variable"]
    text = source.get(variable, "").strip()
    if text:
        try:
            values[item.name] = parse(text, hint)
        except ValueError as error:
            problems.append(Violation(variable, f"{error}, not {text!r}"))
    elif item.default is MISSING and item.default_factory is MISSING:
        note = f" ({item.metadata['help']})" if item.metadata["help"] else ""
        problems.append(Violation(variable, f"is required and not set{note}"))


def parse(text: str, hint: Any) -> Any:
    """Parse `text` as the type `hint`; raises ValueError that says what was expected, as in 'expected an integer'."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return parse(text, members[0])
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(parse(part.strip(), item) for part in text.split(",") if part.strip())
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _parse_enum(text, hint)
    plain = getattr(hint, "__supertype__", hint)
    return _PARSERS[plain](text)


def _parse_enum(text: str, hint: type[Enum]) -> Enum:
    for member in hint:
        if str(member.value) == text.lower():
            return member
    raise ValueError(f"expected one of {', '.join(str(member.value) for member in hint)}")


def _parse_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("expected true or false")


def _number(kind: Callable[[str], Any], noun: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"expected {noun}") from None

    return read


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _number(int, "an integer"),
    float: _number(_finite, "a number"),
    bool: _parse_bool,
    Path: Path,
    Address: Address.parse,
}


class Discovery(Enum):
    """How a channel finds the instances of a service."""

    XDS = "xds"
    """gRPC's xDS client, fed by the control plane: splits, retries, faults, outlier ejection. The default."""
    CONSUL = "consul"
    """Addresses read from Consul, round robin: for a team without a control plane. No traffic policy applies."""


@dataclass(frozen=True, slots=True)
class ConsulConfig:
    """Where Consul is and how to talk to it, in the variables that Consul's own command line reads."""

    address: str = env_field("CONSUL_HTTP_ADDR", "127.0.0.1:8500", help="host:port, http://, https:// or unix://")
    token: str | None = env_field("CONSUL_HTTP_TOKEN", None)
    token_file: Path | None = env_field("CONSUL_HTTP_TOKEN_FILE", None)
    auth: str | None = env_field("CONSUL_HTTP_AUTH", None, help="user:password for HTTP basic authentication")
    ssl: bool = env_field("CONSUL_HTTP_SSL", default=False, help="true: https even where the address names no scheme")
    ssl_verify: bool = env_field("CONSUL_HTTP_SSL_VERIFY", default=True)
    ca_cert: Path | None = env_field("CONSUL_CACERT", None, help="PEM file of the certificate authority")
    ca_path: Path | None = env_field("CONSUL_CAPATH", None, help="folder of PEM files")
    client_cert: Path | None = env_field("CONSUL_CLIENT_CERT", None)
    client_key: Path | None = env_field("CONSUL_CLIENT_KEY", None)
    tls_server_name: str | None = env_field("CONSUL_TLS_SERVER_NAME", None)


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Whose tokens a server accepts; `meshwright.auth.Auth.configured` makes of it what a server takes."""

    issuer: str = env_field("MESHWRIGHT_AUTH_ISSUER", "", help="the `iss` of tokens; empty: none are asked for")
    jwks: str = env_field("MESHWRIGHT_AUTH_JWKS", "", help="the issuer's keys (JWKS): a http(s) URL or a file")
    audience: tuple[str, ...] = env_field(
        "MESHWRIGHT_AUTH_AUDIENCE", ("meshwright",), help="comma-separated; tokens must be meant for one of them"
    )

    def __post_init__(self) -> None:
        if self.issuer and not self.jwks:
            what = "is required where MESHWRIGHT_AUTH_ISSUER is set"
            raise ValidationError("the environment", [Violation("MESHWRIGHT_AUTH_JWKS", what)])


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What one service process needs to know: who it is, where it listens, how it finds the others."""

    service: str = env_field("MESHWRIGHT_SERVICE", help="the name under which callers find this service")
    version: str = env_field("MESHWRIGHT_VERSION", "0.0.0")
    instance: str | None = env_field("MESHWRIGHT_INSTANCE", None, help="unique id; of name, host and pid if unset")
    host: str = env_field("MESHWRIGHT_HOST", "127.0.0.1", help="address to bind")
    port: int = env_field("MESHWRIGHT_PORT", 0, help="gRPC port; 0: a free one from 20000 up")
    advertise: str | None = env_field(
        "MESHWRIGHT_ADVERTISE", None, help="address that callers dial, if not the bound one"
    )
    metrics_port: int = env_field("MESHWRIGHT_METRICS_PORT", 0, help="port of /metrics; 0: a free one from 20000 up")
    tags: tuple[str, ...] = env_field("MESHWRIGHT_TAGS", ())
    discovery: Discovery = env_field("MESHWRIGHT_DISCOVERY", Discovery.XDS)
    control_planes: tuple[Address, ...] = env_field(
        "MESHWRIGHT_XDS", (Address("127.0.0.1", 18000),), help="host:port, comma-separated; later ones are fallbacks"
    )
    call_timeout: float = env_field(
        "MESHWRIGHT_CALL_TIMEOUT",
        15.0,
        help="seconds for a call that is no stream and gives no deadline of its own; 0: none",
    )
    carried_headers: tuple[str, ...] = env_field(
        "MESHWRIGHT_CARRIED_HEADERS",
        ("x-preview", "x-tester"),
        help="comma-separated headers that go on with every call that a request causes, for routes; `-`: none",
    )
    region: str = env_field(
        "MESHWRIGHT_REGION", "", help="where this process runs: registered in Consul, and named to the control plane"
    )
    zone: str = env_field(
        "MESHWRIGHT_ZONE", "", help="a part of the region: registered in Consul, and named to the control plane"
    )
    register: bool = env_field("MESHWRIGHT_REGISTER", default=True, help="false: serve without registering in Consul")
    check_interval: float = env_field("MESHWRIGHT_CHECK_INTERVAL", 1.0, help="seconds between Consul's health checks")
    deregister_after: float = env_field(
        "MESHWRIGHT_DEREGISTER_AFTER",
        60.0,
        help="seconds critical before Consul forgets the instance; it rounds up to 60",
    )
    propagation: float = env_field(
        "MESHWRIGHT_PROPAGATION", 0.5, help="seconds between deregistering and draining, for callers to hear of it"
    )
    grace: float = env_field("MESHWRIGHT_GRACE", 10.0, help="seconds that calls in flight get to finish when stopping")
    log_level: str = env_field("MESHWRIGHT_LOG_LEVEL", "info")
    consul: ConsulConfig = field(default_factory=ConsulConfig)

    def __post_init__(self) -> None:
        """Raises `ValidationError` for what cannot be meant, and for names that Consul would take for others."""
        found = {
            "MESHWRIGHT_SERVICE": path_problem(self.service) if self.service else "",
            "MESHWRIGHT_INSTANCE": instance_problem(self.instance) if self.instance else "",
        }
        if self.call_timeout < 0:
            found["MESHWRIGHT_CALL_TIMEOUT"] = f"expected seconds, or 0 for none, not {self.call_timeout:g}"
        headers = () if self.carried_headers == ("-",) else tuple(dict.fromkeys(map(str.lower, self.carried_headers)))
        object.__setattr__(self, "carried_headers", headers)
        found["MESHWRIGHT_CARRIED_HEADERS"] = _header_problem(headers)
        if problems := [Violation(variable, what) for variable, what in found.items() if what]:
            raise ValidationError("the environment", problems)


_MOST_HEADERS = 16


def _header_problem(names: tuple[str, ...]) -> str:
    """What is wrong with the list of carried headers; empty where nothing is."""
    if len(names) > _MOST_HEADERS:
        return f"lists {len(names)} headers; {_MOST_HEADERS} are allowed"
    return "; ".join(f"{name} {problem}" for name in names if (problem := carried_header_problem(name)))
