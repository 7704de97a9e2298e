"""Load code as on Windows, by its build of llvmlite under Wine: `use_windows.py FOLDER`.

FOLDER holds the files of that build. There is no Python for Windows here, so a program in C does
with this llvmlite what maddjit.compiler.llvm does; the objects are those that maddjit emits.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maddjit import reference
from maddjit.compiler import llvm
from maddjit.compiler.render import render
from maddjit.compiler.request import plan_of
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import resolve, runnable
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel

HERE = Path(__file__).resolve().parent
TRIPLE = "x86_64-pc-windows-msvc"
"""What llvmlite must call the process."""
LINK = ("-nostdlib", "-ffreestanding", "-O1", "-Wall", "-Werror", "-lkernel32", "-Wl,-e,start")


def model(n_prototypes: int, accumulate: Any) -> MaddnessModel:
    """Return one of random arrays."""
    rng = np.random.default_rng(n_prototypes)
    depth = n_prototypes.bit_length() - 1
    return MaddnessModel(
        HashTrees(
            rng.integers(0, 40, (16, depth)),
            rng.standard_normal((16, n_prototypes - 1)).astype(np.float32),
            40,
        ),
        tables=rng.integers(0, 256, (16, n_prototypes, 150)),
        scale=rng.standard_normal(150).astype(np.float32),
        offset=rng.standard_normal(150).astype(np.float32),
        accumulate=accumulate,
    )


def check(fitted: MaddnessModel, level: str, folder: Path) -> None:
    """Compile a kernel for Windows, load and call it there, and compare."""
    chosen = resolve(level, replace(llvm.host(), triple=TRIPLE))
    plan = plan_of(fitted, chosen, Signature())
    (folder / "kernel.object").write_bytes(llvm.to_object(render(plan), chosen))
    asked = {
        "SYMBOL": f'"{plan.symbol}"',
        "TRIPLE": f'"{chosen.triple}"',
        "CPU": f'"{chosen.cpu}"',
        "FEATURES": f'"{chosen.features}"',
        "WORKSPACE_BYTES": plan.workspace_bytes,
        "ROW_BYTES": 4 * 40,
        "ELEMENT_BYTES": 4,
        "RESULT_BYTES": 4 * 150,
    }
    lines = (f"#define {name} {value}\n" for name, value in asked.items())
    (folder / "kernel.h").write_text("".join(lines))
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-windows-gnu"]
    program = folder / "use_windows.exe"
    source = HERE / "use_windows.c"
    subprocess.run([*zig, *LINK, "-I", folder, source, "-o", program], check=True)
    A = np.random.default_rng(1).standard_normal((200, 40)).astype(np.float32)
    environment = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
    done = subprocess.run(
        ["wine", program.name],
        input=A.tobytes(),
        capture_output=True,
        cwd=folder,
        env=os.environ | environment | {"WINEPREFIX": str(folder.resolve() / "wine")},
        check=False,
    )
    words = done.stderr.decode(errors="replace").strip()
    assert done.returncode == 0, words
    assert words.endswith(TRIPLE), words
    assert done.stdout == reference.apply(fitted, A).tobytes()
    print(f"Windows' llvmlite under Wine: {plan.symbol} has the reference's bits", flush=True)


if __name__ == "__main__":
    for level in runnable(llvm.host()):
        check(model(16, "exact"), level.name, Path(sys.argv[1]))
    check(model(64, "average"), runnable(llvm.host())[-1].name, Path(sys.argv[1]))
