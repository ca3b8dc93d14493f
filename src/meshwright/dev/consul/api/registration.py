"""`/v1/catalog/register` and `deregister`: rows written past any agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.dev.consul.api.requests import ADDRESSES, CONNECT, decode, full_addresses
from meshwright.dev.consul.catalog.catalog import key_of
from meshwright.dev.consul.catalog.models import CRITICAL, Check, Node, Service
from meshwright.dev.consul.decode import Field, Many, Named, Struct
from meshwright.dev.consul.http_errors import refused
from meshwright.model import folded

if TYPE_CHECKING:
    from meshwright.dev.consul.state import State

_CHECK = Struct(
    (
        Field("Node"),
        Field("CheckID"),
        Field("Name"),
        Field("Status"),
        Field("Notes"),
        Field("Output"),
        Field("ServiceID"),
        Field("ServiceName"),
        Field("ServiceTags", Many("string")),
        Field("Type"),
        Field("Definition", Named("any")),
        Field("CreateIndex", "int"),
        Field("ModifyIndex", "int"),
    )
)
_SERVICE = Struct(
    (
        Field("Kind"),
        Field("ID"),
        Field("Service"),
        Field("Tags", Many("string")),
        Field("Address"),
        Field("TaggedAddresses", ADDRESSES),
        Field("Meta", Named("string")),
        Field("Port", "int"),
        Field("Weights", Struct((Field("Passing", "int"), Field("Warning", "int")))),
        Field("EnableTagOverride", "bool"),
        Field("Proxy", "any"),
        Field("Connect", CONNECT),
        Field("CreateIndex", "int"),
        Field("ModifyIndex", "int"),
    )
)
_REGISTER = Struct(
    (
        Field("Datacenter"),
        Field("ID"),
        Field("Node"),
        Field("Address"),
        Field("TaggedAddresses", Named("string")),
        Field("NodeMeta", Named("string")),
        Field("Service", _SERVICE),
        Field("Check", _CHECK),
        Field("Checks", Many(_CHECK)),
        Field("SkipNodeUpdate", "bool"),
        Field("Token"),
    )
)
_UUID_LENGTH = 36
_DEREGISTER = Struct(
    (
        Field("Datacenter"),
        Field("Node"),
        Field("ServiceID"),
        Field("CheckID"),
        Field("Address"),
        Field("Token"),
    )
)


def register(state: State, body: bytes) -> None:
    """Write what the body names."""
    form = decode(body, _REGISTER)
    _same_datacenter(state, form)
    node = form.get("Node", "")
    if not node:
        raise refused("Must provide node")
    if len(form.get("ID", "")) not in (0, _UUID_LENGTH):
        raise refused("Bad node ID: uuid string is wrong length")
    skip = form.get("SkipNodeUpdate", False)
    if not form.get("Address") and not skip:
        raise refused("Must provide address if SkipNodeUpdate is not set")
    service = _service(node, form["Service"]) if form.get("Service") else None
    checks = [_check(node, item) for item in [*form.get("Checks", []), *([form["Check"]] if "Check" in form else [])]]
    _can_all_be_written(state, node, service, checks)
    state.store.next()
    if not (skip and state.catalog.node(node) is not None):
        state.catalog.put_node(_node(state, form))
    if service is not None:
        state.catalog.put_service(service)
    for check in checks:
        state.catalog.put_check(check)


def _can_all_be_written(state: State, node: str, service: Service | None, checks: list[Check]) -> None:
    """One write: all of it or nothing."""
    for check in checks:
        if not check.id:
            raise refused(
                f'failed inserting check: failed inserting check: object missing primary index on node "{node}"'
            )
        if check.node != node:
            raise refused(f'check node "{check.node}" does not match node "{node}"')
        is_new = service is not None and folded(check.service_id) == folded(service.id)
        if check.service_id and not is_new and key_of(node, check.service_id) not in state.catalog.services:
            raise refused(f'failed inserting check: Missing service registration on node "{node}"')


def deregister(state: State, body: bytes) -> None:
    """Remove what the body names: a service, a check, or the whole node."""
    form = decode(body, _DEREGISTER)
    _same_datacenter(state, form)
    node = form.get("Node", "")
    if not node:
        raise refused("Must provide node")
    state.store.next()
    if form.get("ServiceID"):
        state.catalog.delete_service(node, form["ServiceID"])
    elif form.get("CheckID"):
        state.catalog.delete_check(node, form["CheckID"])
    else:
        state.catalog.delete_node(node)


def _same_datacenter(state: State, form: dict[str, Any]) -> None:
    if form.get("Datacenter", state.datacenter) not in ("", state.datacenter):
        raise refused("No path to datacenter")


def _node(state: State, form: dict[str, Any]) -> Node:
    return Node(
        name=form["Node"],
        address=form.get("Address", ""),
        datacenter=state.datacenter,
        id=form.get("ID", ""),
        tagged_addresses=form.get("TaggedAddresses"),
        meta=form.get("NodeMeta"),
    )


def _service(node: str, form: dict[str, Any]) -> Service:
    name = form.get("Service", "")
    service_id = form.get("ID") or name
    if not name:
        raise refused("Must provide service name with ID" if service_id else "Must provide service name")
    weights = form.get("Weights")
    return Service(
        node=node,
        id=service_id,
        name=name,
        tags=tuple(form.get("Tags", ())),
        address=form.get("Address", ""),
        tagged_addresses=full_addresses(form),
        meta=form.get("Meta"),
        port=form.get("Port", 0),
        weights=(weights.get("Passing", 0), weights.get("Warning", 0)) if weights else (1, 1),
        enable_tag_override=form.get("EnableTagOverride", False),
    )


def _check(node: str, form: dict[str, Any]) -> Check:
    return Check(
        node=form.get("Node") or node,
        id=form.get("CheckID") or form.get("Name", ""),
        name=form.get("Name", ""),
        status=form.get("Status") or CRITICAL,
        notes=form.get("Notes", ""),
        output=form.get("Output", ""),
        service_id=form.get("ServiceID", ""),
        type=form.get("Type", ""),
        definition=form.get("Definition") or {},
    )
