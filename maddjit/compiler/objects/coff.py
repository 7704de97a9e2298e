"""The reader of Windows' COFF files: their architecture and the symbols they do not define."""

from __future__ import annotations

import numpy as np

# Numbers and records of the format.

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
    """Return the architecture of a file with these first bytes, as triples name it, or None.

    The file may be an object, a program or a library.
    """
    start = 0
    if head.startswith(_PROGRAM):
        found = int.from_bytes(head[_PLACE_OF_HEADER : _PLACE_OF_HEADER + 4], "little")
        if head[found : found + 4] != _SIGNATURE:
            return None
        start = found + 4
    return _ARCHITECTURES.get(int.from_bytes(head[start : start + 2], "little"))


def undefined(code: bytes) -> list[str]:
    """Return the symbols that a COFF object refers to and does not define; none in other files."""
    if architecture(code) is None or code.startswith(_PROGRAM):
        return []
    at, count = (int.from_bytes(code[i : i + 4], "little") for i in (8, 12))
    symbols = np.frombuffer(code, _SYMBOL, count, at)
    texts = at + count * _SYMBOL.itemsize
    found: list[str] = []
    i = 0
    while i < count:  # a symbol may have further records, which are skipped
        symbol = symbols[i]
        if symbol["section"] == 0 and symbol["storage"] == _EXTERNAL and symbol["value"] == 0:
            raw = code[at + i * _SYMBOL.itemsize :][:8]
            if raw.startswith(bytes(4)):
                start = texts + int.from_bytes(raw[4:], "little")
                raw = code[start : code.index(b"\0", start)]
            found.append(raw.rstrip(b"\0").decode())
        i += 1 + int(symbol["n_more"])
    return found
