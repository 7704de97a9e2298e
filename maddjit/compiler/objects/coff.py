"""What is read of Windows' files: the architecture, and an object's symbols not defined in it."""

from __future__ import annotations

import numpy as np

_ARCHITECTURES = {0x8664: "x86_64", 0xAA64: "aarch64"}
_PROGRAM, _SIGNATURE = b"MZ", b"PE\0\0"
_PLACE_OF_HEADER = 60
_EXTERNAL = 2
_SYMBOL = np.dtype(
    [
        ("name", "S8"),
        ("value", "<u4"),
        ("section", "<i2"),
        ("type", "<u2"),
        ("storage", "u1"),
        ("n_more", "u1"),
    ]
)


def architecture(head: bytes) -> str | None:
    """Return the architecture that a file's first bytes tell, as in triples; None if unknown.

    They are those of an object, or of a program or library with what begins one.
    """
    start = 0
    if head.startswith(_PROGRAM):
        found = int.from_bytes(head[_PLACE_OF_HEADER : _PLACE_OF_HEADER + 4], "little")
        if head[found : found + 4] != _SIGNATURE:
            return None
        start = found + 4
    return _ARCHITECTURES.get(int.from_bytes(head[start : start + 2], "little"))


def undefined(code: bytes) -> list[str]:
    """Return the names that a COFF object refers to and does not define; none for other formats."""
    if architecture(code) is None or code.startswith(_PROGRAM):
        return []
    at, count = (int.from_bytes(code[i : i + 4], "little") for i in (8, 12))
    symbols = np.frombuffer(code, _SYMBOL, count, at)
    texts = at + count * _SYMBOL.itemsize
    found: list[str] = []
    i = 0
    while i < count:  # further records of a symbol are no symbols
        symbol = symbols[i]
        if symbol["section"] == 0 and symbol["storage"] == _EXTERNAL and symbol["value"] == 0:
            raw = code[at + i * _SYMBOL.itemsize :][:8]
            if raw.startswith(bytes(4)):
                start = texts + int.from_bytes(raw[4:], "little")
                raw = code[start : code.index(b"\0", start)]
            found.append(raw.rstrip(b"\0").decode())
        i += 1 + int(symbol["n_more"])
    return found
