"""The reader of macOS' Mach-O files: their architecture and the symbols they do not define."""

from __future__ import annotations

import numpy as np

_MAGIC = b"\xcf\xfa\xed\xfe"
"""The first bytes of a little-endian file for 64 bits."""
# Numbers and records of the format.

_ARCHITECTURES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_HEADER_BYTES = 32
_SYMBOL_TABLE = 2
_FOR_DEBUGGERS, _KIND = 0xE0, 0x0E
_SYMBOL = np.dtype(
    [("name", "<u4"), ("type", "u1"), ("section", "u1"), ("more", "<u2"), ("value", "<u8")]
)


def architecture(head: bytes) -> str | None:
    """Return the architecture of a file with these first bytes, as triples name it, or None."""
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        return None
    return _ARCHITECTURES.get(_number(head, 4))


def undefined(code: bytes) -> list[str]:
    """Return the symbols that a Mach-O file refers to and does not define; none in other files.

    Symbols are named as in C, without the underscore in front.
    """
    if architecture(code) is None:
        return []
    found: list[str] = []
    at = _HEADER_BYTES
    for _ in range(_number(code, 16)):
        if _number(code, at) == _SYMBOL_TABLE:
            place, count, texts = (_number(code, at + i) for i in (8, 12, 16))
            symbols = np.frombuffer(code, _SYMBOL, count, place)
            is_open = (symbols["type"] & (_FOR_DEBUGGERS | _KIND)) == 0
            for name in symbols["name"][is_open & (symbols["value"] == 0)]:
                start = texts + int(name)
                found.append(code[start : code.index(b"\0", start)].decode().removeprefix("_"))
        at += _number(code, at + 4)
    return found


def _number(code: bytes, at: int) -> int:
    """Return the number of 32 bits at a place of a file."""
    return int.from_bytes(code[at : at + 4], "little")
