#!/bin/sh
# The contracts as descriptors, with those of error details, as an Envoy wants them: descriptors.sh FILE
set -eu
case $1 in /*) out=$1 ;; *) out=$PWD/$1 ;; esac
cd "$(dirname "$0")/.."
python=.venv/bin/python
packages=$($python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
$python -m grpc_tools.protoc -I protos -I "$packages" --include_imports --descriptor_set_out="$out" \
    $(find protos -name '*.proto' | sort) google/rpc/error_details.proto
