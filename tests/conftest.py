"""Shared by all tests: the feature levels this machine can run, and random models."""

from __future__ import annotations

import os

# Tests run side by side; linear algebra in several threads each would mostly wait for itself.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests of the compiler compile, and leave nothing in the user's home.
os.environ["MADDJIT_CACHE_DIR"] = ""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from maddjit.compiler import native, target

settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

RUNNABLE = [level.name for level in target.runnable(native.host())]


def pytest_report_header() -> str:
    host = native.host()
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
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of what a module's `measured` fixture ran are slow, and one process runs them all."""
    for item in items:
        if "measured" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


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
