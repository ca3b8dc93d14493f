"""Where Consul is: `CONSUL_HTTP_ADDR` and its family, read as Consul's own client library reads them.

The address is `host:port`, `:port` for this machine, or a URL with the scheme http, https or unix; a path behind the
port is a prefix of every request (Consul behind a proxy). `CONSUL_HTTP_SSL` asks for TLS and no `http://` takes that
back. A token file wins over a token, a certificate authority that is named replaces the system's.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation
from meshwright.http1 import Url

if TYPE_CHECKING:
    from pathlib import Path

    from meshwright.config import ConsulConfig

_SCHEMES = ("http", "https", "unix")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed address: what to put before `/v1`, and the socket to use if it is not TCP."""

    base: str
    """`http://127.0.0.1:8500`, with the path prefix and without a slash at the end."""
    socket: str | None = None
    """Path of the unix socket."""

    @property
    def tls(self) -> bool:
        return self.base.startswith("https:")

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.socket else self.base


def parse_endpoint(config: ConsulConfig) -> Endpoint:
    """Read the address of `config`; raises `ValidationError` that names the variable and what is wrong."""
    scheme, mark, rest = config.address.strip().rpartition("://")
    scheme = scheme.lower()
    if mark and scheme not in _SCHEMES:
        raise _bad(config, f"expected one of the schemes {', '.join(_SCHEMES)}")
    if not rest.strip("/"):
        raise _bad(config, "expected an address")
    if scheme == "unix":
        return Endpoint("http://localhost", socket=rest)
    authority, _, prefix = rest.partition("/")
    if authority.startswith(":"):
        authority = f"localhost{authority}"
    host, colon, port = authority.rpartition(":")
    bare_ipv6 = authority.startswith("[") and authority.endswith("]")
    if colon and not bare_ipv6 and not (host and port.isdigit() and int(port) <= 65535):  # noqa: PLR2004 (the highest port)
        raise _bad(config, "expected host:port")
    if not _is_authority(authority):
        raise _bad(config, "expected host:port")
    chosen = "https" if config.ssl or scheme == "https" else "http"
    path = f"/{prefix.strip('/')}" if prefix.strip("/") else ""
    return Endpoint(f"{chosen}://{authority}{path}")


def _is_authority(text: str) -> bool:
    """Whether the HTTP client and the resolver will take it."""
    try:
        Url.parse(f"http://{text}")
    except ValueError:
        return False
    return not set(text) & set("?#\\")


def tls_context(config: ConsulConfig) -> ssl.SSLContext:
    """The TLS settings of `config`; raises `ValidationError` naming each file that cannot be used."""
    named = config.ca_cert is not None or config.ca_path is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if named else ssl.create_default_context()
    problems: list[Violation] = []
    authorities = [] if config.ca_path is None else _files(config.ca_path, problems)
    if config.ca_cert is not None:
        authorities.append(("CONSUL_CACERT", config.ca_cert))
    for variable, path in authorities:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:
            problems.append(Violation(variable, f"cannot use {path}: {error.strerror or error}"))
    if config.client_cert is not None:
        try:
            context.load_cert_chain(config.client_cert, config.client_key)
        except OSError as error:
            files = f"{config.client_cert} with {config.client_key}" if config.client_key else str(config.client_cert)
            problems.append(Violation("CONSUL_CLIENT_CERT", f"cannot use {files}: {error.strerror or error}"))
    elif config.client_key is not None:
        problems.append(Violation("CONSUL_CLIENT_KEY", "is of no use without CONSUL_CLIENT_CERT"))
    if problems:
        raise ValidationError("the TLS configuration for Consul", problems)
    if not config.ssl_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _files(folder: Path, problems: list[Violation]) -> list[tuple[str, Path]]:
    """Consul loads every file of the folder, whatever its name; OpenSSL would want hashed names."""
    found = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not found:
        problems.append(Violation("CONSUL_CAPATH", f"no file in {folder}"))
    return [("CONSUL_CAPATH", path) for path in found]


def _bad(config: ConsulConfig, what: str) -> ValidationError:
    return ValidationError("the address of Consul", [Violation("CONSUL_HTTP_ADDR", f"{what}, not {config.address!r}")])
