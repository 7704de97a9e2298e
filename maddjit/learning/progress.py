"""Progress of long work: nothing, a callback, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from time import perf_counter

Progress = bool | Callable[[int, int], object]
"""True shows a bar; a function is called with (steps done, steps in all), and may return False."""


@contextmanager
def steps(
    progress: Progress, total: int, what: str, time_limit: float | None = None
) -> Iterator[Callable[[], bool]]:
    """Yield a function to be called once after each step; False means to come to an end.

    That is so once `time_limit` seconds have passed, or from when the callback returns False.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    ValueError
        If the time limit is negative or NaN.
    """
    if time_limit is not None and not time_limit >= 0:
        raise ValueError(f"time_limit must be 0 seconds or more, not {time_limit}")
    end = inf if time_limit is None else perf_counter() + time_limit
    with _shown(progress, total, what) as show:
        asked_to_stop = False

        def advance() -> bool:
            nonlocal asked_to_stop
            asked_to_stop |= show() is False
            return not asked_to_stop and perf_counter() < end

        yield advance


@contextmanager
def _shown(progress: Progress, total: int, what: str) -> Iterator[Callable[[], object]]:
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
