"""The rules of the house: which room stands on which floor, and what every module keeps to.

Start with `FLOORS`. Each line is a floor, and each name on it is a room: a package, or a module
that has a room to itself. A module may import from its own room and from the floors below, but not
from above, and not from another room on its floor.
"""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import maddjit

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "maddjit"

FACE = "__init__"
"""The module ``maddjit/__init__.py``: what users see."""

FLOORS = f"""
__main__
cli
dask  onnx  sklearn  torch
integrations.dask  integrations.onnx  integrations.sklearn  integrations.torch
integrations.agreement  integrations.extras  integrations.kept  integrations.networks
{FACE}
selection
pipeline
operators
exporting  looking
compiler.convolution
compiler.request
compiler.fingerprint  compiler.worker
compiler.render
compiler.c_planes
compiler.c_interface
compiler.network  compiler.convolving
compiler.strassen_tile  compiler.maddness  compiler.planes
compiler.conversion  compiler.outline
compiler.llvm  compiler.signature  compiler.cache  compiler.frames  compiler.c_names
compiler.objects  compiler.target  compiler.workspace
compiler.platforms  compiler.intrinsics  compiler.c_matrix
learning.convolution
learning.fit  learning.elsewhere  learning.regressing
learning.strassen_tile  learning.winners
learning.additive
learning.maddness
learning.task
learning.accuracy  learning.progress  learning.ranking
reference
models
arrays
version
"""
"""All rooms from the top of the house to its ground."""


def name_of(path: Path, root: Path = PACKAGE) -> str:
    """Return a module's name inside of the package: a package's is that of its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
ROOMS = {
    room: number
    for number, floor in enumerate(reversed(FLOORS.split("\n")))
    for room in floor.split()
}
"""The floor of each room, counted from the ground."""
SPLIT = {room.rpartition(".")[0] for room in ROOMS} - {""}
"""Packages whose rooms are listed one by one: they hold nothing themselves."""


def rooms_of(module: str) -> list[str]:
    """Return the rooms that a module is in: one, if all is well."""
    return [room for room in ROOMS if module == room or module.startswith(f"{room}.")]


def imported(module: str) -> set[str]:
    """Return the full names that a module imports anywhere, inside of functions as well."""
    names: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module} imports by relative names"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str) -> str | None:
    """Return the module of the package that an imported name is or is taken from."""
    if name.partition(".")[0] != "maddjit":
        return None
    inner = name.removeprefix("maddjit").removeprefix(".")
    while inner and inner not in MODULES:
        inner = inner.rpartition(".")[0]
    return inner or FACE


def arrows(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    return {other for name in imported(module) if (other := module_of(name))} - {module}


ARROWS = {module: arrows(module) for module in MODULES}


def importers(module: str) -> list[str]:
    """Return the modules of the package that import a module or something in it."""
    return [
        each
        for each in MODULES
        if any(name == module or name.startswith(f"{module}.") for name in imported(each))
    ]


def points_down(module: str, other: str) -> bool:
    """Tell whether a module may import another one: of its room, or of a floor below."""
    (room,), (other_room,) = rooms_of(module), rooms_of(other)
    return room == other_room or ROOMS[room] > ROOMS[other_room]


def found_by_python(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield the modules below a folder as Python's own finder sees them; none is imported."""
    for found in pkgutil.iter_modules([str(folder)]):
        yield f"{prefix}{found.name}"
        if found.ispkg:
            yield from found_by_python(folder / found.name, f"{prefix}{found.name}.")


def test_every_module_is_seen() -> None:
    """The walk of this file and Python's own finder find the same modules."""
    assert set(MODULES) == {FACE, *found_by_python(PACKAGE)}
    assert len(MODULES) == len(list(PACKAGE.rglob("*.py")))
    for name in ("compiler.maddness.planner", "learning.winners.calibration", "operators.base"):
        assert name in MODULES  # at each depth there is


def test_every_module_is_in_one_room() -> None:
    for module in MODULES:
        if module in SPLIT:
            assert ast.get_docstring(TREES[module]), module
            assert len(TREES[module].body) == 1, f"{module} holds more than its docstring"
        else:
            assert len(rooms_of(module)) == 1, f"{module} is in the rooms {rooms_of(module)}"
    assert rooms_of("attic.box") == []
    empty = [room for room in ROOMS if not any(room in rooms_of(each) for each in MODULES)]
    assert not empty, f"nothing lives in {empty}"


def test_imports_point_downwards() -> None:
    climbing = {
        (module, other)
        for module, others in ARROWS.items()
        for other in others
        if not points_down(module, other)
    }
    assert not climbing
    assert points_down("cli.kernels", "arrays.formats")
    assert not points_down("arrays.formats", "cli.kernels")
    assert not points_down("exporting.export", "looking.listing")  # on one floor


def test_there_are_no_circles_among_modules() -> None:
    try:
        order = list(TopologicalSorter(ARROWS).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' → '.join(error.args[1])}")
    assert set(order) == set(MODULES)


def test_no_module_hides_a_function() -> None:
    """`import maddjit.fit` would otherwise take the place of the function `maddjit.fit`."""
    public = {name for name in maddjit.__all__ if callable(getattr(maddjit, name))}
    assert {"compile", "emit", "export", "fit", "load", "save", "select"} <= public
    assert not public & {module.partition(".")[0] for module in MODULES}


def test_one_module_knows_each_tool() -> None:
    assert importers("llvmlite") == ["compiler.llvm"]
    assert importers("jinja2") == ["compiler.render"]


def test_integrations_alone_know_other_libraries() -> None:
    for library in ("sklearn", "torch", "onnx", "onnxruntime", "dask"):
        found = importers(library)
        assert found, library
        assert all(module.startswith(("integrations.", "cli.")) for module in found), library
    code = "import sys, maddjit; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Nor is what only learning needs imported: it takes half of the time of an import.
    late = {"scipy", "sklearn", "torch", "onnx", "onnxruntime", "dask"}
    assert not late & set(done.stdout.split())


def test_learning_and_the_compiler_do_not_know_each_other() -> None:
    for module, others in ARROWS.items():
        room = module.partition(".")[0]
        for apart in {"learning": ("compiler",), "compiler": ("learning",)}.get(room, ()):
            assert not any(other.startswith(f"{apart}.") for other in others), module


def test_only_fit_knows_all_learners() -> None:
    for learner in ("additive.learner", "maddness.best", "maddness.paper", "winners.argmax"):
        assert importers(f"maddjit.learning.{learner}") == ["learning.fit"]


def test_no_arithmetic_in_templates() -> None:
    for path in (ROOT / "templates").rglob("*.j2"):
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
        for code in re.findall(r"\{[{%](.*?)[%}]\}", text, flags=re.DOTALL):
            bare = re.sub(r'"[^"]*"', "", code.strip().strip("-"))
            assert not re.search(r"[*/]|\s-\s|//|\*\*", bare), f"{path}: {code}"
            assert "+" not in bare or "carried.values + [" in bare, f"{path}: {code}"


def longer(sizes: Iterable[tuple[str, int]], most: int) -> set[str]:
    """Return the names whose size is more than allowed."""
    return {name for name, size in sizes if size > most}


def functions() -> Iterator[tuple[str, int]]:
    """Yield each function's name and its lines without its docstring."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno
                n_lines = node.end_lineno - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    first = node.body[0]
                    assert first.end_lineno
                    n_lines -= first.end_lineno - first.lineno + 1
                yield f"{module}.{node.name}", n_lines


def records() -> Iterator[tuple[str, int]]:
    """Yield each class's name and how many fields are declared in its body."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield f"{module}.{node.name}", sum(isinstance(x, ast.AnnAssign) for x in node.body)


def test_functions_are_short() -> None:
    assert not longer(functions(), 60)


def test_records_are_small() -> None:
    assert not longer(records(), 20)


def test_modules_are_short_and_say_what_they_are() -> None:
    sizes = ((module, len(path.read_text().splitlines())) for module, path in MODULES.items())
    assert not longer(sizes, 330)
    for module, tree in TREES.items():
        assert ast.get_docstring(tree), module
