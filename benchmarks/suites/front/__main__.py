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
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import levels, machine
from benchmarks.harness.suite import RESULTS
from benchmarks.suites.front import readme
from maddjit.compiler import llvm

WITH_VNNI = levels.HELD_TO_AVX2 | {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}
"""AVX2 and the 8-bit dot products that newer CPUs without AVX-512 have. No other way uses them."""


def main() -> int:
    """Measure each level in a process of its own; at AVX2 also PyTorch's 8 bits with VNNI."""
    here = machine.describe()["machine"]
    status = levels.run({}, "front")
    of_avx2 = RESULTS / f"front-{machine.file_name(here | {'level': levels.AVX2})}.json"
    if len(levels.levels(llvm.host(), os.environ)) > 1:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "vnni.json")
            part = ("--only", "hidden", "--sizes", "0", "--results", str(path))
            status = levels.run(WITH_VNNI, "front", *part) or status
            (hidden,) = json.loads(path.read_text())["tasks"]
        results = json.loads(of_avx2.read_text())
        results["tasks"][0]["rows"] += [r for r in hidden["rows"] if r["family"] == "8 bits"]
        of_avx2.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return status or levels.run({}, "front", "--render")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--render"]):
        sys.exit(__doc__)
    failed = levels.run({}, "front", "--render") if sys.argv[1:] else main()
    readme.write()
    sys.exit(failed)
