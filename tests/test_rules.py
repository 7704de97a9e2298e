"""The rules of the house that a reader relies on: who may import what, what templates do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "maddjit"


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def importers(module: str) -> list[str]:
    """Return the files of the package that import a module or something in it."""
    return sorted(
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imported(path))
    )


def test_one_module_knows_each_tool() -> None:
    assert importers("llvmlite") == ["compiler/native.py"]
    assert importers("jinja2") == ["compiler/render.py"]


def test_integrations_alone_know_other_libraries() -> None:
    for library in ("sklearn", "torch", "onnx", "onnxruntime", "dask"):
        files = importers(library)
        assert files, library
        assert all(file.startswith(("integrations/", "cli/")) for file in files), library
    code = "import sys, maddjit; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Nor what only learning needs: it takes half of the time of an import.
    late = {"scipy", "sklearn", "torch", "onnx", "onnxruntime", "dask"}
    assert not late & set(done.stdout.split())


def test_learning_knows_nothing_of_the_compiler_nor_the_reverse() -> None:
    for path in (PACKAGE / "learning").glob("*.py"):
        assert not any("maddjit.compiler" in name for name in imported(path)), path
    for path in (PACKAGE / "compiler").glob("*.py"):
        assert not any("maddjit.learning" in name for name in imported(path)), path


def test_only_fit_knows_all_learners() -> None:
    for learner in ("best", "paper", "winner"):
        assert importers(f"maddjit.learning.{learner}") == ["learning/fit.py"]


HAND_OVER = {("records", "storage"), ("records", "pictures")}
"""Methods that hand a record to a function of an upper floor, so that users find it there."""


def test_floors() -> None:
    """Lower floors import nothing from above."""
    floors = [
        {"records", "formats", "packed", "files"},
        {"models", "short_list", "fit_report", "epilogue", "checks", "schemes", "tile_models"},
        {"tile_reference"},
        {"reference", "learning", "compiler", "storage"},
        {"kernel", "function", "fastcall", "threads", "pool", "tuning", "linking", "watching"},
        {"operator", "winners", "compiled", "tile_operator", "building", "exporting", "native"},
        {"pipeline", "pictures"},
        {"imports", "losses", "products", "frontier", "selection"}
        | {"candidates", "tile_candidates", "maddness_candidates"},
        {"cli", "integrations"},
    ]
    above = {room: i for i, floor in enumerate(floors) for room in floor}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imported(path):
            other = re.match(r"maddjit\.(\w+)", name)
            if room in above and other and other[1] in above and (room, other[1]) not in HAND_OVER:
                assert above[other[1]] <= above[room], f"{path} imports {name}"


def test_no_arithmetic_in_templates() -> None:
    for path in (ROOT / "templates").rglob("*.j2"):
        text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)
        for code in re.findall(r"\{[{%](.*?)[%}]\}", text, flags=re.DOTALL):
            bare = re.sub(r'"[^"]*"', "", code.strip().strip("-"))
            assert not re.search(r"[*/]|\s-\s|//|\*\*", bare), f"{path}: {code}"
            assert "+" not in bare or "carried.values + [" in bare, f"{path}: {code}"


def test_modules_stay_small_and_say_what_they_are() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), path
        assert len(text.splitlines()) <= 330, path
