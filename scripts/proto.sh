#!/bin/sh
# Generates src/demo from protos/. With --check: compares instead, and fails where the committed code is stale.
set -eu
cd "$(dirname "$0")/.."
out=src
if [ "${1:-}" = --check ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
rm -rf "$out/demo"
.venv/bin/python -m grpc_tools.protoc -I protos --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
    $(find protos -name '*.proto' | sort)
find "$out/demo" -type d -exec touch {}/__init__.py \;
if [ "${1:-}" = --check ] && ! diff -r -x __pycache__ src/demo "$out/demo"; then
    echo "src/demo is stale: run make proto" >&2
    exit 1
fi
