"""The threads of NumPy's and SciPy's linear algebra, which belong to the libraries behind them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra runs in one thread, if threadpoolctl is installed.

    Threads that share small matrices wait for each other most of the time: fits of the sizes that
    `maddjit.select` tries take up to three times as long with two threads as with one. The limit
    is for the whole process. The context's value is None where nothing is limited.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    import scipy.linalg  # noqa: F401  # libraries that are loaded later are not limited

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
