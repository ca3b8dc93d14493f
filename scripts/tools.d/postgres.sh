#!/bin/sh
# PostgreSQL, for the tests of the user service: Debian's own package. Quick where it is there already.
set -eu
present() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}
if present; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "PostgreSQL is missing. On Debian 12: apt-get install postgresql-15" >&2
    exit 1
fi
echo "installing Debian's postgresql-15" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends postgresql-15 >/dev/null
present
