"""What is read of macOS' files: the architecture, and the symbols that are not defined."""

from __future__ import annotations

import numpy as np

_MAGIC = b"\xcf\xfa\xed\xfe"
"""Of files of 64 bits, little-endian."""
_ARCHITECTURES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_HEADER_BYTES = 32
_SYMBOL_TABLE = 2
_FOR_DEBUGGERS, _KIND = 0xE0, 0x0E
_SYMBOL = np.dtype(
    [("name", "<u4"), ("type", "u1"), ("section", "u1"), ("more", "<u2"), ("value", "<u8")]
)


def architecture(head: bytes) -> str | None:
    """Return the architecture that a file's first bytes tell, as in triples; None if unknown."""
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        return None
    return _ARCHITECTURES.get(_number(head, 4))


def undefined(code: bytes) -> list[str]:
    """Return the names, as C has them, that a Mach-O file refers to and does not define.

    There are none in files of other formats.
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
    return int.from_bytes(code[at : at + 4], "little")
