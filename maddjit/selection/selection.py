"""`select`: the fastest way to a product within an error budget, timed on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_training_matrix, check_random_state
from maddjit.learning.progress import Progress
from maddjit.learning.task import training_arrays
from maddjit.selection import settings
from maddjit.selection.field import Field
from maddjit.selection.found import Selection
from maddjit.selection.inputs import Inputs
from maddjit.selection.losses import Loss, Metric, Way, name_of
from maddjit.selection.maddness import series_of
from maddjit.selection.products import ExactProduct, Winners
from maddjit.selection.search import Wrap, search
from maddjit.selection.strassen_tile import tiles_of

EXACT = "exact product"
"""The name of the exact product in tables."""


def select(
    A_train: ArrayLike,
    B: ArrayLike,
    budget: float,
    *,
    bias: ArrayLike | None = None,
    metric: Metric = "nmse",
    k: int = 1,
    validation: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    n_codebooks: int | Sequence[int] = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128),
    n_prototypes: int | Sequence[int] = (16, 64),
    core_ranks: int | Sequence[int] = (0, 4, 8),
    tile_ranks: int | Sequence[int] = (16, 24, 32, 40, 48),
    others: Mapping[str, Way] | None = None,
    n_timed: int = 10000,
    threads: int = 1,
    random_state: int = 0,
    time_limit: float | None = None,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress = False,
) -> Selection:
    """Find the fastest way to ``A @ B + bias`` whose error is within a budget.

    The candidates are the exact product (NumPy), products of low rank, Strassen-Tile operators (the
    plain compiled product among them, and bfloat16 where the CPU has it), MADDNESS operators of
    many sizes, and the caller's own. All take float32 rows. Each is judged on one half of the
    validation rows, drawn at random, and timed in turns with the exact product. The candidates that
    may be chosen are timed once more, all in the same turns. The fastest one inside the budget is
    chosen once the other half of the rows has confirmed it. The exact product is inside every
    budget.

    MADDNESS sizes that cannot be the fastest are not fitted. For the metrics "nmse" and "agreement"
    the others are first fitted in haste, without choices. Those that lose more than three times the
    budget then stay so, and the table says it.

    Parameters
    ----------
    A_train : (N, D) array_like
        Rows like those that will be multiplied; finite.
    B : (D, M) array_like
        The fixed right-hand side.
    budget : float
        The largest loss allowed, 0 or more, in the units of `metric`.
    bias : (M,) array_like, optional
        Added to the product.
    metric : {"nmse", "agreement", "argmax", "topk"} or callable
        What the loss is. "nmse": mean((Ŷ − Y)²) / var(Y), the paper's metric. "agreement": the
        share of rows whose arg-max is not that of the exact product. "argmax" and "topk" ask for
        winners instead of outputs, and the loss is the share of winners that are missed: short
        lists are settled exactly with a coverage of 1 − budget / 2, see `compile`, and the
        selection returns (N, k) indices. A function of outputs (n, M) and their `targets`, of which
        more is better (accuracy, say): the loss is how much lower it is than for the exact product.
    k : int
        How many winners "topk" asks for.
    validation : (N', D) array_like, optional
        Rows to judge by, at least 20. By default a quarter of A_train, drawn at random.
    targets : (N', …) array_like, optional
        What a function as metric is given for the rows of `validation`, or of A_train without it.
    n_codebooks, n_prototypes, core_ranks : ints or sequences of int
        The MADDNESS sizes to try, see `fit`. Sizes that do not fit D and M are left out, and so are
        cores if winners are asked for.
    tile_ranks : int or sequence of int
        The ranks, 16 to 48, of fitted 4 × 4 × 4 tiles to try beside exact schemes. See
        `fit_strassen_tile`, also for why outputs then depend on neighbouring rows.
    others : mapping of str to callable, optional
        Further candidates by name, (N, D) float32 → (N, M): an 8-bit product, for instance.
    n_timed : int
        Rows of a timed call. Fewer are timed if A or the outputs would be more than 64 MB.
    threads : int
        Threads of compiled operators. NumPy uses those of its BLAS, all processors unless told
        otherwise (``OPENBLAS_NUM_THREADS=1``): set that as it is where the product will be used.
    random_state : int
        Seed of the rows that are drawn, and of all fits.
    time_limit : float, optional
        Seconds after which no further candidate is tried. An interrupt (Ctrl-C) also ends the
        search.
    folder : path, optional
        Where fitted models are kept, so that a search that was cut short goes on from there. It is
        made if it is not there; damaged files are replaced.
    progress : bool or callable
        As in `fit`. If a function returns False, no further candidate is tried.

    Returns
    -------
    Selection
        Call it to compute the product; ``print(selection)`` shows the frontier and what was left
        out.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is not finite, the budget is negative, a size is impossible,
        the metric is unknown or gives NaN, "agreement" or "argmax" is asked of a single output, or
        there are fewer than 20 validation rows.
    TypeError
        If an array does not hold real numbers.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((1000, 4)) @ rng.standard_normal((4, 32))
    >>> B = rng.standard_normal((32, 8))
    >>> found = maddjit.select(A, B, 0.1, n_codebooks=[4, 8], n_prototypes=[16], core_ranks=[0])
    >>> found.fresh_loss <= 0.1
    True
    """
    rows, right, added = training_arrays(A_train, B, bias)
    check_random_state(random_state)
    asks_winners = _check_asked(metric, k, budget, n_timed, right.shape[1])
    train, judged, known = _split(rows, validation, targets, random_state)
    wrap: Wrap = partial(Winners, k=k) if asks_winners else _as_it_is
    exact = wrap(ExactProduct(right, added))

    def loss_on(half: NDArray[np.intp]) -> Loss:
        targets = None if known is None else known[half]
        return Loss(metric, judged[half], exact(judged[half]), added, targets, right)

    choose, confirm = map(loss_on, _halves(len(judged), random_state))
    n_timed = max(1, min(n_timed, settings.MAX_TIMED_NUMBERS // max(right.shape)))
    field = Field(exact, choose, budget, np.resize(judged, (n_timed, len(right))))
    inputs = Inputs(train, right, added, random_state, threads, _made(folder))
    if asks_winners:
        core_ranks = (0,)
        inputs = inputs.for_winners(k, 1 - budget / 2, tuned=metric == "argmax")
    sizes = (np.atleast_1d(each).tolist() for each in (n_codebooks, n_prototypes, core_ranks))
    series = series_of(field, right.shape, *sizes)
    tiles = tiles_of(field, right.shape, np.atleast_1d(tile_ranks).tolist())
    field.enter(EXACT, exact)
    try:
        search(field, inputs, series, tiles, others or {}, wrap, time_limit, progress)
    except KeyboardInterrupt:
        field.left_out["the rest"] = "interrupted"
    field.time_again()
    best, fresh_loss = field.confirmed(confirm)
    return Selection(
        best=best,
        fresh_loss=fresh_loss,
        candidates=tuple(field.found),
        left_out=field.left_out,
        metric=name_of(metric),
        budget=float(budget),
        n_timed=n_timed,
    )


def _check_asked(metric: Metric, k: int, budget: float, n_timed: int, n_outputs: int) -> bool:
    """Return whether winners are asked for, once all that is asked is known to be possible."""
    if n_timed < 1:
        raise ValueError(f"n_timed must be 1 or more, not {n_timed}")
    if not budget >= 0:
        raise ValueError(f"budget must not be negative, but is {budget}")
    name_of(metric)
    if metric != "topk" and k != 1:
        raise ValueError('k is for metric="topk"')
    if not 1 <= k <= n_outputs:
        raise ValueError(f"k must be from 1 to {n_outputs}, not {k}")
    if metric in ("agreement", "argmax") and n_outputs == 1:
        raise ValueError('one output has no arg-max to agree on: use metric="nmse"')
    return metric in ("argmax", "topk")


def _halves(n_rows: int, random_state: int) -> list[NDArray[np.intp]]:
    """Return the indices of two halves of the rows, divided at random."""
    order = np.random.default_rng(random_state).permutation(n_rows)
    return [np.sort(half) for half in np.array_split(order, 2)]


def _as_it_is(product: Way) -> Way:
    """Return a product unchanged, because all its outputs are asked for."""
    return product


def _made(folder: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder for models, made if it is not there."""
    if folder is None:
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def _split(
    rows: NDArray[Any], validation: ArrayLike | None, targets: ArrayLike | None, random_state: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return the rows to learn from, the rows to judge by, and the targets of the latter."""
    known = None if targets is None else np.asarray(targets)
    judged = rows if validation is None else as_training_matrix("validation", validation)
    if known is not None and len(known) != len(judged):
        raise ValueError(f"targets must be those of {len(judged)} rows, not {len(known)}")
    if validation is None:
        order = np.random.default_rng(random_state).permutation(len(rows))
        n_held = len(rows) // settings.VALIDATION_PART
        held, kept = order[:n_held], order[n_held:]
        rows, judged, known = rows[kept], rows[held], None if known is None else known[held]
    least = settings.LEAST_VALIDATION_ROWS
    if len(judged) < least or judged.shape[1] != rows.shape[1]:
        raise ValueError(
            f"validation, or a quarter of A_train without it, must be at least {least} rows "
            f"of {rows.shape[1]} columns, not {judged.shape}"
        )
    return rows, judged.astype(np.float32), known
