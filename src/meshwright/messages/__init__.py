"""Messages of other people's protocols, read from descriptor sets that come with this package.

The published packages of xDS (`xds-protos`) and OTLP (`opentelemetry-proto`) put their modules at top-level paths that
both own in part, so that the one installed last breaks the other, and loading them takes several times as long. Here
each protocol has a `DescriptorPool` of its own: nothing is registered in protobuf's default pool, and a process that
imports the published modules as well is not disturbed. `scripts/message_descriptors.sh` makes the sets, of the files
that are used and what these import.

The classes carry no types: to a type checker they are `Any`.
"""

from __future__ import annotations

import gzip
from importlib import resources
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool


def load(name: str) -> DescriptorPool:
    """A pool of the descriptor set `<name>.binpb.gz` of this package. Takes some milliseconds."""
    data = gzip.decompress(resources.files(__name__).joinpath(f"{name}.binpb.gz").read_bytes())
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


def message(pool: DescriptorPool, name: str) -> Any:
    """The class of the message with that full name. Raises KeyError where the pool has none."""
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
