"""Shares rows among threads: those of the one pool of the process, and the calling thread."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Condition, Lock

_lock = Lock()
_pool: ThreadPoolExecutor | None = None


def _shared_pool() -> ThreadPoolExecutor:
    """Return the pool of threads of this process, which is made when it is first needed."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="maddjit")
        return _pool


def _forget_pool() -> None:
    """Forget the pool: a forked child has none of its threads."""
    global _pool, _lock
    _pool, _lock = None, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def spans(n_rows: int, threads: int, least: int, unit: int = 64) -> list[tuple[int, int]]:
    """Cut rows into at most `threads` spans of about the same length, `least` rows or so at least.

    Spans begin at multiples of `unit`, which are whole vectors of a kernel or groups of its rows.

    >>> spans(1000, 2, 256)
    [(0, 512), (512, 1000)]
    >>> spans(511, 4, 256)
    [(0, 511)]
    """
    parts = max(1, min(threads, n_rows // least, n_rows // unit))
    whole = n_rows // unit
    cuts = [round(whole * i / parts) * unit for i in range(parts)] + [n_rows]
    return list(itertools.pairwise(cuts))


class _Parts:
    """The parts of a job; each is done once, by the thread that takes it first."""

    def __init__(self, work: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
        self._work = work
        self._left = deque(parts)
        self._running = 0
        self._changed = Condition()
        self.errors: list[BaseException] = []

    def help(self) -> None:
        """Do one part in a thread of the pool, if one is left, and keep its error."""
        with self._changed:
            if not self._left:
                return
            part = self._left.popleft()
            self._running += 1
        try:
            self._work(*part)
        except BaseException as error:
            self.errors.append(error)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def do_rest(self) -> None:
        """Do in the calling thread the parts that no other thread has begun."""
        while self._left:
            try:
                part = self._left.popleft()
            except IndexError:  # another thread was faster
                return
            self._work(*part)

    def wait(self) -> None:
        """Let no further part begin, and wait for those that run, because they use our memory.

        An interrupt is raised only after that.
        """
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                with self._changed:
                    self._left.clear()
                    self._changed.wait_for(lambda: not self._running)
                break
            except KeyboardInterrupt as interrupt:
                interrupted = interrupt
        if interrupted is not None:
            raise interrupted


def run(work: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
    """Do all parts of a job at once, the first in the calling thread; raise an error of any part.

    The calling thread also does the parts that no thread of the pool has begun: threads cannot be
    started at the limit of a process, nor while the interpreter ends.
    """
    if len(parts) == 1:
        work(*parts[0])
        return
    shared = _Parts(work, parts[1:])
    try:
        with suppress(RuntimeError):  # a thread cannot be started; its part may be queued anyway
            for _ in parts[1:]:
                _shared_pool().submit(shared.help)
        work(*parts[0])
        shared.do_rest()
    finally:
        shared.wait()
    if shared.errors:
        raise shared.errors[0]
