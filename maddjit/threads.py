"""Rows shared out among threads: one pool for the process, the caller works too."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

import numpy as np

_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def _shared_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="maddjit")
        return _pool


def _forget_pool() -> None:
    """Leave the threads to the parent: a forked child has none of them."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def check_threads(threads: int) -> int:
    """Return a number of threads if it is one.

    Raises
    ------
    ValueError
        If it is not a whole number of at least 1.
    """
    if not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, not {threads!r}")
    return int(threads)


def spans(n_rows: int, threads: int, least: int, unit: int = 64) -> list[tuple[int, int]]:
    """Cut rows into at most `threads` spans of about the same length, of some `least` rows or more.

    Spans begin at multiples of `unit`: at whole vectors of a kernel, or at groups of its rows.

    >>> spans(1000, 2, 256)
    [(0, 512), (512, 1000)]
    >>> spans(511, 4, 256)
    [(0, 511)]
    """
    parts = max(1, min(threads, n_rows // least, n_rows // unit))
    whole = n_rows // unit
    cuts = [round(whole * i / parts) * unit for i in range(parts)] + [n_rows]
    return list(itertools.pairwise(cuts))


def run(work: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
    """Do all parts at once, the first in the calling thread; raise what any of them raised."""
    if len(parts) == 1:
        work(*parts[0])
        return
    pool = _shared_pool()
    others = [pool.submit(work, *part) for part in parts[1:]]
    try:
        work(*parts[0])
    finally:
        _wait(others)
    for other in others:
        error = other.exception()
        if error is not None:
            raise error


def _wait(others: list[Future[None]]) -> None:
    """Wait until all are done, and only then let an interrupt through: they use our memory."""
    interrupted: KeyboardInterrupt | None = None
    while not all(other.done() for other in others):
        try:
            wait(others)
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
    if interrupted is not None:
        raise interrupted
