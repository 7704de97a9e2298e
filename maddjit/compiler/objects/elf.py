"""The reader of ELF files: their architecture and the symbols they do not define."""

from __future__ import annotations

import numpy as np

_MAGIC = b"\x7fELF\x02\x01"
"""The first bytes of a little-endian file for 64 bits."""
# Numbers and records of the format.

_ARCHITECTURES = {62: "x86_64", 183: "aarch64"}
_SYMBOL_TABLE = 2
_HEADER_BYTES = 64
_SECTION = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("address", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("alignment", "<u8"),
        ("entry_size", "<u8"),
    ]
)
_SYMBOL = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("section", "<u2"),
        ("value", "<u8"),
        ("size", "<u8"),
    ]
)


def architecture(head: bytes) -> str | None:
    """Return the architecture of a file with these first bytes, as triples name it, or None."""
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        return None
    return _ARCHITECTURES.get(int.from_bytes(head[18:20], "little"))


def undefined(code: bytes) -> list[str]:
    """Return the symbols that an ELF object refers to and does not define; none in other files."""
    if architecture(code) is None:
        return []
    at = int.from_bytes(code[40:48], "little")
    sections = np.frombuffer(code, _SECTION, int.from_bytes(code[60:62], "little"), at)
    found: list[str] = []
    for table in sections[sections["type"] == _SYMBOL_TABLE]:
        count = int(table["size"]) // _SYMBOL.itemsize
        symbols = np.frombuffer(code, _SYMBOL, count, int(table["offset"]))
        names = int(sections[int(table["link"])]["offset"])
        for place in symbols["name"][(symbols["section"] == 0) & (symbols["name"] != 0)]:
            start = names + int(place)
            found.append(code[start : code.index(b"\0", start)].decode())
    return found
