"""The names of compiled objects in the cache: digests of everything that their code depends on."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

from maddjit.compiler import llvm, render
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.planes.drive import DrivePlan
from maddjit.compiler.planes.plan import MovePlan
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import Target
from maddjit.models.archives import contents
from maddjit.models.network import Network
from maddjit.version import __version__

logger = logging.getLogger(__name__)

_ROOMS = ("arrays", "models", "compiler")
"""Packages whose modules, at any depth, decide what code a plan becomes."""


def key_of(*parts: bytes | memoryview) -> str | None:
    """Return the name of an object that depends on these parts and this installation alone.

    None if the sources of this installation are not there as text, because it is then unknown what
    they would make.
    """
    tools = _tools()
    return _digest(tools, *parts).hex() if tools else None


def plan_key(plan: Plan | TilePlan | MovePlan | DrivePlan) -> str | None:
    """Return the name of a plan's object, which its numbers, constants and target determine.

    None if the sources of this installation are not there as text.
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


def network_key(network: Network, target: Target) -> str | None:
    """Return the name of a network's object, which the network and its target determine.

    It takes no plan, so that a network whose object is in the cache is ready soon. None if the
    sources of this installation are not there as text.
    """
    told, arrays = contents(network)
    parts = (part for name, array in arrays.items() for part in (name.encode(), array.data))
    return key_of(b"network", target_bytes(target), told.encode(), *parts)


def target_bytes(target: Target) -> bytes:
    """Return everything that is known of a target as bytes, the same in every process."""
    return f"{replace(target, requires=frozenset())!r} {sorted(target.requires)}".encode()


def sources() -> list[Path]:
    """Return the modules whose text decides what code a plan becomes.

    The numbers in a plan do not tell everything: templates also read the properties of plans, which
    use constants of other modules.

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
    """Return a digest of what makes code: versions, sources and templates. None if unknown."""
    versions = f"{__version__} {llvm.LLVMLITE_VERSION} {llvm.LLVM_VERSION}"
    try:
        files = (*sources(), *render.templates())
        texts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
        texts.append(render.jinja_modules())
    except OSError as error:
        logger.warning("the cache is not used: %s", error)
        return None
    return _digest(versions.encode(), *texts)


def _digest(*parts: bytes | memoryview) -> bytes:
    """Return a digest that also depends on how the bytes are divided into parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(memoryview(part).nbytes.to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
