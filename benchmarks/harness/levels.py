"""The feature levels of a machine that are measured, each by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.harness.machine import ROOT
from benchmarks.harness.tables import Record
from maddjit.compiler.target import ENVIRONMENT_VARIABLE, Host, resolve

AVX2 = "x86-64-v3"
HELD_TO_AVX2 = {
    ENVIRONMENT_VARIABLE: AVX2,
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    "FAISS_SIMD_LEVEL": "AVX2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
}
"""Tells maddjit and the libraries beside it to use nothing beyond AVX2. onnxruntime cannot be told.

The libraries are OpenBLAS, MKL, PyTorch with its oneDNN and its FBGEMM, faiss and numba.
"""
_ALL: dict[str, str] = {}


def levels(host: Host, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the environments in which a whole suite is measured.

    On a machine with AVX-512 these are its own level and AVX2, unless the environment names a
    level.
    """
    level = resolve(environment.get(ENVIRONMENT_VARIABLE) or None, host).name
    if environment.get(ENVIRONMENT_VARIABLE) or not level.startswith("x86-64-v4"):
        return [_ALL]
    return [_ALL, HELD_TO_AVX2]


def run(environment: Mapping[str, str], *arguments: str) -> int:
    """Run ``python -m benchmarks`` in a process of its own; return its exit status."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    print(f"{' '.join(arguments)}, {held_to(environment)} …", flush=True)
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


def held_to(environment: Mapping[str, str]) -> str:
    """Say what an environment holds all libraries to."""
    level = environment.get(ENVIRONMENT_VARIABLE)
    return f"everything held to {level}" if level else "with all that this CPU has"


def called(results: Record) -> str:
    """Return what tables call the level of some results."""
    name: str = results["machine"]["level"]
    return {AVX2: "AVX2"}.get(name, "AVX-512" if name.startswith("x86-64-v4") else name)
