"""The bodies of the agent's endpoints: decoded, validated and turned into rows, with Consul's texts for refusals."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev.consul.catalog.agent import CheckSpec
from meshwright.dev.consul.catalog.models import CRITICAL, STATUSES, Check, Service
from meshwright.dev.consul.decode import Field, Many, Named, Struct, parse_json, strict
from meshwright.dev.consul.http_errors import bad_request, refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHECK_FIELDS = (
    Field("Name"),
    Field("Status"),
    Field("Notes"),
    Field("ScriptArgs", Many("string"), aliases=("args", "script_args")),
    Field("HTTP"),
    Field("Header", Named(Many("string"))),
    Field("Method"),
    Field("Body"),
    Field("TCP"),
    Field("Interval", "duration"),
    Field("AliasNode"),
    Field("AliasService"),
    Field("DockerContainerID", aliases=("docker_container_id",)),
    Field("ServiceID", aliases=("service_id",)),
    Field("Shell"),
    Field("GRPC"),
    Field("GRPCUseTLS", "bool"),
    Field("TLSSkipVerify", "bool", aliases=("tls_skip_verify",)),
    Field("Timeout", "duration"),
    Field("TTL", "duration"),
    Field("SuccessBeforePassing", "int"),
    Field("FailuresBeforeCritical", "int"),
    Field("DeregisterCriticalServiceAfter", "duration", aliases=("deregister_critical_service_after",)),
    Field("OutputMaxSize", "int"),
    Field("ProxyHTTP"),
    Field("ProxyGRPC"),
)
_CHECK = Struct((Field("CheckID"), *_CHECK_FIELDS))
_REGISTER_CHECK = Struct((Field("ID"), *_CHECK_FIELDS, Field("Token"), Field("Namespace")))
_WEIGHTS = Struct((Field("Passing", "int"), Field("Warning", "int")))
ADDRESSES = Named(Struct((Field("Address"), Field("Port", "int"))))
CONNECT = Struct((Field("Native", "bool"), Field("SidecarService", "any", aliases=("sidecar_service",))))
_SERVICE = Struct(
    (
        Field("Kind"),
        Field("ID"),
        Field("Name"),
        Field("Tags", Many("string")),
        Field("Address"),
        Field("TaggedAddresses", ADDRESSES, aliases=("tagged_addresses",)),
        Field("Meta", Named("string")),
        Field("Port", "int"),
        Field("Check", _CHECK),
        Field("Checks", Many(_CHECK)),
        Field("Weights", _WEIGHTS),
        Field("Token"),
        Field("EnableTagOverride", "bool", aliases=("enable_tag_override",)),
        Field("Proxy", "any"),
        Field("Connect", CONNECT),
    )
)
_UPDATE = Struct((Field("Status"), Field("Output")))

_META_KEY = re.compile(r"^[a-zA-Z0-9_-]+$")
_MAX_META, _MAX_KEY, _MAX_VALUE = 64, 128, 512
_MAX_WEIGHT = 65535
_MIN_INTERVAL = 1.0


def decode(body: bytes, shape: Struct) -> dict[str, Any]:
    """The body as `shape`; a fault in Consul's words where it is not."""
    try:
        value = parse_json(body)
        return {} if value is None else strict(value, shape)
    except ValueError as error:
        raise bad_request(f"Request decode failed: {error}") from None


def update(body: bytes) -> tuple[str, str]:
    """Status and output of `/v1/agent/check/update`."""
    form = decode(body, _UPDATE)
    status = form.get("Status", "")
    if status not in STATUSES:
        raise bad_request(f"Invalid check status: '{status}'")
    return status, form.get("Output", "")


def service(body: bytes, node: str, *, min_deregister: float) -> tuple[Service, list[tuple[Check, CheckSpec]]]:
    """The service and checks of `/v1/agent/service/register`. `min_deregister` is in seconds."""
    form = decode(body, _SERVICE)
    name = form.get("Name", "")
    if not name:
        raise bad_request("Missing service name")
    address = form.get("Address", "")
    if _is_any_address(address):
        raise bad_request("Invalid service address")
    check_meta(form.get("Meta", {}))
    row = Service(
        node=node,
        id=form.get("ID") or name,
        name=name,
        tags=tuple(form.get("Tags", ())),
        address=address,
        tagged_addresses=_tagged(form, address),
        meta=form.get("Meta", {}),
        port=form.get("Port", 0),
        weights=_weights(form),
        enable_tag_override=form.get("EnableTagOverride", False),
        native=form.get("Connect", {}).get("Native", False),
    )
    forms = [*([form["Check"]] if form.get("Check") else []), *form.get("Checks", [])]
    for item in forms:
        _validate(item)
    return row, [
        _service_check(row, item, number, len(forms), min_deregister) for number, item in enumerate(forms, start=1)
    ]


def check(body: bytes, node: str, *, min_deregister: float) -> tuple[Check, CheckSpec]:
    """The check of `/v1/agent/check/register`. `min_deregister` is in seconds."""
    form = decode(body, _REGISTER_CHECK)
    name = form.get("Name", "")
    if not name:
        raise bad_request("Missing check name")
    if form.get("Status") and form["Status"] not in STATUSES:
        raise bad_request("Bad check status")
    _validate(form)
    check_id = form.get("ID") or name
    spec = _spec(form, check_id, form.get("ServiceID", ""), min_deregister)
    return _row(form, node, check_id, name, spec), spec


def _service_check(
    row: Service, form: Mapping[str, Any], number: int, count: int, min_deregister: float
) -> tuple[Check, CheckSpec]:
    default = f"service:{row.id}" if count == 1 else f"service:{row.id}:{number}"
    check_id = form.get("CheckID") or default
    spec = _spec(form, check_id, row.id, min_deregister)
    name = form.get("Name") or f"Service '{row.name}' check"
    made = _row(form, row.node, check_id, name, spec, service_name=row.name, service_tags=row.tags)
    return made, spec


def _row(
    form: Mapping[str, Any],
    node: str,
    check_id: str,
    name: str,
    spec: CheckSpec,
    *,
    service_name: str = "",
    service_tags: tuple[str, ...] = (),
) -> Check:
    return Check(
        node=node,
        id=check_id,
        name=name,
        status=form.get("Status") or CRITICAL,
        notes=form.get("Notes", ""),
        service_id=spec.service_id,
        service_name=service_name,
        service_tags=service_tags,
        type=spec.type,
    )


def _spec(form: Mapping[str, Any], check_id: str, service_id: str, min_deregister: float) -> CheckSpec:
    def span(name: str) -> float:
        return durations.seconds(form.get(name, 0))

    after = span("DeregisterCriticalServiceAfter")
    return CheckSpec(
        id=check_id,
        service_id=service_id,
        ttl=span("TTL"),
        grpc=form.get("GRPC", ""),
        grpc_use_tls=form.get("GRPCUseTLS", False),
        http=form.get("HTTP", ""),
        method=form.get("Method") or "GET",
        header=form.get("Header"),
        body=form.get("Body", ""),
        tcp=form.get("TCP", ""),
        tls_skip_verify=form.get("TLSSkipVerify", False),
        interval=max(span("Interval"), _MIN_INTERVAL),
        timeout=span("Timeout") or 10.0,
        success_before_passing=form.get("SuccessBeforePassing", 0),
        failures_before_critical=form.get("FailuresBeforeCritical", 0),
        deregister_after=max(after, min_deregister) if after else 0.0,
    )


def _validate(form: Mapping[str, Any]) -> None:
    polled = any(form.get(kind) for kind in ("HTTP", "TCP", "GRPC", "ScriptArgs"))
    interval, ttl = form.get("Interval", 0), form.get("TTL", 0)
    if interval > 0 and ttl > 0:
        raise bad_request("Invalid check: Interval and TTL cannot both be specified")
    if polled and interval <= 0:
        raise bad_request("Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    if not polled and ttl <= 0:
        raise bad_request("Invalid check: TTL must be > 0 for TTL checks")
    if form.get("Status") and form["Status"] not in STATUSES:
        raise bad_request("Status for checks must 'passing', 'warning', 'critical'")
    if form.get("OutputMaxSize", 0) < 0:
        raise bad_request("Invalid check: MaxOutputMaxSize must be positive")
    if form.get("ScriptArgs"):
        raise refused(
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
        )


def _weights(form: Mapping[str, Any]) -> tuple[int, int]:
    if "Weights" not in form:
        return (1, 1)
    passing, warning = form["Weights"].get("Passing", 0), form["Weights"].get("Warning", 0)
    if passing < 1:
        raise bad_request("Invalid Weights: Passing must be greater than 0")
    if warning < 0:
        raise bad_request("Invalid Weights: Warning must be greater or equal than 0")
    if passing > _MAX_WEIGHT or warning > _MAX_WEIGHT:
        raise bad_request("Invalid Weights: DNS Weight must be between 0 and 65535")
    return passing, warning


def _tagged(form: Mapping[str, Any], address: str) -> dict[str, Any] | None:
    tagged = full_addresses(form) or {}
    family = _family(address)
    if family:
        own = {"Address": address, "Port": form.get("Port", 0)}
        for key in (f"lan_{family}", f"wan_{family}"):
            tagged.setdefault(key, own)
    return tagged or None


def full_addresses(form: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tagged addresses of a service, complete; None where there are none."""
    return {
        key: {"Address": item.get("Address", ""), "Port": item.get("Port", 0)}
        for key, item in form.get("TaggedAddresses", {}).items()
    } or None


def _family(address: str) -> str:
    try:
        return f"ipv{ipaddress.ip_address(address).version}"
    except ValueError:
        return ""


def _is_any_address(address: str) -> bool:
    try:
        return address == "[::]" or ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def check_meta(meta: Mapping[str, str]) -> None:
    """Refuse metadata that Consul refuses."""
    where = "Invalid Service Meta"
    if len(meta) > _MAX_META:
        raise bad_request(f"{where}: Node metadata cannot contain more than {_MAX_META} key/value pairs")
    for key, value in meta.items():
        problem = ""
        if not key:
            problem = "Key cannot be blank"
        elif not _META_KEY.match(key):
            problem = "Key contains invalid characters"
        elif len(key) > _MAX_KEY:
            problem = f"Key is too long (limit: {_MAX_KEY} characters)"
        elif key.startswith("consul-"):
            problem = "Key prefix 'consul-' is reserved for internal use"
        elif len(value) > _MAX_VALUE:
            problem = f"Value is too long (limit: {_MAX_VALUE} characters)"
        if problem:
            raise bad_request(f"{where}: Couldn't load metadata pair ('{key}', '{value}'): {problem}")
