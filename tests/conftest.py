"""Shared by all tests: the feature levels they run at, which of them are slow, equality of bits.

``--level NAME`` runs the cases of one level alone, of those that this machine has or emulates.
With ``MADDJIT_TARGET`` set the machine passes for one whose best level that is: the host has no
more features, NumPy's products round as on such a CPU, and higher levels are emulated.
"""

from __future__ import annotations

import os

from tests import openblas

# NumPy is imported below.
os.environ.update(openblas.environment(os.environ.get("MADDJIT_TARGET")))
# Tests run side by side; linear algebra in several threads each would mostly wait for itself.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests of the compiler compile, and leave nothing in the user's home.
os.environ["MADDJIT_CACHE_DIR"] = ""

from collections import defaultdict
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from maddjit.compiler import llvm, target

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

FORCED = os.environ.get("MADDJIT_TARGET", "")
if FORCED:
    masked = replace(llvm.host(), features=llvm.host().features & target.named(FORCED).requires)
    llvm.host = lambda: masked  # type: ignore[assignment]

RUNNABLE = [level.name for level in target.runnable(llvm.host())]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--level", choices=target.LEVELS, help="run the cases of one level alone")


def pytest_report_header() -> str:
    host = llvm.host()
    skipped = [name for name in target.LEVELS if name not in RUNNABLE]
    emulated = [name for name in skipped if name.startswith("x86")]
    emitted = [name for name in skipped if name not in emulated]
    libraries = ("sklearn", "torch", "onnxruntime", "dask", "distributed")
    untested = [name for name in libraries if find_spec(name) is None]
    return (
        f"maddjit: {host.cpu}; levels run: {', '.join(RUNNABLE)}; not run here, their shuffles "
        f"emulated: {', '.join(emulated) or 'none'}; only emitted: {', '.join(emitted) or 'none'}; "
        f"integrations not tested, for their libraries are not installed: "
        f"{', '.join(untested) or 'none'}"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the cases of --level, if it is given; then mark what is slow."""
    if wanted := config.getoption("level"):
        others = [item for item in items if _level_of(item) != wanted]
        items[:] = [item for item in items if _level_of(item) == wanted]
        config.hook.pytest_deselected(items=others)
    _mark_slow(items)


def _mark_slow(items: list[pytest.Item]) -> None:
    """Mark as slow what a module's `measured` fixture ran, and most cases of tests with many.

    One process runs all tests of a `measured` fixture. A case that is run at several levels is
    quick at one of them; which one changes from case to case, so quick tests see every level. Of
    the cases that are left of a test marked ``quick(n)``, n are quick.
    """
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if "measured" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        level = _level_of(item)
        if level:
            cases[item.nodeid.replace(level, "")].append(item)
    for case, at_levels in cases.items():
        quick = crc32(case.encode()) % len(at_levels)
        for item in at_levels[:quick] + at_levels[quick + 1 :]:
            item.add_marker(pytest.mark.slow)
    tests: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("quick") and not item.get_closest_marker("slow"):
            tests[item.nodeid.partition("[")[0]].append(item)
    for some in tests.values():
        n_quick: int = next(some[0].iter_markers("quick")).args[0]
        for item in sorted(some, key=lambda item: crc32(item.nodeid.encode()))[n_quick:]:
            item.add_marker(pytest.mark.slow)


def _level_of(item: pytest.Item) -> str | None:
    """Return the level that a case is run at; None if it has none."""
    values = getattr(item, "callspec", None)
    texts = [value for value in values.params.values() if isinstance(value, str)] if values else []
    return next(filter(target.LEVELS.__contains__, texts), None)


@pytest.fixture(params=RUNNABLE)
def level(request: pytest.FixtureRequest) -> str:
    """Each feature level that this machine can run."""
    name: str = request.param
    return name


def same_bits(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether two arrays agree in dtype, shape and every bit."""
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.tobytes() == right.tobytes()
    )


def same_numbers(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether two arrays agree in dtype, shape and every bit, but for the bits of NaN."""
    if left.dtype.kind != "f" or left.dtype != right.dtype or left.shape != right.shape:
        return same_bits(left, right)
    both = np.isnan(left) & np.isnan(right)
    return same_bits(np.where(both, 0, left), np.where(both, 0, right))
