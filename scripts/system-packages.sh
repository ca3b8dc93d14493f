#!/bin/sh
# Debian packages that some tests use: a real PostgreSQL, Chromium, Prometheus, coturn, baresip and sipp. Installs what is missing
# when root on a Debian; says what to install otherwise. Never fatal: a test whose part is missing skips and says why.
set -u
missing=
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql-15"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    missing="$missing chromium"
command -v promtool >/dev/null && command -v prometheus >/dev/null || missing="$missing prometheus"
command -v turnserver >/dev/null || missing="$missing coturn"
command -v baresip >/dev/null || missing="$missing baresip-core"
command -v sipp >/dev/null || missing="$missing sip-tester"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "some tests will skip; to run them install:$missing" >&2
    exit 0
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "could not install:$missing; some tests will skip" >&2
exit 0
