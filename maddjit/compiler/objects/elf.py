"""The reader of ELF files: their architecture, the symbols they do not define, their constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x7fELF\x02\x01"
"""The first bytes of a little-endian file for 64 bits."""
# Numbers and records of the format.

_ARCHITECTURES = {62: "x86_64", 183: "aarch64"}
_SYMBOL_TABLE, _WITHOUT_BYTES, _RELOCATIONS = 2, 8, (4, 9)
_WRITABLE, _RUN = 1, 4
_NAMES_SECTION, _NAMES_DATA = 3, 1
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


def without_constants(code: bytes, least: int) -> tuple[bytes, memoryview, str] | None:
    """Return an object without the bytes of its constants, these bytes, and where they belong.

    They belong at a symbol, in memory that a loader clears and leaves writable.

    Parameters
    ----------
    code : bytes
    least : int
        The fewest bytes of constants that are taken out.

    Returns
    -------
    object, constants, symbol : tuple or None
        None if the object is not ELF, or its largest section of constants is smaller or has numbers
        that a loader would change.
    """
    if architecture(code) is None:
        return None
    at, sections = _sections(code)
    is_kept = (sections["type"] == 1) & (sections["flags"] & (_WRITABLE | _RUN) == 0)
    own = int(np.argmax(np.where(is_kept, sections["size"], 0)))
    begun, size = int(sections["offset"][own]), int(sections["size"][own])
    is_changed = np.isin(sections["type"], _RELOCATIONS) & (sections["info"] == own)
    (table,) = np.flatnonzero(sections["type"] == _SYMBOL_TABLE)
    symbols = _symbols(code, sections[table]).copy()
    place = (symbols["section"] == own) & (symbols["info"] == _NAMES_SECTION)
    if size < least or is_changed.any() or place.sum() != 1:
        return None
    # What lies behind the section moves up by a multiple of every section's alignment.
    alignment = int(sections["alignment"].max())
    gone = size // alignment * alignment
    small = bytearray(code[:begun] + code[begun + gone :])
    sections = sections.copy()
    sections["offset"][sections["offset"] > begun] -= gone
    sections["type"][own] = _WITHOUT_BYTES
    sections["flags"][own] |= _WRITABLE
    symbols["info"][place] = _NAMES_DATA
    symbols["name"][place] = sections["name"][own]
    for offset, records in ((at - gone, sections), (int(sections["offset"][table]), symbols)):
        small[offset : offset + records.nbytes] = records.tobytes()
    small[40:48] = (at - gone).to_bytes(8, "little")
    names = int(sections["offset"][int(sections["link"][table])]) + int(sections["name"][own])
    symbol = small[names : small.index(b"\0", names)].decode()
    return bytes(small), memoryview(code)[begun : begun + size], symbol


def _sections(code: bytes) -> tuple[int, NDArray[Any]]:
    """Return the place of the records of an object's sections, and the records."""
    at = int.from_bytes(code[40:48], "little")
    return at, np.frombuffer(code, _SECTION, int.from_bytes(code[60:62], "little"), at)


def _symbols(code: bytes, table: Any) -> NDArray[Any]:
    """Return the records of the symbols in a table."""
    return np.frombuffer(code, _SYMBOL, int(table["size"]) // _SYMBOL.itemsize, table["offset"])


def undefined(code: bytes) -> list[str]:
    """Return the symbols that an ELF object refers to and does not define; none in other files."""
    if architecture(code) is None:
        return []
    _, sections = _sections(code)
    found: list[str] = []
    for table in sections[sections["type"] == _SYMBOL_TABLE]:
        symbols = _symbols(code, table)
        names = int(sections[int(table["link"])]["offset"])
        for place in symbols["name"][(symbols["section"] == 0) & (symbols["name"] != 0)]:
            start = names + int(place)
            found.append(code[start : code.index(b"\0", start)].decode())
    return found
