"""`fit_strassen_tile`: from B, and rows to fit to, to a model of a bilinear tile operator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_bias, as_training_matrix, as_whole, check_random_state
from maddjit.learning.accuracy import lost_too_much, warn_useless
from maddjit.learning.progress import Progress, steps
from maddjit.learning.strassen_tile import settings
from maddjit.learning.strassen_tile.choice import (
    Chosen,
    chosen_start,
    judged_start,
    n_steps,
    scaled,
)
from maddjit.learning.strassen_tile.moments import Moments
from maddjit.learning.strassen_tile.report import tile_report_on
from maddjit.learning.strassen_tile.sequences import task_of_sequences, training_sequences
from maddjit.learning.strassen_tile.starts import candidates_for
from maddjit.learning.task import Task, training_rows
from maddjit.models.schemes import BilinearScheme
from maddjit.models.strassen_tile import RowLayout, StrassenTileModel, default_tile_rows
from maddjit.reference.strassen_tile import encode_right, multiply
from maddjit.version import __version__

_IN_WORDS: dict[RowLayout, str] = {"blocks": "", "tokens": " of sequences"}
"""What `learned_by` adds for each layout."""


def fit_strassen_tile(
    B: ArrayLike,
    rank: int | None = None,
    *,
    tile: int = 4,
    A_train: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    scheme: BilinearScheme | str | None = None,
    rows: RowLayout = "blocks",
    tile_rows: int | None = None,
    regularisation: float | None = None,
    max_iterations: int | None = None,
    validation_fraction: float = 0.1,
    random_state: int = 0,
    progress: Progress = False,
) -> StrassenTileModel:
    """Return a model that multiplies by B in tiles with fewer multiplications: Strassen-Tile.

    Tiles of A and of B are each encoded as r linear combinations, those of B ahead of time. The r
    products of these are decoded to a tile of the result. Instead of t³ multiplications it takes r
    (Ailon, Bercovich, Uffenheimer & Weinstein, Changing Base Without Losing Pace,
    arXiv 2503.12211). The scheme is exact, as Strassen's, or an approximation that is fitted to
    rows.

    Where rounding matters, and where rows come alone, note that

    - each level of Strassen about doubles the rounding errors of float32;
    - NaN or infinities in one row of A spread over the t rows of its tile;
    - with an approximate scheme, a row's outputs also depend on the other rows of its tile, and so
      on how rows are ordered and batched.

    Approximation pays where columns of A are correlated. Compare the figures of `report`: on many
    data a product of low rank is more accurate at equal multiplications, and bfloat16 gains more
    speed than it loses accuracy.

    Parameters
    ----------
    B : (D, M) array_like
        The fixed right-hand side.
    rank : int, optional
        r, the number of multiplications of a tile. By default that of the exact scheme: 1, 7, 23 or
        49 for tiles of 1 to 4. For t = 4 there are approximate schemes from 16 on; for other t
        there are some from t² to t³ if A_train is given.
    tile : int
        t, the number of rows and columns of a tile; 1 is the plain product.
    A_train : (N, D) array_like, with "tokens" (T, D) or (S, T, D), optional
        Rows like those that will be multiplied. With "blocks" they are best in random order: the
        rows of a tile are taken as independent. With "tokens" they are one sequence or S of them,
        and what rows have in common with their neighbours is learned. The encoder of A, the decoder
        and the encoded B of an approximate scheme are fitted to them by alternating least squares.
        There are several starts: the scheme for white data, products of sums of A's columns, with
        "tokens" also of sums of neighbours, and for t = 4 and D ≥ 256 also sums of 16 blocks, as
        2 × 16 × 2 tiles, which have as many multiplications. The start with the smallest error,
        in the mean of float32 and bfloat16, is taken on after two rounds, or at once for large B.
        With "tokens" starts are compared on a fifth of the sequences, which they are not fitted to.
        Without rows, B is encoded by the scheme for white data.
    bias : (M,) array_like, optional
        Added to the product.
    scheme : BilinearScheme or {"plain", "strassen", "winograd", "laderman"}, optional
        The scheme to use in place of `rank` and `tile`. It need not be square.
    rows : {"blocks", "tokens"}
        Which rows of A share their tiles: rows that are far apart, or n neighbours of a sequence,
        as in layers of networks. Each sequence has zeros behind its last row.
    tile_rows : int, optional
        R, the number of rows of a block, which are computed together: a multiple of 8 up to 1024.
        By default 32, 16 or 8, by what fits the cache of a core.
    regularisation : float, optional
        λ ≥ 1e-9. White noise of λ times their mean variance is added to the rows, and squares of
        the entries of all factors cost λ / 100 of the objective's mean curvature in them. By
        default λ is 1e-4. With "tokens" the noise is 20 over the number of rows by default, from
        1e-4 to 1e-2, and squares cost 1e-4: layers that are trained further want small factors.
    max_iterations : int, optional
        Rounds of alternating least squares, at most; they end once a round gains less than a
        thousandth. By default 10, or 3 with "tokens" where r · D/d is above 4096. With 0, or where
        rounds gain less than a tenth, only the encoded B is fitted. Then a scheme with few
        non-zeros, which is faster, keeps them.
    validation_fraction : float
        The share of A_train to keep back for the report, chosen at random. With 0, or fewer than 20
        rows, none are kept back. With "tokens" whole sequences are kept back. Where there are too
        few, each gives its last tiles.
    random_state : int
        Seed of that choice, and of the starts that are drawn at random.
    progress : bool or callable
        As in `maddjit.fit`. If a function returns False, the fit ends with what it has.

    Returns
    -------
    StrassenTileModel
        With `report` if there is A_train.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite, shapes do not fit, there is no scheme of this rank and
        tile, or an option is out of range.
    TypeError
        If an array does not hold real numbers, or a size is not a whole number.

    Warns
    -----
    AccuracyWarning
        If half or more of the outputs' variance is lost on the rows kept back.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> B = rng.standard_normal((64, 48))
    >>> model = maddjit.fit_strassen_tile(B, tile=2)
    >>> A = rng.standard_normal((100, 64))
    >>> np.allclose(maddjit.reference.apply(model, A), A @ B, atol=1e-4), model.kind
    (True, 'rounded')

    Approximate, for rows that vary in few directions:

    >>> A = rng.standard_normal((1000, 12)) @ rng.standard_normal((12, 64))
    >>> model = maddjit.fit_strassen_tile(B, 24, A_train=A)
    >>> model.report.error < 1e-3 < model.report.unfitted, model.kind
    (True, 'approximate')

    For tokens that are like their neighbours, here 50 sequences of 40:

    >>> A = rng.standard_normal((50, 40, 64)).cumsum(axis=1)
    >>> model = maddjit.fit_strassen_tile(B, 24, A_train=A, rows="tokens")
    >>> model.report.error < 0.05 < model.report.low_rank
    True
    """
    if rows not in get_args(RowLayout):
        raise ValueError(f'rows must be "blocks" or "tokens", not {rows!r}')
    right = as_training_matrix("B", B)
    added = as_bias(bias, right.shape[1])
    check_random_state(random_state)
    rank, tile = None if rank is None else as_whole("rank", rank), as_whole("tile", tile)
    _check_options(max_iterations, regularisation)
    checked = training_sequences if rows == "tokens" else training_rows
    learn_from = None if A_train is None else checked(A_train, right)
    sizes = None if learn_from is None else right.shape
    candidates = candidates_for(scheme, rank, tile, sizes, random_state, rows)
    unfitted = _encoded(candidates[0], right, added, tile_rows, rows)
    if learn_from is None:
        return unfitted

    task = _task(learn_from, right, added, float(validation_fraction), random_state, candidates)
    exact = right.astype(np.float64)
    n_rows = task.train.size // len(right)
    noise, ridge = _regularisation(regularisation, rows, n_rows)
    if max_iterations is None:
        max_iterations = _iterations(candidates[0], rows, len(right))
    moments = Moments.of(task.train, exact, unfitted.scheme.shape, noise)
    model = unfitted
    objective: tuple[float, ...] = ()
    if not unfitted.scheme.is_exact:
        total = n_steps(len(candidates), max_iterations)
        with steps(progress, total, "maddjit.fit_strassen_tile") as advance:
            options = ridge, max_iterations, advance
            if rows == "tokens":
                sequences = task.train, noise, random_state
                chosen = judged_start(candidates, exact, moments, *options, sequences)
            else:
                chosen = chosen_start(candidates, exact, moments, *options)
        model = _as_model(chosen, task, moments, tile_rows, rows)
        objective = chosen.objective
    report = tile_report_on(model, unfitted, task, moments, objective)
    if fault := lost_too_much(report.error):
        warn_useless(fault, report.held_out, "raise the rank, or take an exact scheme")
    learned_by = (
        f"maddjit {__version__} fit_strassen_tile on {n_rows} × {len(right)} "
        f"rows{_IN_WORDS[rows]}: rank={model.scheme.rank}, regularisation={noise:g}, "
        f"max_iterations={max_iterations}, random_state={random_state}"
    )
    return replace(model, report=replace(report, learned_by=learned_by))


def _regularisation(given: float | None, rows: RowLayout, n_rows: int) -> tuple[float, float]:
    """Return the noise that is added to the rows, and the cost of squares of factors."""
    least, most = settings.REGULARISATION, settings.MAX_REGULARISATION
    if given is not None:
        return given, given * settings.RIDGE_SHARE
    if rows == "blocks":
        return least, least * settings.RIDGE_SHARE
    by_rows = settings.REGULARISING_ROWS / n_rows
    return min(max(by_rows, least), most), most * settings.RIDGE_SHARE


def _check_options(max_iterations: int | None, regularisation: float | None) -> None:
    """Refuse a number of rounds, or a regularisation, that is out of range."""
    if max_iterations is not None and as_whole("max_iterations", max_iterations) < 0:
        raise ValueError(f"max_iterations must be 0 or more, not {max_iterations}")
    if regularisation is not None and not 1e-9 <= regularisation < np.inf:
        raise ValueError(f"regularisation must be 1e-9 or more and finite, not {regularisation}")


def _iterations(scheme: BilinearScheme, rows: RowLayout, n_features: int) -> int:
    """Return how many rounds are taken, at most, where no number is given."""
    unknowns = scheme.rank * -(-n_features // scheme.shape[1])
    is_large = rows == "tokens" and unknowns > settings.MAX_TRIED_UNKNOWNS
    return settings.LARGE_ROUNDS if is_large else settings.ROUNDS


def _task(
    learn_from: NDArray[Any],
    B: NDArray[Any],
    bias: NDArray[Any],
    share: float,
    random_state: int,
    candidates: list[BilinearScheme],
) -> Task:
    """Return the task of rows (N, D) or of sequences (S, T, D)."""
    if learn_from.ndim == 2:
        return Task.of(learn_from, B, bias, share, random_state)
    n = max(scheme.shape[0] for scheme in candidates)
    return task_of_sequences(learn_from, B, bias, share, random_state, n)


def _encoded(
    scheme: BilinearScheme,
    B: NDArray[Any],
    bias: NDArray[Any],
    tile_rows: int | None,
    rows: RowLayout,
) -> StrassenTileModel:
    """Return the model of a scheme as it is, with B encoded by it."""
    n_features, n_outputs = B.shape
    R = default_tile_rows(scheme, n_features) if tile_rows is None else tile_rows
    values, added = encode_right(scheme, B).astype(np.float32), bias.astype(np.float32)
    return StrassenTileModel(
        scheme, n_features, n_outputs, values, added, R, is_encoded=True, rows=rows
    )


def _as_model(
    chosen: Chosen, task: Task, moments: Moments, tile_rows: int | None, rows: RowLayout
) -> StrassenTileModel:
    """Return the model in float32, with the bias that leaves no mean error on the training rows.

    Unless rounds were taken, only V was fitted, and the scheme is the start itself.
    """
    start, factors, B = chosen.start, chosen.factors, task.B
    r, n, _ = factors.E.shape
    scheme, V = start, factors.V
    if len(chosen.objective) > 1:
        E, by_E = scaled(factors.E.reshape(r, -1))
        columns, by_Dec = scaled(factors.Dec.reshape(-1, r).T)
        V = V * (by_E * by_Dec)[:, np.newaxis]
        scheme = BilinearScheme(
            f"{start.name}-fitted",
            start.shape,
            E.astype(np.float32),
            start.encode_b,
            columns.T.astype(np.float32),
        )
    blank = replace(
        _encoded(scheme, B, np.zeros(len(task.bias)), tile_rows, rows),
        values=V.astype(np.float32),
        is_encoded=False,
    )
    mean = moments.mean.ravel()[: len(B)]
    answer = multiply(blank, np.tile(mean, (n * blank.tile_rows, 1))).mean(axis=0)
    return replace(blank, bias=(task.bias + mean @ B - answer).astype(np.float32))
