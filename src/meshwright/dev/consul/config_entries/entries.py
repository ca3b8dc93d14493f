"""Config entries: their documents, and what Consul refuses in each by itself.

What is refused for the sake of other entries (protocols, subsets, circles) is found by compiling the chains that an
entry takes part in; see chains.py and graph.py.
"""

from __future__ import annotations

import re
import struct
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev.consul.decode import Field, Many, Named, Struct, encode, parse_json, weak
from meshwright.dev.consul.http_errors import bad_request, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS, PROXY = "service-defaults", "proxy-defaults"
RESOLVER, SPLITTER, ROUTER = "service-resolver", "service-splitter", "service-router"

Entry = dict[str, Any]
"""A decoded entry: canonical names, only what was given; durations in nanoseconds; CreateIndex and ModifyIndex."""

_GATEWAY = Struct((Field("Mode", omit=True),))
_EXPOSE = Struct(
    (
        Field("Checks", "bool", omit=True),
        Field(
            "Paths",
            Many(
                Struct(
                    (
                        Field("ListenerPort", "int", omit=True),
                        Field("Path", omit=True),
                        Field("LocalPathPort", "int", omit=True),
                        Field("Protocol", omit=True),
                        Field("ParsedFromCheck", "bool"),
                    )
                )
            ),
            omit=True,
        ),
    )
)
_MATCH = Struct(
    (
        Field("PathExact", omit=True),
        Field("PathPrefix", omit=True),
        Field("PathRegex", omit=True),
        Field(
            "Header",
            Many(
                Struct(
                    (
                        Field("Name"),
                        Field("Present", "bool", omit=True),
                        Field("Exact", omit=True),
                        Field("Prefix", omit=True),
                        Field("Suffix", omit=True),
                        Field("Regex", omit=True),
                        Field("Invert", "bool", omit=True),
                    )
                )
            ),
            omit=True,
        ),
        Field(
            "QueryParam",
            Many(
                Struct(
                    (
                        Field("Name"),
                        Field("Present", "bool", omit=True),
                        Field("Exact", omit=True),
                        Field("Regex", omit=True),
                    )
                )
            ),
            omit=True,
        ),
        Field("Methods", Many("string"), omit=True),
    )
)
_DESTINATION = Struct(
    (
        Field("RequestTimeout", "duration", omit=True),
        Field("Service", omit=True),
        Field("ServiceSubset", omit=True),
        Field("Namespace", omit=True),
        Field("PrefixRewrite", omit=True),
        Field("NumRetries", "uint", omit=True),
        Field("RetryOnConnectFailure", "bool", omit=True),
        Field("RetryOnStatusCodes", Many("uint"), omit=True),
    )
)
ROUTE = Struct(
    (
        Field("Match", Struct((Field("HTTP", _MATCH, omit=True),)), omit=True),
        Field("Destination", _DESTINATION, omit=True),
    )
)
_SPLIT = Struct(
    (
        Field("Weight", "float"),
        Field("Service", omit=True),
        Field("ServiceSubset", omit=True),
        Field("Namespace", omit=True),
    )
)
SUBSET = Struct((Field("Filter", omit=True), Field("OnlyPassing", "bool", omit=True)))
_REDIRECT = Struct(
    (
        Field("Service", omit=True),
        Field("ServiceSubset", omit=True),
        Field("Namespace", omit=True),
        Field("Datacenter", omit=True),
    )
)
_FAILOVER = Struct(
    (
        Field("Service", omit=True),
        Field("ServiceSubset", omit=True),
        Field("Namespace", omit=True),
        Field("Datacenters", Many("string"), omit=True),
    )
)
_HEAD = (Field("Kind"), Field("Name"))
_TAIL = (Field("Meta", Named("string"), omit=True), Field("CreateIndex", "int"), Field("ModifyIndex", "int"))

KINDS: Mapping[str, Struct] = {
    DEFAULTS: Struct(
        (
            *_HEAD,
            Field("Protocol"),
            Field("MeshGateway", _GATEWAY),
            Field("Expose", _EXPOSE),
            Field("ExternalSNI", omit=True, aliases=("external_sni",)),
            *_TAIL,
        )
    ),
    PROXY: Struct(
        (*_HEAD, Field("Config", Named("any")), Field("MeshGateway", _GATEWAY), Field("Expose", _EXPOSE), *_TAIL)
    ),
    RESOLVER: Struct(
        (
            Field("ConnectTimeout", "duration", omit=True),
            *_HEAD,
            Field("DefaultSubset", omit=True),
            Field("Subsets", Named(SUBSET), omit=True),
            Field("Redirect", _REDIRECT, omit=True),
            Field("Failover", Named(_FAILOVER), omit=True),
            *_TAIL,
        )
    ),
    SPLITTER: Struct((*_HEAD, Field("Splits", Many(_SPLIT)), *_TAIL)),
    ROUTER: Struct((*_HEAD, Field("Routes", Many(ROUTE)), *_TAIL)),
}

GLOBAL = "global"
_SUBSET_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
_MAX_SUBSET_NAME = 63
_WHOLE = 100 * 100


def read(body: bytes) -> Entry:
    """The entry in a request's body, normalised and valid by itself."""
    try:
        value = parse_json(body)
    except ValueError as error:
        raise bad_request(f"Bad request: Request decoding failed: {error}") from None
    entry = normalise(weak(value, KINDS[_kind(value)]))
    validate(entry)
    return entry


def show(entry: Entry) -> dict[str, Any]:
    """The entry as Consul writes it."""
    return encode(entry, KINDS[entry["Kind"]])


def known_kind(kind: str) -> Struct:
    """The document of a kind; ValueError for one that does not exist."""
    if kind not in KINDS:
        raise ValueError(f"invalid config entry kind: {kind}")
    return KINDS[kind]


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        weak(value, _GATEWAY)  # refuses anything but an object
    kind = value.get("Kind") or value.get("kind")
    if kind is None:
        text = "Payload does not contain a kind/Kind key at the top level"
        raise bad_request(f"Bad request: Request decoding failed: {text}")
    try:
        known_kind(str(kind))
    except ValueError as error:
        raise bad_request(f"Bad request: Request decoding failed: {error}") from None
    return str(kind)


def single(value: float) -> float:
    """As Go's float32 holds it, in the shortest decimal that means the same float32."""
    packed = struct.unpack("f", struct.pack("f", value))[0]
    for digits in range(1, 10):
        short = float(f"{packed:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short))[0] == packed:
            return short
    return float(packed)


def scaled(weight: float) -> int:
    """A weight in hundredths of a per cent, rounded half away from zero."""
    product = struct.unpack("f", struct.pack("f", single(weight) * 100.0))[0]
    return int(Decimal(product).quantize(Decimal(1), ROUND_HALF_UP))


def weight(value: float) -> float:
    """A weight in per cent, rounded to what a split can express (0.01)."""
    return single(scaled(value) / 100)


def normalise(entry: Entry) -> Entry:
    """Consul's own tidying of what it was given."""
    kind = entry["Kind"]
    if kind == PROXY:
        entry["Name"] = GLOBAL
    elif kind == DEFAULTS:
        entry["Protocol"] = entry.get("Protocol", "").lower()
    elif kind == SPLITTER:
        for split in entry.get("Splits") or ():
            split["Weight"] = weight(split.get("Weight") or 0)
    elif kind == ROUTER:
        for route in entry.get("Routes") or ():
            match = (route.get("Match") or {}).get("HTTP") or {}
            if match.get("Methods"):
                match["Methods"] = [method.upper() for method in match["Methods"]]
                if route.get("Destination") is not None and not route["Destination"].get("Namespace"):
                    route["Destination"]["Namespace"] = "default"
    return entry


def validate(entry: Entry) -> None:
    """Refuse an entry that is wrong by itself."""
    kind = entry["Kind"]
    if not entry.get("Name"):
        raise refused("serviceName is required" if kind == DEFAULTS else "Name is required")
    if kind == RESOLVER:
        _validate_resolver(entry)
    elif kind == SPLITTER:
        _validate_splitter(entry)
    elif kind == ROUTER:
        for number, route in enumerate(entry.get("Routes") or ()):
            _validate_route(number, route)


def _validate_splitter(entry: Entry) -> None:
    splits = entry.get("Splits") or ()
    if not splits:
        raise refused("no splits configured")
    seen = set()
    for split in splits:
        key = (split.get("Service") or entry["Name"], split.get("ServiceSubset", ""), split.get("Namespace", ""))
        if key in seen:
            text = f'service="{key[0]}", subset="{key[1]}", namespace="{key[2]}"'
            raise refused(f"split destination occurs more than once: {text}")
        seen.add(key)
    total = sum(scaled(split["Weight"]) for split in splits)
    if total != _WHOLE:
        raise refused(f"the sum of all split weights must be 100, not {single(total / 100):f}")


def _validate_resolver(entry: Entry) -> None:
    subsets = entry.get("Subsets") or {}
    for name in sorted(subsets):
        if not name:
            raise refused("Subset defined with empty name")
        if len(name) > _MAX_SUBSET_NAME or not _SUBSET_NAME.match(name):
            raise refused(
                f'Subset "{name}" is invalid: must be 63 characters or fewer, begin or end with lower case '
                "alphanumeric characters, and contain lower case alphanumeric characters or '-' in between"
            )
    default = entry.get("DefaultSubset", "")
    if default and default not in subsets:
        raise refused(f'DefaultSubset "{default}" is not a valid subset')
    if entry.get("Redirect") is not None:
        _validate_redirect(entry, entry["Redirect"], subsets)
    for subset, failover in sorted((entry.get("Failover") or {}).items()):
        _validate_failover(entry["Name"], subset, failover, subsets)
    if entry.get("ConnectTimeout", 0) < 0:
        raise refused(f"Bad ConnectTimeout '{durations.show(entry['ConnectTimeout'])}', must be >= 0")


def _validate_redirect(entry: Entry, redirect: Mapping[str, Any], subsets: Mapping[str, Any]) -> None:
    if entry.get("Failover"):
        raise refused("Redirect and Failover cannot both be set")
    if not any(redirect.values()):
        raise refused("Redirect is empty")
    service, subset = redirect.get("Service", ""), redirect.get("ServiceSubset", "")
    if not service and subset:
        raise refused("Redirect.ServiceSubset defined without Redirect.Service")
    if not service and redirect.get("Namespace"):
        raise refused("Redirect.Namespace defined without Redirect.Service")
    if service == entry["Name"] and subset and subset not in subsets:
        raise refused(f'Redirect.ServiceSubset "{subset}" is not a valid subset of "{service}"')


def _validate_failover(name: str, subset: str, failover: Mapping[str, Any], subsets: Mapping[str, Any]) -> None:
    where = f'Bad Failover["{subset}"]'
    if subset != "*" and subset not in subsets:
        raise refused(f"{where}: not a valid subset")
    if not any(failover.values()):
        raise refused(f"{where} one of Service, ServiceSubset, Namespace, or Datacenters is required")
    service, target = failover.get("Service", ""), failover.get("ServiceSubset", "")
    if target and service in ("", name) and target not in subsets:
        raise refused(f'{where}.ServiceSubset "{target}" is not a valid subset of "{service}"')
    if "" in (failover.get("Datacenters") or ()):
        raise refused(f"{where}.Datacenters: found empty datacenter")


def _validate_route(number: int, route: Mapping[str, Any]) -> None:
    where = f"Route[{number}]"
    match = (route.get("Match") or {}).get("HTTP") or {}
    for field in ("PathExact", "PathPrefix"):
        if match.get(field) and not match[field].startswith("/"):
            raise refused(f"{where} {field} doesn't start with '/': \"{match[field]}\"")
    if sum(bool(match.get(field)) for field in ("PathExact", "PathPrefix", "PathRegex")) > 1:
        raise refused(f"{where} should only contain at most one of PathExact, PathPrefix, or PathRegex")
    _validate_parts(f"{where} Header", match.get("Header"), ("Present", "Exact", "Prefix", "Suffix", "Regex"))
    _validate_parts(f"{where} QueryParam", match.get("QueryParam"), ("Present", "Exact", "Regex"))
    methods = match.get("Methods") or ()
    for method in methods:
        if methods.count(method) > 1:
            raise refused(f'{where} Methods contains "{method}" more than once')
    rewrite = (route.get("Destination") or {}).get("PrefixRewrite")
    if rewrite and not (match.get("PathExact") or match.get("PathPrefix")):
        raise refused(f"{where} cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix")


def _validate_parts(where: str, items: Any, parts: tuple[str, ...]) -> None:
    for number, item in enumerate(items or ()):
        if not item.get("Name"):
            raise refused(f"{where}[{number}] missing required Name field")
        if sum(bool(item.get(part)) for part in parts) != 1:
            listed = f"{', '.join(parts[:-1])}, or {parts[-1]}"
            raise refused(f"{where}[{number}] should only contain one of {listed}")
