"""Compare what was rebuilt around an exact product with the original, before it is handed over."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


class ReplacementError(ValueError):
    """What was rebuilt does not answer as the original does, even with exact products."""


def check_same(
    what: str, original: ArrayLike, rebuilt: ArrayLike, bound: ArrayLike = 0.0, remedy: str = ""
) -> None:
    """Raise an error that says where two answers to the same rows differ, if they do.

    Parameters
    ----------
    what : str
        The answer's name, such as ``"predict_proba"``.
    original, rebuilt : array_like
        Numbers, texts or other objects that compare with ``==``. NaN equals NaN.
    bound : array_like
        How far numbers may lie apart; broadcasts to their shape. 0 asks for equal bits of value.
    remedy : str
        What to do about it, the message's end.

    Raises
    ------
    ReplacementError
        If shapes differ, or an entry by more than `bound`. It names the first such entry and the
        largest difference.

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
