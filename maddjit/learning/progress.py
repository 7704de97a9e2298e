"""Progress of long work: nothing, a callback, or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = bool | Callable[[int, int], None]
"""True shows a bar; a function is called with (steps done, steps in all)."""


@contextmanager
def steps(progress: Progress, total: int, what: str) -> Iterator[Callable[[], None]]:
    """Yield a function to be called once after each step.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.
    """
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
    elif progress:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress(done, total)

        yield advance
    else:
        yield lambda: None
