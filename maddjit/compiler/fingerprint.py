"""What an object of the cache depends on, as its name: plan, target, sources, versions."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

from maddjit.compiler import llvm, render
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import Target
from maddjit.version import __version__

logger = logging.getLogger(__name__)

_ROOMS = ("arrays", "compiler")
"""Packages whose modules, at any depth, decide what plans become."""


def key_of(*parts: bytes) -> str | None:
    """Return the name of what these parts alone determine, with the tools that make it.

    None if the sources of these tools are not there: it is not known then what code they are.
    """
    tools = _tools()
    return _digest(tools, *parts).hex() if tools else None


def plan_key(plan: Plan | TilePlan) -> str | None:
    """Return the name of a plan's object: of its numbers, the model's constants and the target.

    None as of `key_of`.
    """
    parts = [plan.template.encode()]
    for name in (field.name for field in fields(plan)):
        value = getattr(plan, name)
        if name == "constants":
            parts += [part for key, content in value for part in (key.encode(), content)]
        elif name == "target":
            parts.append(target_bytes(value))
        elif name != "packed":  # handed to calls, no part of the code
            parts.append(f"{name}={value!r}".encode())
    return key_of(*parts)


def target_bytes(target: Target) -> bytes:
    """Return all that is known of a target, the same in every process."""
    return f"{replace(target, requires=frozenset())!r} {sorted(target.requires)}".encode()


def sources() -> list[Path]:
    """Return the modules that decide what plans become; templates read their properties, too.

    Raises
    ------
    FileNotFoundError
        If they are not there as text.
    """
    package = Path(__file__).resolve().parent.parent
    modules = sorted(path for room in _ROOMS for path in (package / room).rglob("*.py"))
    if not modules:
        raise FileNotFoundError(f"the modules of {package} are not there as text")
    return modules


@cache
def _tools() -> bytes | None:
    versions = f"{__version__} {llvm.LLVMLITE_VERSION} {llvm.LLVM_VERSION}"
    try:
        texts = [path.read_bytes() for path in sources()] + [render.jinja_modules()]
    except OSError as error:
        logger.warning("the cache is not used: %s", error)
        return None
    return _digest(versions.encode(), render.templates_digest(), *texts)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
