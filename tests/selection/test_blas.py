"""Linear algebra in one thread, where that can be asked for."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # its own linear algebra is there from the start
from threadpoolctl import threadpool_info, threadpool_limits

from maddjit.selection import maddness, strassen_tile
from maddjit.selection.blas import one_thread
from maddjit.selection.inputs import Inputs


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_fits_of_a_search_take_one_thread_and_give_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[int]] = []
    for module, name in ((maddness, "fit"), (strassen_tile, "fit_strassen_tile")):
        own = getattr(module, name)

        def watched(*args: Any, own: Any = own, **options: Any) -> Any:
            seen.append(threads())
            return own(*args, **options)

        monkeypatch.setattr(module, name, watched)
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((300, 4)) @ rng.standard_normal((4, 64))).astype(np.float32)
    B, bias = rng.standard_normal((64, 64)).astype(np.float32), np.zeros(64)
    inputs = Inputs(A, B, bias, random_state=0, threads=1, folder=None)
    with threadpool_limits(2, "blas"):
        before = threads()
        maddness.fitted_model(inputs, maddness.Sizes(4, 16, 0))
        strassen_tile.TileSetting("r=24", 4, 24, "float32").operator(inputs)
        assert threads() == before
    assert seen == [{1}, {1}]


def test_nothing_is_limited_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with one_thread() as limited:
        assert limited is None
