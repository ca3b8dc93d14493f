#!/bin/sh
# Builds the gRPC clients of tests/foreign, in Go, Node and Java, into .tools/foreign: each where its toolchain is installed
# and its packages can be downloaded. What is not available leaves its reason in a file, which the skipped tests repeat.
# Run again, it does nothing for a client whose sources have not changed.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
built=$root/.tools/foreign
mkdir -p "$built"

fail() {
    echo "$1" >"$built/$language.reason"
    echo "not available: the foreign client in $language ($1); its tests will skip" >&2
    exit 1
}

# at_least VERSION MINIMUM: compares the major and minor numbers.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# attempt COMMAND...: the last line of a failing command's log is the reason.
attempt() {
    "$@" >"$built/$language.log" 2>&1 || fail "$1 failed: $(grep -v '^ *$' "$built/$language.log" | tail -n 1 | cut -c 1-200)"
}

go_client() {
    PATH=$PATH:/usr/local/go/bin
    command -v go >/dev/null || fail "no go on PATH"
    wanted=$(awk '$1 == "go" { print $2 }' client/go.mod)
    found=$(go env GOVERSION | sed 's/^go//; s/ .*//')
    at_least "$found" "$wanted" || fail "go is $found, and grpc-go needs $wanted"
    cd client
    attempt env GOTOOLCHAIN=local CGO_ENABLED=0 go build -trimpath -ldflags=-s -o ../bin/client .
}

node_client() {
    command -v node >/dev/null || fail "no node on PATH"
    command -v npm >/dev/null || fail "no npm on PATH"
    found=$(node --version | sed 's/^v//')
    at_least "$found" 18 || fail "node is $found, and grpc-js-xds is run with 18 and later"
    cd client
    attempt npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error
}

java_client() {
    command -v javac >/dev/null || fail "no javac on PATH"
    command -v mvn >/dev/null || fail "no mvn on PATH"
    found=$(javac -version 2>&1 | sed 's/^javac //')
    at_least "$found" 17 || fail "the JDK is $found, and the client needs 17"
    cd client
    attempt mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory=lib
    attempt javac -cp 'lib/*' -d classes Client.java
}

build() {
    language=$1
    sources=$root/tests/foreign/$language
    stamp=$(cat "$sources"/* | sha256sum | cut -d ' ' -f 1)
    [ "$(cat "$built/$language/stamp" 2>/dev/null)" = "$stamp" ] && return 0
    rm -rf "${built:?}/$language" "$built/$language.reason"
    mkdir -p "$built/$language"
    cp -R "$sources" "$built/$language/client"
    (cd "$built/$language" && "${language}_client") && echo "$stamp" >"$built/$language/stamp"
}

# Side by side: Go's compiler needs the cores while the others wait for their packages.
for language in go node java; do
    build $language &
done
wait
exit 0
