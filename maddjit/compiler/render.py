"""Rendering: plans become LLVM IR, facts become pages; the only module that imports jinja2."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maddjit.arrays.files import can_write
from maddjit.compiler.c_interface import Interface
from maddjit.compiler.c_planes import PlanesInterface
from maddjit.compiler.convolving import ConvolutionPlan
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.network.plan import NetworkPlan
from maddjit.compiler.planes.drive import DrivePlan
from maddjit.compiler.planes.plan import MovePlan
from maddjit.compiler.platforms import stack_probe
from maddjit.compiler.strassen_tile.plan import TilePlan

if TYPE_CHECKING:
    import jinja2


def templates_folder() -> Path:
    """Return the folder of templates: inside an installed package, beside it in a checkout.

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "maddness" / "kernel.ll.j2").is_file():
            return folder
    raise FileNotFoundError(f"the templates are missing: neither in {package} nor beside it")


def templates() -> list[Path]:
    """Return the templates of code; the others make text for people and for C compilers.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    return sorted(templates_folder().rglob("*.ll.j2"))


def jinja_modules() -> bytes:
    """Return the names and sizes of Jinja's modules, which differ from version to version.

    Jinja's `__version__` is deprecated, and asking for the version of an installed package takes
    20 ms.

    Raises
    ------
    FileNotFoundError
        If the modules are not there as text.
    """
    found = find_spec("jinja2")
    if found is None or found.origin is None:
        raise FileNotFoundError("the modules of Jinja are not there as text")
    with os.scandir(Path(found.origin).parent) as entries:
        sizes = sorted((e.name, e.stat().st_size) for e in entries if e.name.endswith(".py"))
    if not sizes:
        raise FileNotFoundError("the modules of Jinja are not there as text")
    return repr(sizes).encode()


def _escaped(data: bytes) -> str:
    """Return bytes as LLVM writes them inside a string constant."""
    return "\\" + data.hex("\\") if data else ""


def _bytecode_cache() -> jinja2.BytecodeCache | None:
    """Return a cache of compiled templates beside Python's bytecode; None if Python writes none.

    Whoever can write there can change this module itself, so nothing new is trusted. Jinja checks
    each compiled template against its source. Without the cache every process would spend 0.2 s on
    compiling templates.
    """
    import jinja2

    folder = Path(__file__).resolve().parent / "__pycache__"
    if sys.dont_write_bytecode or not can_write(folder):
        return None
    return jinja2.FileSystemBytecodeCache(str(folder), "%s.jinja")


@cache
def _environment() -> jinja2.Environment:
    """Return the environment of Jinja, which is imported here: cached kernels do without it."""
    import jinja2

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
    """Return the LLVM IR of the function by which CPython calls kernels, as a module."""
    return _environment().get_template("python/call.ll.j2").render(call=call)


def render(plan: Plan | TilePlan | MovePlan | DrivePlan | NetworkPlan | ConvolutionPlan) -> str:
    """Return the LLVM IR of a plan's kernel, as a module."""
    text = _environment().get_template(plan.template).render(plan=plan)
    if isinstance(plan, Plan) and plan.encode.additive:
        text = _declared_once(text)
    return _with_probe(text, plan.target.triple)


def _declared_once(text: str) -> str:
    """Return a module whose parts declare what they call, each function once."""
    kept, known = [], set()
    for line in text.split("\n"):
        name = line.partition("@")[2].partition("(")[0] if line.startswith("declare ") else ""
        if name not in known:
            kept.append(line)
        if name:
            known.add(name)
    return "\n".join(kept)


def render_network(plan: NetworkPlan) -> tuple[str, ...]:
    """Return the LLVM IR of a network: the module of its own function, and those to be linked."""
    return render(plan), *map(render, plan.kernels)


def render_convolution(plan: ConvolutionPlan) -> tuple[str, ...]:
    """Return the LLVM IR of a whole convolution: its own module, and those to be linked."""
    return render(plan), render(plan.enter), render(plan.leave), *map(render, plan.kernels)


def _with_probe(text: str, triple: str) -> str:
    """Return a module; for Windows, the function that large stack frames need is added to it."""
    probe = stack_probe(triple)
    if probe is None:
        return text
    name, code = probe
    added = _environment().get_template("windows/probe.ll.j2").render(name=name, code=code)
    begun = f'target triple = "{triple}"\n'
    return text.replace(begun, f"{begun}{added}\n", 1)


def render_interface(interface: Interface | PlanesInterface) -> tuple[str, ...]:
    """Return the LLVM IR of an exported kernel, its C function and constants, as a module.

    Those of other kernels follow, which are to be linked to it.
    """
    plan = interface.plan
    template = "c/interface.ll.j2"
    if isinstance(plan, ConvolutionPlan):
        template = "c/planes.ll.j2"
        first, *others = render_convolution(plan)
    elif isinstance(plan, NetworkPlan):
        first, *others = render_network(plan)
    else:
        first, *others = (render(plan),)
    return f"{first}\n{_environment().get_template(template).render(c=interface)}", *others


def render_c(interface: Interface | PlanesInterface) -> tuple[str, str, str]:
    """Return the header, the example and the CMake file of an exported operator."""
    kind = "planes_" if isinstance(interface, PlanesInterface) else ""
    header, example, cmake = (
        _environment().get_template(f"c/{name}.j2").render(c=interface)
        for name in (f"{kind}header.h", f"{kind}example.c", "CMakeLists.txt")
    )
    return header, example, cmake


def render_page(template: str, **values: Any) -> str:
    """Return a page of HTML made of a template and values, which are escaped."""
    return _environment().get_template(template).render(**values)
