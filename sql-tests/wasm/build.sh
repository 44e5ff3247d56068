#!/usr/bin/env bash
# Builds the guests in C and AssemblyScript into a directory, one .wasm a source file, and the component. Installs what is missing: clang and
# lld from the system's packages, AssemblyScript from npm into a directory of its own. PYTHON is a Python with the package wasmtime, for the component.
set -euo pipefail
out=$(realpath "${1:?usage: build.sh DIRECTORY}")
guests=$(cd "$(dirname "$0")/guests" && pwd)

as_root() {
    if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

# A fresh image has no lists of packages; the lists of the last run will do.
install() {
    as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v clang >/dev/null && command -v wasm-ld >/dev/null || install clang lld
command -v npm >/dev/null || install nodejs npm

c() {
    clang --target=wasm32 -O2 -ffreestanding -mbulk-memory -nostdlib -Wall -Wextra -Werror -Wl,--no-entry -Wl,--stack-first -o "$2" "$1"
}

for source in "$guests"/c/*.c; do
    c "$source" "$out/c_$(basename "$source" .c).wasm"
done

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
(cd "$tools" && npm install --silent --no-audit --no-fund --no-save assemblyscript >/dev/null)
for source in "$guests"/assemblyscript/*.ts; do
    name=$(basename "$source" .ts)
    [[ "$name" == lightning ]] && continue
    (cd "$guests/assemblyscript" &&
        "$tools/node_modules/.bin/asc" "$name.ts" --runtime stub --use abort= -O3 -o "$out/assemblyscript_$name.wasm")
done

c "$guests/component/statistics.c" "$tools/core.wasm"
"${PYTHON:-python3}" "$guests/component/wrap.py" "$tools/core.wasm" "$guests/component/statistics.wat" "$out/component_statistics.wasm"
