"""Progress of long work, shown by a callback or a bar, and time limits kept by predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from time import perf_counter

Progress = bool | Callable[[int, int], object]
"""True shows a bar; a function is called with (steps done, steps in all), and may return False."""

clock: Callable[[], float] = perf_counter
"""The clock that limits are held against; tests put another one in its place."""


def now() -> float:
    """Return the clock's seconds."""
    return clock()


class Steps:
    """A count of steps that measures how long they take and tells whether there is time for more.

    Work has a kind, and is counted in any unit, the same for all work of that kind. The seconds
    that were measured for a kind predict the seconds of more work of that kind.
    """

    def __init__(self, show: Callable[[], object], end: float) -> None:
        self._show, self._end, self._stopped = show, end, False
        self._measured: dict[str, tuple[float, float]] = {}
        self._reserved: list[tuple[str, float]] = []

    def __call__(self, needed: float = 0.0) -> bool:
        """Count a step; return whether there is time for work of `needed` seconds."""
        self._stopped |= self._show() is False
        return self.allows(needed)

    def allows(self, needed: float = 0.0) -> bool:
        """Tell whether nobody asked to stop, and there is time for work of `needed` seconds."""
        return not self._stopped and self.in_time(needed)

    def in_time(self, needed: float) -> bool:
        """Tell whether there is time for work of `needed` seconds and for all reserved work."""
        needed += sum(self.predicted(*reserved) for reserved in self._reserved)
        return now() + needed < self._end

    def stop(self) -> None:
        """Allow nothing from now on, as if the callback had returned False."""
        self._stopped = True

    @contextmanager
    def measured(self, kind: str, work: float) -> Iterator[None]:
        """Measure how long some work of a kind takes."""
        start = now()
        yield
        seconds, known = self._measured.get(kind, (0.0, 0.0))
        self._measured[kind] = seconds + now() - start, known + work

    def predicted(self, kind: str, work: float) -> float:
        """Return the seconds that work will take; 0 if no work of its kind was measured."""
        seconds, known = self._measured.get(kind, (0.0, 0.0))
        return seconds * work / known if known else 0.0

    @contextmanager
    def reserved(self, kind: str, work: float) -> Iterator[None]:
        """Keep time free, as long as the context lasts, for work that must come after it."""
        self._reserved.append((kind, work))
        try:
            yield
        finally:
            self._reserved.pop()


@contextmanager
def steps(
    progress: Progress,
    total: int,
    what: str,
    time_limit: float | None = None,
    since: float | None = None,
) -> Iterator[Steps]:
    """Yield the count of steps, to be called once after each step; False means to stop soon.

    It returns False once `time_limit` seconds have passed, counted from `since` if that is given,
    and once the callback has returned False.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    ValueError
        If the time limit is negative or NaN.
    """
    if time_limit is not None and not time_limit >= 0:
        raise ValueError(f"time_limit must be 0 seconds or more, not {time_limit}")
    start = now() if since is None else since
    with _shown(progress, total, what) as show:
        yield Steps(show, inf if time_limit is None else start + time_limit)


@contextmanager
def _shown(progress: Progress, total: int, what: str) -> Iterator[Callable[[], object]]:
    """Yield the function that shows one more step, and returns what the callback answers."""
    if progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError(
                "progress=True needs tqdm: pip install maddjit[progress]; "
                "or pass a function of (done, total)"
            ) from error
        with tqdm(total=total, desc=what) as bar:
            yield lambda: bar.update() and None
            bar.update(total - bar.n)  # steps that were left out
    elif progress:
        done = count(1)
        yield lambda: progress(next(done), total)
    else:
        yield lambda: None
