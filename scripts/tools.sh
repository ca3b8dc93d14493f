#!/bin/sh
# Fetches the real parts that the tests compare with into .tools/: each by a script of its own, none fatal.
set -u
cd "$(dirname "$0")"
for tool in tools.d/*.sh; do
    "$tool" || echo "not available: $(basename "$tool" .sh); its tests will skip" >&2
done
exit 0
