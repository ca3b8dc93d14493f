"""Make the descriptor sets of `meshwright.messages` of the published packages (scripts/message_descriptors.sh)."""

from __future__ import annotations

import gzip
import importlib
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

FOLDER = Path(__file__).resolve().parents[1] / "src/meshwright/messages"

ROOTS = {
    "xds": (
        "envoy.config.cluster.v3.cluster_pb2",
        "envoy.config.endpoint.v3.endpoint_pb2",
        "envoy.config.listener.v3.listener_pb2",
        "envoy.config.route.v3.route_pb2",
        "envoy.extensions.clusters.aggregate.v3.cluster_pb2",
        "envoy.extensions.filters.http.fault.v3.fault_pb2",
        "envoy.extensions.filters.http.router.v3.router_pb2",
        "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
        "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
        "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
        "envoy.service.discovery.v3.ads_pb2",
    ),
    "otlp": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2",),
}


def add(found: dict[str, FileDescriptorProto], descriptor: object) -> None:
    """The file and all that it imports, these first."""
    name = descriptor.name  # type: ignore[attr-defined]
    if name in found:
        return
    for each in descriptor.dependencies:  # type: ignore[attr-defined]
        add(found, each)
    found[name] = FileDescriptorProto.FromString(descriptor.serialized_pb)  # type: ignore[attr-defined]


def main(names: list[str]) -> None:
    for name in names:
        found: dict[str, FileDescriptorProto] = {}
        for root in ROOTS[name]:
            add(found, importlib.import_module(root).DESCRIPTOR)
        data = FileDescriptorSet(file=found.values()).SerializeToString(deterministic=True)
        (FOLDER / f"{name}.binpb.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        print(f"{name}: {len(found)} files, {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
