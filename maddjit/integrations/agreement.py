"""Compare a model rebuilt around exact products with the original, before users get it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


class ReplacementError(ValueError):
    """What was rebuilt does not answer as the original does, although its products are exact."""


def check_same(
    what: str, original: ArrayLike, rebuilt: ArrayLike, bound: ArrayLike = 0.0, remedy: str = ""
) -> None:
    """Raise an error if two answers to the same rows differ, and say where.

    Parameters
    ----------
    what : str
        What the error calls the answer, such as ``"predict_proba"``.
    original, rebuilt : array_like
        Numbers, texts or other objects that compare with ``==``. NaN equals NaN.
    bound : array_like
        How far numbers may lie apart; it broadcasts to their shape. With 0 numbers must be equal.
    remedy : str
        The end of the message, which says what to do.

    Raises
    ------
    ReplacementError
        If the shapes differ, or an entry by more than `bound`. The message names the first such
        entry and the largest difference.

    Examples
    --------
    >>> check_same("predict", ["cat", "dog"], ["cat", "dog"])
    >>> check_same("scores", [1.0, 2.0], [1.0, 2.5])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    maddjit.integrations.agreement.ReplacementError: with its exact product in place, ...
    """
    before, after = np.asarray(original), np.asarray(rebuilt)
    start = f"with its exact product in place, {what} differs from the original: "
    end = f"; {remedy}" if remedy else ""
    if before.shape != after.shape:
        raise ReplacementError(f"{start}its shape is {after.shape} and was {before.shape}{end}")
    numbers = before.dtype.kind in "biuf" and after.dtype.kind in "biuf"
    if numbers:
        b, a = before.astype(np.float64), after.astype(np.float64)
        with np.errstate(invalid="ignore"):  # inf − inf
            gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        wrong = ~(gap <= bound)
    else:
        wrong = np.asarray(before != after, dtype=bool)
    if not wrong.any():
        return
    place = np.unravel_index(int(np.argmax(wrong)), before.shape)
    shown = ", ".join(map(str, map(int, place)))
    most = f", by {gap[wrong].max():.3g} at most" if numbers else ""
    raise ReplacementError(
        f"{start}[{shown}] is {after[place]} and was {before[place]}; "
        f"{int(wrong.sum())} of {wrong.size} entries differ{most}{end}"
    )
