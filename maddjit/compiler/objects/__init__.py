"""Readers of object files and libraries of any system: their architecture and what they need."""

from __future__ import annotations

from maddjit.compiler.objects import coff, elf, macho

HEAD_BYTES = 4096
"""Bytes at the beginning of a file that tell its architecture."""
_FORMATS = (elf, macho, coff)
"""The readers, each of which recognises its own format."""
_LINKED = "_GLOBAL_OFFSET_TABLE_"
"""A symbol that every linker defines."""


def architecture(head: bytes) -> str | None:
    """Return the architecture of a file with these first bytes, as triples name it, or None."""
    found = (form.architecture(head) for form in _FORMATS)
    return next((each for each in found if each is not None), None)


def needed(code: bytes) -> list[str]:
    """Return the symbols that an object needs from others. Compiled kernels must need none."""
    return [name for form in _FORMATS for name in form.undefined(code) if name != _LINKED]
