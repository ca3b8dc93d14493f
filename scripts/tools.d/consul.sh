#!/bin/sh
# Puts the real Consul at .tools/consul/consul, unless a `consul` on PATH is there already. Debian's package of the release
# bullseye (Consul 1.8.7) is the one that CI can have: fetched under a private apt configuration, so that the system's own
# sources, lists and caches stay untouched, and unpacked without being installed. Needs no root.
set -eu
cd "$(dirname "$0")/../.."
release=bullseye
folder=.tools/consul

fail() {
    echo "consul: $1" >&2
    exit 1
}

if command -v consul >/dev/null; then
    exit 0
fi
if [ -x "$folder/consul" ] && "$folder/consul" version >/dev/null 2>&1; then
    exit 0
fi
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null || fail "not on PATH, and without $tool it cannot be fetched: install Consul yourself"
done
# The machine's own mirror of Debian, as its sources name it.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 2>/dev/null | awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
[ -n "$mirror" ] || fail "apt knows no Debian mirror (run apt-get update, or install Consul yourself)"

mkdir -p .tools
work=$(mktemp -d "$PWD/.tools/consul.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/unpacked"
echo "deb $mirror $release main" >"$work/sources.list"
private() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/parts" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User= \
        -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
        -o APT::Update::Error-Mode=any "$@"
}
private update >"$work/log" 2>&1 || fail "cannot read Debian $release from the mirror: $(tail -n 1 "$work/log")"
(cd "$work" && private download consul >log 2>&1) || fail "cannot download the package: $(tail -n 1 "$work/log")"
dpkg -x "$work"/consul_*.deb "$work/unpacked"
[ -x "$work/unpacked/usr/bin/consul" ] || fail "the package holds no usr/bin/consul"
"$work/unpacked/usr/bin/consul" version >/dev/null || fail "the fetched binary does not run on this machine"
mkdir -p "$folder"
mv "$work/unpacked/usr/bin/consul" "$folder/consul"
