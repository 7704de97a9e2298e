"""What an object of the cache depends on, as its name: plan, target, templates, versions."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

from maddjit.compiler import native, render
from maddjit.compiler.plan import Plan
from maddjit.compiler.target import Target
from maddjit.compiler.tile_plan import TilePlan
from maddjit.version import __version__


def key_of(*parts: bytes) -> str:
    """Return the name of what these parts alone determine, with the tools that make it."""
    return _digest(_tools(), *parts).hex()


def plan_key(plan: Plan | TilePlan) -> str:
    """Return the name of a plan's object: of its numbers, the model's constants and the target."""
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


@cache
def _tools() -> bytes:
    versions = f"{__version__} {native.LLVMLITE_VERSION} {native.LLVM_VERSION}"
    sources = (Path(str(module.__file__)).read_bytes() for module in (native, render))
    return _digest(versions.encode(), render.templates_digest(), *sources)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
