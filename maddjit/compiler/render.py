"""Plan → LLVM IR text, facts → a page; the only module that knows jinja2."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from maddjit.arrays.files import can_write
from maddjit.compiler.c_interface import Interface
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.platforms import stack_probe
from maddjit.compiler.strassen_tile.plan import TilePlan


def templates_folder() -> Path:
    """Return where the templates are: inside an installed package, beside it in a checkout.

    Raises
    ------
    FileNotFoundError
        If they are in neither place.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "maddness" / "kernel.ll.j2").is_file():
            return folder
    raise FileNotFoundError(f"the templates are missing: neither in {package} nor beside it")


@cache
def templates_digest() -> bytes:
    """Return what changes if any template does."""
    folder, digest = templates_folder(), hashlib.sha256()
    for path in sorted(folder.rglob("*.ll.j2")):
        digest.update(f"{path.relative_to(folder)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def jinja_modules() -> bytes:
    """Return the names and sizes of Jinja's modules, which another version of it has not.

    Its `__version__` is to go, and to ask for the version of an installed package takes 20 ms.

    Raises
    ------
    FileNotFoundError
        If they are not there as text.
    """
    with os.scandir(Path(str(jinja2.__file__)).parent) as entries:
        sizes = sorted((e.name, e.stat().st_size) for e in entries if e.name.endswith(".py"))
    if not sizes:
        raise FileNotFoundError("the modules of Jinja are not there as text")
    return repr(sizes).encode()


def _escaped(data: bytes) -> str:
    """Write bytes as the inside of an LLVM string constant."""
    return "\\" + data.hex("\\") if data else ""


def _bytecode_cache() -> jinja2.BytecodeCache | None:
    """Keep compiled templates beside Python's bytecode of this module, where Python would write.

    Whoever can write there can change the module itself, so nothing is trusted that was not before.
    Jinja checks each against its source; without this every process spends 0.2 s compiling them.
    """
    folder = Path(__file__).resolve().parent / "__pycache__"
    if sys.dont_write_bytecode or not can_write(folder):
        return None
    return jinja2.FileSystemBytecodeCache(str(folder), "%s.jinja")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html.j2",), default=False),
        keep_trailing_newline=True,
        bytecode_cache=_bytecode_cache(),
    )
    environment.filters["escaped"] = _escaped
    return environment


def render_call(call: Any) -> str:
    """Return the LLVM IR module of a kernel's CPython function."""
    text = _environment().get_template("python/call.ll.j2").render(call=call)
    return _with_probe(text, call.triple)


def render(plan: Plan | TilePlan) -> str:
    """Return the LLVM IR module of a plan."""
    text = _environment().get_template(plan.template).render(plan=plan)
    return _with_probe(text, plan.target.triple)


def _with_probe(text: str, triple: str) -> str:
    """Add to a module for Windows what it calls before it takes more than a page of stack."""
    probe = stack_probe(triple)
    if probe is None:
        return text
    name, code = probe
    added = _environment().get_template("windows/probe.ll.j2").render(name=name, code=code)
    begun = f'target triple = "{triple}"\n'
    return text.replace(begun, f"{begun}{added}\n", 1)


def render_interface(interface: Interface) -> str:
    """Return the LLVM IR module of a plan with its C function, and what it reads, as constants."""
    function = _environment().get_template("c/interface.ll.j2").render(c=interface)
    return f"{render(interface.plan)}\n{function}"


def render_c(interface: Interface) -> dict[str, str]:
    """Return the header, the example and the CMake file of an exported operator."""
    return {
        name: _environment().get_template(f"c/{name}.j2").render(c=interface)
        for name in ("header.h", "example.c", "CMakeLists.txt")
    }


def render_page(template: str, **values: Any) -> str:
    """Return a page of HTML; what it is told is escaped."""
    return _environment().get_template(template).render(**values)
