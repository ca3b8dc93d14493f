"""Requests as bytes, nodes, and responses put together from shared parts."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.xds.codec import (
    MAX_NAME_LENGTH,
    MAX_NAMES,
    UnknownTypeError,
    encode_body,
    read_request,
    with_nonce,
)
from meshwright.controlplane.xds.nodes import read_node
from meshwright.errors import ValidationError
from meshwright.messages.xds import DiscoveryRequest, DiscoveryResponse, Node
from support.controlplane.ads import CLUSTER, raw, resource


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_response_of_shared_parts_reads_like_one_made_whole(count: int) -> None:
    resources = [resource(CLUSTER, f"cluster-{number}", "x" * number) for number in range(count)]
    whole = DiscoveryResponse(version_info="v1", type_url=CLUSTER.value, nonce="7")
    for item in resources:
        whole.resources.add().ParseFromString(item.body)
    assert DiscoveryResponse.FromString(with_nonce(encode_body(CLUSTER, "v1", resources), "7")) == whole


def test_a_nack_is_told_from_an_ack_even_without_a_message() -> None:
    message = DiscoveryRequest(type_url=CLUSTER.value, response_nonce="3")
    message.error_detail.SetInParent()
    assert read_request(message.SerializeToString())[0].error == ""
    message.ClearField("error_detail")
    assert read_request(message.SerializeToString())[0].error is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff\xff garbage", "is not a DiscoveryRequest"),
        (raw(""), "type_url: is required"),
        (raw(CLUSTER.value, ["x" * (MAX_NAME_LENGTH + 1)]), "longer than 1024 characters"),
        (raw(CLUSTER.value, [str(number) for number in range(MAX_NAMES + 1)]), "more than 20000"),
    ],
)
def test_what_no_client_may_send_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read_request(data)


def test_an_unserved_type_is_named() -> None:
    with pytest.raises(UnknownTypeError, match="Runtime"):
        read_request(raw("type.googleapis.com/envoy.service.runtime.v3.Runtime"))


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_in_another_way(data: bytes) -> None:
    with contextlib.suppress(ValidationError, UnknownTypeError):
        read_request(data)


@pytest.mark.parametrize(("value", "skew"), [(0, 0), (1234, 1234), (1234.4, 1234), (5000, 5000)])
def test_the_skew_of_a_grpc_node_is_read(value: float, skew: int) -> None:
    _, node = read_request(raw(CLUSTER.value, node="n", **{"meshwright.timeout_skew_ms": value}))
    node_profile = read_node(node).node_profile
    assert (node_profile.kind, node_profile.timeout_skew_ms) == (NodeKind.GRPC, skew)


@pytest.mark.parametrize("value", [-1, 5001, float("nan"), float("inf"), "1500", True, None, [1]])
def test_a_skew_that_cannot_be_is_refused(value: object) -> None:
    node = Node(id="n", user_agent_name="gRPC C-core")
    node.metadata.update({"meshwright.timeout_skew_ms": value})
    with pytest.raises(ValidationError, match=r"meshwright\.timeout_skew_ms: expected a number from 0 to 5000"):
        read_node(node)


@pytest.mark.parametrize("agent", ["gRPC C-core linux Python", "gRPC C-core linux", "gRPC C-core windows PHP"])
def test_a_c_core_that_names_no_skew_is_assumed_to_have_the_greatest(agent: str) -> None:
    info = read_node(Node(id="n", user_agent_name=agent))
    assert (info.node_profile.timeout_skew_ms, info.skew_assumed) == (2000, True)


@pytest.mark.parametrize("agent", ["gRPC Go", "gRPC Java", "gRPC Node Pure JS", "envoy", "meshwright", ""])
def test_others_fire_their_timeouts_on_time(agent: str) -> None:
    info = read_node(Node(id="n", user_agent_name=agent))
    assert (info.node_profile.timeout_skew_ms, info.skew_assumed) == (0, False)


def test_a_c_core_that_measured_no_skew_has_none() -> None:
    node = Node(id="n", user_agent_name="gRPC C-core linux Python")
    node.metadata.update({"meshwright.timeout_skew_ms": 0})
    info = read_node(node)
    assert (info.node_profile.timeout_skew_ms, info.skew_assumed) == (0, False)


def test_a_client_in_node_gets_a_virtual_host_for_unknown_names() -> None:
    assert read_node(Node(id="n", user_agent_name="gRPC Node Pure JS")).node_profile.hosts_unknown
    assert not read_node(Node(id="n", user_agent_name="gRPC Go")).node_profile.hosts_unknown


def test_an_envoy_has_no_skew_and_may_say_where_it_listens() -> None:
    node = Node(id="n", user_agent_name="envoy")
    node.metadata.update({"meshwright.ingress": "0.0.0.0:8443"})
    profile = read_node(node).node_profile
    assert (profile.kind, profile.timeout_skew_ms, str(profile.ingress)) == (
        NodeKind.ENVOY,
        0,
        "0.0.0.0:8443",
    )


def test_an_envoy_that_says_nonsense_of_where_it_listens_is_refused() -> None:
    node = Node(id="n", user_agent_name="envoy")
    node.metadata.update({"meshwright.ingress": "8443"})
    with pytest.raises(ValidationError, match="expected host:port"):
        read_node(node)


def test_a_stream_without_a_node_is_refused() -> None:
    with pytest.raises(ValidationError, match="node: is required"):
        read_node(None)
