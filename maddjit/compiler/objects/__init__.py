"""Readers of object files and libraries of any system: their architecture and what they need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from maddjit.compiler.objects import coff, elf, macho

HEAD_BYTES = 4096
"""Bytes at the beginning of a file that tell its architecture."""
_FORMATS = (elf, macho, coff)
"""The readers, each of which recognises its own format."""
_LEAST_APART = 64 * 1024
"""Bytes of constants from which on they stand apart from their object."""
_LINKED = "_GLOBAL_OFFSET_TABLE_"
"""A symbol that every linker defines."""


class Code(NamedTuple):
    """An object, and large constants that it lacks: a loader would keep a copy of them.

    Attributes
    ----------
    object : bytes
    place : str
        The symbol at which the constants belong once the object is loaded. Empty if it has all of
        them.
    n_constants : int
        How many bytes of constants it lacks.
    constants : iterable of bytes or memoryview
        The constants in pieces. They may be had only once.
    """

    object: bytes
    place: str = ""
    n_constants: int = 0
    constants: Iterable[bytes | memoryview] = ()

    @property
    def n_bytes(self) -> int:
        """The size of both together."""
        return len(self.object) + self.n_constants


def parted(code: bytes) -> Code:
    """Return an object for the loader of this process, its large constants apart if it is ELF."""
    found = elf.without_constants(code, _LEAST_APART)
    if found is None:
        return Code(code)
    small, constants, place = found
    return Code(small, place, len(constants), (constants,))


def architecture(head: bytes) -> str | None:
    """Return the architecture of a file with these first bytes, as triples name it, or None."""
    found = (form.architecture(head) for form in _FORMATS)
    return next((each for each in found if each is not None), None)


def needed(code: bytes) -> list[str]:
    """Return the symbols that an object needs from others. Compiled kernels must need none."""
    return [name for form in _FORMATS for name in form.undefined(code) if name != _LINKED]
