"""Puts a module into a component: wrap.py MODULE COMPONENT_IN_TEXT RESULT.

The text has a module with the same exports, which shows what the component makes of them. In the binary form it is one section of its own, and
the real module takes its place.
"""

import pathlib
import sys

import wasmtime

HEADER_BYTES = 8
CORE_MODULE = 1


def number(data, at):
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def encoded(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def wrapped(component, module):
    out, at, replaced = bytearray(component[:HEADER_BYTES]), HEADER_BYTES, 0
    while at < len(component):
        kind = component[at]
        size, begin = number(component, at + 1)
        content = component[begin : begin + size]
        if kind == CORE_MODULE:
            content, replaced = module, replaced + 1
        out += bytes([kind]) + encoded(len(content)) + content
        at = begin + size
    if replaced != 1:
        raise SystemExit(f"the component has {replaced} modules instead of one")
    return bytes(out)


def main():
    module, text, result = map(pathlib.Path, sys.argv[1:])
    component = wasmtime.wat2wasm(text.read_text())
    result.write_bytes(wrapped(bytes(component), module.read_bytes()))


if __name__ == "__main__":
    main()
