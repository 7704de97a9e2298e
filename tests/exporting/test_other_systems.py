"""Libraries exported for other systems: Zig links them, and Wine runs those for Windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.compiler import llvm
from maddjit.compiler.objects import coff
from tests.conftest import RUNNABLE
from tests.random_models import random_model, rows_for, with_short_list

SOURCE = Path(__file__).resolve().parent / "c" / "windows.c"
ZIG = f'"{sys.executable}" -m ziglang cc -target x86_64-windows-gnu'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("wine") is None or llvm.host().architecture != "x86_64",
        reason="needs wine on x86-64",
    ),
    pytest.mark.skipif(find_spec("ziglang") is None, reason="needs the package ziglang"),
]


def averaged() -> Any:
    """A model whose kernels take more than a page of stack."""
    return random_model(
        9, n_features=40, n_codebooks=16, n_prototypes=64, n_outputs=150, accumulate="average"
    )


def listed() -> Any:
    model = random_model(2, n_features=20, n_codebooks=6, n_prototypes=16, n_outputs=70)
    return with_short_list(model, 1, 40)


@pytest.fixture
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What Zig and Wine are told; they keep what they make between runs of the tests."""
    cache: Any = request.config.cache
    for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"):
        monkeypatch.setenv(name, str(cache.mkdir("zig")))
    quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
    return os.environ | quiet | {"WINEPREFIX": str(cache.mkdir("wine"))}


@pytest.mark.parametrize("level", sorted({RUNNABLE[0], RUNNABLE[-1]}))
def test_libraries_under_wine(level: str, environment: Any, tmp_path: Path) -> None:
    for number, (model, options) in enumerate(
        [(averaged(), {}), (listed(), {"result": "argmax", "coverage": 0.5})]
    ):
        folder = tmp_path / str(number)
        made = maddjit.export(
            model, folder, name="head", target=level, system="windows", compiler=ZIG, **options
        )
        assert made.library is not None
        assert (made.library.name, coff.architecture(made.library.read_bytes())) == (
            "head.dll",
            "x86_64",
        )
        program = folder / "program.exe"
        flags = ("-nostdlib", "-ffreestanding", "-O1", "-Wall", "-Werror", "-DHEAD_DLL")
        command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu", *flags]
        parts = ("-I", folder, SOURCE, made.import_library, "-lkernel32", "-Wl,-e,start")
        built = subprocess.run(
            [*map(str, [*command, *parts]), "-o", str(program)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
        for n_rows in (0, 1, 77):
            A = rows_for(model, n_rows, "float32", 1)
            if options:
                A = np.random.default_rng(1).standard_normal(A.shape).astype(np.float32)
                wanted = reference.settle(model, A, 0.5).indices[:, 0]
            else:
                wanted = reference.apply(model, A)
            done = subprocess.run(
                ["wine", str(program)],
                input=A.tobytes(),
                capture_output=True,
                env=environment,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout == wanted.tobytes()


@pytest.mark.parametrize(
    ("system", "target", "zig"),
    [
        ("macos", "aarch64", "aarch64-macos"),
        ("windows", "aarch64", "aarch64-windows-gnu"),
    ],
)
def test_libraries_that_are_linked_alone(
    system: Any, target: str, zig: str, environment: Any, tmp_path: Path
) -> None:
    """A linker takes the objects, though nothing here runs what it makes."""
    compiler = f'"{sys.executable}" -m ziglang cc -target {zig}'
    made = maddjit.export(
        averaged(), tmp_path, name="head", target=target, system=system, compiler=compiler
    )
    assert made.library is not None
    code = made.library.read_bytes()
    assert b"head_run\0" in code
    assert b"head_description\0" in code
