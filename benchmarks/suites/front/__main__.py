"""The README's plot, table and first figures: error against speed, at AVX-512 and at AVX2.

    python -m benchmarks.suites.front            # measure, then draw and write
    python -m benchmarks.suites.front --render   # draw and write what is stored

Each level is measured by a process of its own (``python -m benchmarks front``) and has its own file
in `results`. On a machine with AVX-512, maddjit, OpenBLAS and PyTorch are held to AVX2 for the
second level. onnxruntime cannot be held to it, and is left out there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.harness.suite import RESULTS
from benchmarks.suites.front import readme

AVX2 = "x86-64-v3"
HELD_TO_AVX2 = {
    "MADDJIT_TARGET": AVX2,
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""Tells maddjit, OpenBLAS, PyTorch and its oneDNN to use nothing beyond AVX2."""
WITH_VNNI = HELD_TO_AVX2 | {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}
"""AVX2 and the 8-bit dot products that newer CPUs without AVX-512 have. No other way uses them."""


def main() -> None:
    """Measure each level in a process of its own; at AVX2 also PyTorch's 8 bits with VNNI."""
    here = machine.describe()["machine"]
    _run({})
    if here["level"] != AVX2:
        held = RESULTS / f"front-{machine.file_name(here | {'level': AVX2})}.json"
        _run(HELD_TO_AVX2)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "vnni.json")
            _run(WITH_VNNI, "--only", "hidden", "--sizes", "0", "--results", str(path))
            (hidden,) = json.loads(path.read_text())["tasks"]
        results = json.loads(held.read_text())
        results["tasks"][0]["rows"] += [r for r in hidden["rows"] if r["family"] == "8 bits"]
        held.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _run(environment: dict[str, str], *options: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "front", *options]
    print(f"measuring {environment or 'all that this CPU has'} …", flush=True)
    subprocess.run(command, cwd=machine.ROOT, env=os.environ | environment, check=True)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--render"]):
        sys.exit(__doc__)
    if not sys.argv[1:]:
        main()
    _run({}, "--render")
    readme.write()
