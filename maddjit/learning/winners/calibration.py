"""`calibrate`: short lists that hold the exact winners, measured on real rows."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_training_matrix, as_whole, check_random_state
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.winners import settings
from maddjit.learning.winners.calibratable import with_bias, with_scores
from maddjit.learning.winners.margins import ExactWinners, short_list
from maddjit.learning.winners.scores import cheapest_tables, typical_length
from maddjit.models.maddness import MaddnessModel


def calibrate(
    model: MaddnessModel,
    A: ArrayLike,
    B: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    replace_bias: bool = False,
    k: int = 1,
    random_state: int = 0,
) -> MaddnessModel:
    """Return the model with a short list: measured margins that keep the exact winners on it.

    For each row the gap g = (k-th best looked-up score) − (least looked-up score of the exact k
    best) is measured. The margin that `maddjit.compile` takes for a coverage is a quantile of these
    gaps, corrected for the number of rows (split conformal prediction, Vovk et al. 2005). Rows that
    are exchangeable with these have their winners within it with that probability or more, however
    good the model is.

    Parameters
    ----------
    model : MaddnessModel
        A model with exact sums (accumulate="exact") and without an exact core (core_rank=0).
    A : (N, D) array_like
        Rows that the model was not fitted to. For a coverage of 0.999, at least 1110 are needed,
        and 10000 or more are advisable. A tenth of them, 1000 at most, chooses how scores are
        rounded and what they start from, and does not count.
    B : (D, M) array_like
        The exact right-hand side, which settles the winners.
    bias : (M,) array_like or number, optional
        Added to the exact product. By default it is the bias that the model carries, `model.bias`.
        It must be given for a model whose bias is not known, as 0 if there is none.
    replace_bias : bool
        Whether `bias` takes the place of another bias that the model carries. The outputs then move
        by the difference, and the report, which was about the other bias, is dropped.
    k : int
        How many winners of a row will be named, from 1 to M.
    random_state : int
        Seed of the choice of that tenth.

    Returns
    -------
    MaddnessModel
        The same model with `short_list`, and with the bias.

    Raises
    ------
    ValueError
        If the model has a core or averages, its bias is not known or is not the given one, shapes
        do not fit, or numbers are not finite.
    TypeError
        If it is no model of look-up tables, or an array does not hold real numbers.

    Warns
    -----
    AccuracyWarning
        If there are more than 8 outputs and more than half of them are listed at 99 % coverage.
        Then the plain product is faster, or the given bias is not that of the model.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 32))
    >>> B = rng.standard_normal((32, 20))
    >>> model = maddjit.calibrate(maddjit.fit(A[:1000], B), A[1000:], B)
    >>> op = maddjit.compile(model, result="argmax", coverage=0.99)
    >>> bool((op(A) == (A @ B).argmax(axis=1)).mean() > 0.98)
    True
    """
    model = with_scores(model)
    rows, right = _checked(model, A, B)
    was_known = model.bias is not None
    model = with_bias(model, bias, replace_bias)
    check_random_state(random_state)
    winners = _winners(model, right, as_whole("k", k))
    choosing, measured = _parted(rows, model.n_outputs, random_state)
    tables = cheapest_tables(model, winners, choosing)
    short = short_list(model, tables, winners, measured)
    if model.n_outputs > settings.FEW_OUTPUTS and typical_length(short) > model.n_outputs / 2:
        doubt = "" if was_known else ", or the bias is not the one that the model was fitted with"
        warnings.warn(
            f"short lists hold {typical_length(short):.0f} of {model.n_outputs} outputs on "
            f"average: the plain product is faster{doubt}",
            AccuracyWarning,
            stacklevel=2,
        )
    return replace(model, short_list=short)


def _checked(model: MaddnessModel, A: ArrayLike, B: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return A and B, checked to fit the model."""
    rows, right = as_training_matrix("A", A), as_training_matrix("B", B)
    wanted = (model.n_features, model.n_outputs)
    if right.shape != wanted or rows.shape[1] != wanted[0]:
        raise ValueError(
            f"A and B must have shapes (N, {wanted[0]}) and {wanted}, "
            f"not {rows.shape} and {right.shape}"
        )
    return rows, right


def _winners(model: MaddnessModel, B: NDArray[Any], k: int) -> ExactWinners:
    """Return the exact winners to find; refuse a k that is out of range."""
    if not 1 <= k <= model.n_outputs:
        raise ValueError(f"k must be from 1 to {model.n_outputs}, not {k}")
    assert model.bias is not None
    return ExactWinners(B.astype(np.float32), model.bias.astype(np.float32), k)


def _parted(
    rows: NDArray[Any], n_outputs: int, random_state: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows that choose how scores are rounded, and the rows that give the margins."""
    order = np.random.default_rng(random_state).permutation(len(rows))
    affordable = 1 + settings.MAX_CHOOSING_OUTPUTS // n_outputs
    share = int(settings.CHOOSING_SHARE * len(rows))
    n_choosing = min(settings.MAX_CHOOSING, share, affordable)
    return rows[np.sort(order[:n_choosing])], rows[np.sort(order[n_choosing:])]
