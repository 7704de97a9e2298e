"""Where figures come from: processor, caches, versions, commit. And one thread for everything."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = "torch", "onnxruntime", "scikit-learn", "dask", "numba", "faiss-cpu"
PACKAGES = "numpy", "llvmlite", "mkl", *LIBRARIES
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MKL_THREADING_LAYER": "SEQUENTIAL",
    "MKL_INTERFACE_LAYER": "LP64",
    "MADDJIT_CACHE_DIR": "",
}
"""One thread, which libraries read when they are imported, and no compiled code of earlier runs."""


class Missing(RuntimeError):
    """Something that a subject needs is not installed. The message names it."""


def is_held() -> bool:
    """Tell whether the libraries of this process are held to AVX2, as `levels` does it."""
    return "ONEDNN_MAX_CPU_ISA" in os.environ


def refuse_onnxruntime() -> None:
    """Raise `Missing` where everything is held to AVX2, since onnxruntime cannot be."""
    if is_held():
        raise Missing("onnxruntime cannot be held to AVX2")


def largest_weight() -> int:
    """Return the largest weight of 8-bit products; see `maddjit.cli.peers.largest_weight`."""
    from maddjit.cli import peers
    from maddjit.compiler import llvm

    host = llvm.host()
    return peers.largest_weight(replace(host, features=frozenset()) if is_held() else host)


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


_allowed: set[int] = set()


def pin() -> None:
    """Keep this process on the last processor that it may use, where the system allows it.

    onnxruntime looks at the processors when it is imported. Imported on one processor alone, its
    8-bit products take up to 1.4 times as long in one thread. So it is imported first.
    """
    with suppress(ImportError):
        import_module("onnxruntime")
    if hasattr(os, "sched_setaffinity"):
        _allowed.update(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {max(_allowed)})


@contextmanager
def all_processors() -> Iterator[int]:
    """Undo `pin` for this thread and the threads that it starts; yield the number of processors."""
    if not _allowed:
        yield os.cpu_count() or 1
        return
    pinned = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _allowed)
    try:
        yield len(_allowed)
    finally:
        os.sched_setaffinity(0, pinned)


def describe() -> dict[str, Any]:
    """Return the machine, the versions of what is timed, the commit and the time."""
    import cpuinfo

    import maddjit
    from maddjit.compiler import llvm
    from maddjit.compiler.target import ENVIRONMENT_VARIABLE, resolve

    level = resolve(os.environ.get(ENVIRONMENT_VARIABLE) or None, llvm.host()).name
    return {
        "machine": {
            "cpu": cpuinfo.get_cpu_info().get("brand_raw") or platform.machine(),
            "llvm_cpu": llvm.host().cpu,
            "level": level,
            "cores": os.cpu_count(),
            "caches": _caches(),
            "largest_weight": largest_weight(),
            "platform": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            "maddjit": maddjit.__version__,
            **_versions(),
        },
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def file_name(machine: dict[str, Any]) -> str:
    """Return the part of a file name that stands for a machine and a level."""
    words = f"{machine['cpu']} {machine['llvm_cpu']} {machine['level']}".lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-")


def _versions() -> dict[str, str]:
    from threadpoolctl import threadpool_info

    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    for pool in threadpool_info():
        if pool["internal_api"] == "openblas" and "numpy" in pool["filepath"]:
            found["OpenBLAS of numpy"] = f"{pool['version']} ({pool['architecture']})"
    return found


def _caches() -> dict[str, str]:
    """Return the sizes of the first core's caches, as Linux reports them."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (folder / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
