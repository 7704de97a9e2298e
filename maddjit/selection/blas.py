"""The number of threads in which the linear algebra of NumPy and SciPy runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra runs in one thread, if threadpoolctl is installed.

    Threads that share small matrices wait for each other most of the time: fits of the sizes that
    `maddjit.select` tries take up to three times as long with two threads as with one. The limit
    holds for the whole process. The value of the context is None where nothing is limited.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    import scipy.linalg  # noqa: F401  # a library that is loaded later is not limited

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
