"""What is read of objects and libraries of any system: the architecture, and what they need."""

from __future__ import annotations

from maddjit.compiler.objects import coff, elf, macho

HEAD_BYTES = 4096
"""So much of a file tells its architecture."""
_FORMATS = (elf, macho, coff)
_LINKED = "_GLOBAL_OFFSET_TABLE_"
"""What every linker defines."""


def architecture(head: bytes) -> str | None:
    """Return the architecture that a file's first bytes tell, as in triples; None if unknown."""
    found = (form.architecture(head) for form in _FORMATS)
    return next((each for each in found if each is not None), None)


def needed(code: bytes) -> list[str]:
    """Return the names that an object wants from others; no object of this package does."""
    return [name for form in _FORMATS for name in form.undefined(code) if name != _LINKED]
