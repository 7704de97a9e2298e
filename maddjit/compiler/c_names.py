"""The names of what an export holds: files, functions and macros of C, by one prefix."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from numpy import float32

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.platforms import System, files_of
from maddjit.compiler.target import Target
from maddjit.version import __version__

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
"""The names that an operator may have in C."""
_TAKEN = (
    "all ALL_BUILD clean edit_cache help install INSTALL package PACKAGE package_source preinstall "
    "rebuild_cache RUN_TESTS test ZERO_CHECK"
)
"""Names that CMake gives its own targets."""


def check_name(name: str) -> None:
    """Check the prefix of an export.

    Raises
    ------
    ValueError
        If it is not a name in C, or is one of CMake's own targets.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name must be letters, digits and _, a letter first, not {name!r}")
    if name in _TAKEN.split():
        raise ValueError(f"name must not be {name!r}: CMake has a target of that name")


class Names:
    """What the interfaces of all exported operators share; they have a name and a plan.

    Attributes
    ----------
    name : str
        The prefix of every name that C sees.
    plan : any plan
        It has a target and a signature.
    """

    name: str
    plan: Any

    @property
    def prefix(self) -> str:
        """The prefix of the names of macros."""
        return self.name.upper()

    @property
    def target(self) -> Target:
        """The feature level."""
        found: Target = self.plan.target
        return found

    @property
    def files(self) -> System:
        """The target's system, which names the files."""
        return files_of(self.target.triple)

    @property
    def is_for_windows(self) -> bool:
        """Whether objects tell which symbols are exported, and headers which are imported."""
        return self.target.system == "windows"

    @property
    def exported(self) -> str:
        """LLVM's word for exported symbols; empty where libraries export every symbol."""
        return "dllexport " if self.is_for_windows else ""

    @property
    def entry(self) -> str:
        """The function that Windows calls when it loads the library; empty for other systems."""
        return f"{self.name}_loaded" if self.is_for_windows else ""

    @property
    def api(self) -> str:
        """The macro before declarations in C; empty for systems other than Windows."""
        return f"{self.prefix}_API " if self.is_for_windows else ""

    @property
    def object_name(self) -> str:
        """The name of the object's file."""
        return f"{self.name}{self.files.object_suffix}"

    @property
    def library_name(self) -> str:
        """The name of the shared library's file."""
        return self.files.library_name(self.name)

    @property
    def epilogue(self) -> Epilogue:
        """How outputs are clamped and converted."""
        found: Epilogue = self.plan.signature.epilogue
        return found

    @property
    def ending(self) -> dict[str, float | None]:
        """How outputs are clamped and what an integer stands for; None where that is not so."""
        by = self.epilogue
        return {
            "low": by.low if isfinite(by.low) else None,
            "high": by.high if isfinite(by.high) else None,
            "step": by.step if by.is_integer else None,
            "zero_point": by.zero_point if by.is_integer else None,
        }

    @property
    def step(self) -> str:
        """What one unit of an integer result stands for, as a float in C; empty for others."""
        return f"{float32(self.epilogue.step)!s}f" if self.epilogue.is_integer else ""

    @property
    def needs(self) -> list[str]:
        """The features that a CPU must have."""
        return sorted(self.target.requires)

    @property
    def features(self) -> str:
        """The features that a CPU must have, in words."""
        return " ".join(self.needs) or "nothing beyond its architecture"

    @property
    def indent(self) -> str:
        """The spaces that align a second line of arguments with the first."""
        return " " * len(f"{self.api}int {self.name}_run(")

    @property
    def version(self) -> str:
        """The version of this package."""
        return __version__
