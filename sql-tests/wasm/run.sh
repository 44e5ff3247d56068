#!/usr/bin/env bash
# Builds the guests and compares what the given `lightning` binary makes of them with the same in SQL. PYTHON is a Python with the packages psycopg
# and wasmtime; without it, one is made in a directory of its own.
set -euo pipefail
binary=$(realpath "${1:?usage: run.sh PATH_TO_LIGHTNING}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ -z "${PYTHON:-}" ]]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]' wasmtime
    PYTHON="$work/venv/bin/python"
fi
export PYTHON PYTHONDONTWRITEBYTECODE=1

mkdir "$work/guests"
"$here/build.sh" "$work/guests"
"$PYTHON" "$here/compare.py" "$binary" "$work/guests"
