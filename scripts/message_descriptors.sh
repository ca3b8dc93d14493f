#!/bin/sh
# Makes src/meshwright/messages/*.binpb.gz. The two packages own some files together, so each is installed into a folder of its own.
set -eu
cd "$(dirname "$0")/.."
for each in xds:xds-protos==1.85.0 otlp:opentelemetry-proto==1.45.2; do
    folder=.tools/descriptors/${each%%:*}
    rm -rf "$folder"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "${each#*:}" googleapis-common-protos protobuf
    PYTHONPATH=$folder .venv/bin/python -S scripts/make_descriptors.py "${each%%:*}"
done
