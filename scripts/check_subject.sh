#!/bin/sh
# A commit's subject has at most 72 characters, begins with a capital letter and ends without a full stop: check_subject.sh FILE
set -eu
subject=$(head -n 1 "$1")
case $subject in
*.) echo "the commit's subject ends with a full stop: $subject" >&2 && exit 1 ;;
[A-Z]*) ;;
*) echo "the commit's subject begins with no capital letter: $subject" >&2 && exit 1 ;;
esac
if [ "${#subject}" -gt 72 ]; then
    echo "the commit's subject has ${#subject} characters, at most 72 are allowed: $subject" >&2
    exit 1
fi
