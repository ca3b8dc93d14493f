#!/bin/sh
# Makes the virtual environment and installs Meshwright into it: venv.sh PYTHON FOLDER demo|dev|docs
# demo: the library and the demo system; dev: the operator and what tests need as well; docs: what builds the site.
# Debian splits `venv` off from Python; where it is missing we make the folder without pip and let another pip fill it.
set -eu
python=$1 folder=$2 what=$3

if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    echo "meshwright needs Python 3.11, 3.12 or 3.13; $python is $("$python" --version). Try: make PYTHON=python3.11" >&2
    exit 1
fi
if [ ! -x "$folder/bin/python" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
    rm -rf "$folder"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$folder"
    elif "$python" -c 'import pip' 2>/dev/null; then
        "$python" -m venv --without-pip "$folder"
        "$python" -m pip --python "$folder/bin/python" install --quiet pip
    elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing Debian's python3-venv" >&2
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
        "$python" -m venv "$folder"
    else
        echo "Python's venv module is missing. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
fi
case $what in
demo) set -- --editable ".[standard]" --editable ./services ;;
docs) set -- --editable ".[standard,docs]" --editable ./services --editable ./operator ;;
dev) set -- --editable ".[standard,dev]" --editable "./services[voice]" --editable ./operator ;;
esac
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"
