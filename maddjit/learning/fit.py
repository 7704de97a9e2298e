"""`fit`: the way from sample rows and B to a model, with its error on rows kept back."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit import reference
from maddjit.arrays.checks import as_bias, as_training_matrix, check_random_state
from maddjit.learning.held_out import describe, split
from maddjit.learning.maddness import best, paper
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Method, OnInterrupt, Options, Prototypes, TableScale
from maddjit.learning.maddness.rounding import MAX_COMPARED, MAX_TOGETHER, Rounding, quantising_work
from maddjit.learning.maddness.tables import quantise, some_codes
from maddjit.learning.progress import Progress, Steps, now, steps
from maddjit.learning.ranking import divergence
from maddjit.learning.winners import tuning
from maddjit.models.fit_report import BoundTerms, FitReport, Objective
from maddjit.models.maddness import Accumulate, LowRankCore, MaddnessModel
from maddjit.version import __version__

USELESS = 0.5
"""Share of the outputs' variance, or of the winners, that must not be lost on held-out rows."""

_BYTE_SUM_TOLERANCE = 1.02
"""Coarser tables are taken if they leave the squared error within this factor."""

_MAX_JUDGED = 4096
"""Training rows that are looked at for the report if none are kept back."""


class AccuracyWarning(UserWarning):
    """The fitted operator is so inaccurate on held-out rows that it should not be used."""


def fit(
    A_train: ArrayLike,
    B: ArrayLike,
    n_codebooks: int = 16,
    n_prototypes: int = 16,
    *,
    method: Method = "best",
    objective: Objective = "product",
    core_rank: int = 0,
    bias: ArrayLike | None = None,
    accumulate: Accumulate = "exact",
    table_scale: TableScale = "per-output",
    byte_group: int | Literal["auto"] = "auto",
    prototypes: Prototypes = "ridge",
    n_candidates: int | None = 4,
    penalty: float = 1.0,
    validation: float | ArrayLike = 0.1,
    random_state: int = 0,
    time_limit: float | None = None,
    on_interrupt: OnInterrupt = "finish",
    progress: Progress = False,
) -> MaddnessModel:
    """Learn hash trees and look-up tables that approximate ``A @ B + bias``.

    Parameters
    ----------
    A_train : (N, D) array_like
        Rows like those that will be multiplied; finite.
    B : (D, M) array_like
        The fixed right-hand side.
    n_codebooks : int
        C. Each codebook sees a block of about D/C columns; C need not divide D.
    n_prototypes : int
        K, leaves per tree: a power of two from 2 to 256.
    method : {"best", "paper"}
        "best" learns for the product: it chooses the blocks of columns, grows trees on what their
        block adds to A·B, refits trees and tables in turns, and keeps of these steps what lowers
        the error on a fifth of the rows, which it sets apart for that. "paper" is the algorithm of
        Blalock & Guttag, ICML 2021: contiguous blocks, trees that know A alone, one regression.
    objective : {"product", "argmax"}
        "product" approximates all outputs. "argmax" then tunes the tables, not the trees, for
        naming each row's largest output (``op.argmax``, short lists by ``op.topk``). Outputs are
        scores then: they rank, but differ from ``A @ B + bias`` by more. A fifth of the rows, 2000
        at most, are set apart to choose by; where nothing is better on them, tables stay.
    core_rank : int
        r, from 0 to 64: an exact product of that rank, ``(A @ U) @ V``, is computed beside the
        tables. It takes the r directions in which the outputs vary most, and r · (D + M) multiply-
        adds a row.
    bias : (M,) array_like, optional
        Added to the product. The model carries it, as `model.bias`.
    accumulate : {"exact", "average"}
        Exact integer sums, or the paper's tree of rounding averages with its bias correction.
    table_scale : {"per-output", "global", "power-of-two"}
        Steps of the 8-bit tables; the paper's is one power of two for all.
    byte_group : int or "auto"
        How many neighbouring codebooks are made to add up in 8 bits: more is faster and coarser.
        "auto" takes the most, of C, C/2, C/4 … 1, whose squared error on up to 512 of the rows
        kept back is within 2 % of that of 1. Not for averages, which always fit a byte.
    prototypes : {"ridge", "bucket-means"}
        For "paper": joint ridge regression over all columns (MADDNESS, section 4.2), or each
        bucket's mean over its block (MADDNESS-PQ).
    n_candidates : int or None
        For "paper": columns tried at each level of a tree (4 in the paper); None tries the whole
        block.
    penalty : float
        For "paper": λ of the ridge regression, at least 1e-6.
    validation : float or (N', D) array_like
        Share of A_train to keep back for the report, or rows for it. Kept-back rows are chosen at
        random; 0, or fewer than 20 rows, keeps none back. A single row has no variance: its NMSE
        is NaN.
    random_state : int
        Seed of that choice, and of what "best" and "argmax" draw: rows, synthetic rows, blocks.
    time_limit : float, optional
        Seconds that all of the fit may take, about. What must come after is predicted from what was
        measured; whatever there is no time for is left out: choices, trees that are grown again on
        all rows, passes, tuning, rounding together and byte groups. What is then left, trees and
        regressions, takes as long as it takes. "paper" can only leave out byte groups.
    on_interrupt : {"finish", "raise"}
        What Ctrl-C does. "finish": if it comes while "best" chooses or refits, or while "argmax"
        tunes, what is left of that is left out, and a model is returned;
        at other times, and after "raise" at any, the fit ends with KeyboardInterrupt.
    progress : bool or callable
        True shows a bar (needs tqdm), a function is called with (steps done, steps in all); if it
        returns False, nothing more is chosen or tuned.

    Returns
    -------
    MaddnessModel
        With `report`, its error on the rows kept back.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite (the message names row and column), A @ B is beyond the
        range of float32, shapes do not fit, n_codebooks exceeds D, or an option is not one of those
        above.
    TypeError
        If an array does not hold real numbers, or a size is not a whole number.

    Warns
    -----
    AccuracyWarning
        If half of the outputs' variance is lost on the rows kept back; for objective="argmax", if
        fewer than half of their winners are named.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((2000, 4)) @ rng.standard_normal((4, 32))
    >>> model = maddjit.fit(A, rng.standard_normal((32, 3)), n_codebooks=8)
    >>> bool(model.report.nmse < 0.1)
    True
    """
    start = now()
    options = Options(
        n_codebooks,
        n_prototypes,
        method,
        core_rank,
        prototypes,
        accumulate,
        table_scale,
        byte_group,
        n_candidates,
        penalty,
        on_interrupt,
        objective,
    )
    check_random_state(random_state)
    rows, right = as_training_matrix("A_train", A_train), as_training_matrix("B", B)
    n_features, n_outputs = right.shape
    if rows.shape[1] != n_features:
        raise ValueError(
            f"A_train has {rows.shape[1]} columns but B has {n_features} rows; they must agree"
        )
    if not 1 <= options.n_codebooks <= n_features:
        raise ValueError(
            f"n_codebooks must be from 1 to the number of columns, {n_features}, "
            f"not {options.n_codebooks}"
        )
    added = as_bias(bias, n_outputs)

    train, held, held_index = split(rows, validation, random_state)
    judged = train[:_MAX_JUDGED] if held is None else held
    product: NDArray[np.float64] = judged.astype(np.float64) @ right
    largest = float(np.abs(product + added).max())
    if largest > float(np.finfo(np.float32).max):
        raise ValueError(f"A_train @ B + bias reaches {largest:.3g}, which float32 cannot hold")
    total = best.N_STEPS if options.method == "best" else options.n_codebooks + 1
    total += tuning.N_STEPS if objective == "argmax" else 0
    with steps(progress, total, "maddjit.fit", time_limit, start) as advance:
        with advance.reserved("algebra", quantising_work(options, n_outputs, len(judged))):
            if options.method == "best":
                learned = best.learn(train, right, options, random_state, advance)
            else:
                learned = paper.learn(train, right, options, advance)
            sharpness = None
            if objective == "argmax":
                learned, sharpness = tuning.tune(
                    learned, train, right, added, options, random_state, advance
                )
        model = _quantised(
            learned, added, options, train, judged, product + added, sharpness, advance
        )
        advance()
    outputs = reference.apply(model, judged)
    report = describe(outputs, product, added, held_index, held is not None, objective)
    proven = options.method == "paper" and objective == "product"
    if proven and n_prototypes == 16 and prototypes == "ridge":
        report = replace(report, bound_terms=_bound_terms(model, train, right, added, options))
    if reason := _why_useless(report):
        warnings.warn(
            f"this operator {reason} {'held-out' if held is not None else 'training'} rows and "
            "should not be used; raise n_codebooks or n_prototypes, or keep the exact product",
            AccuracyWarning,
            stacklevel=2,
        )
    told = ", ".join(f"{name}={value!r}" for name, value in vars(options).items())
    learned_by = (
        f"maddjit {__version__} fit on {len(train)} × {n_features} rows: {told}, "
        f"random_state={random_state}"
    )
    return replace(model, report=replace(report, learned_by=learned_by))


def _why_useless(report: FitReport) -> str:
    if report.n_rows == 1:  # which tells nothing
        return ""
    if report.objective == "argmax":
        named = report.agreement
        return f"names the exact winner on {named:.0%} of" if named < USELESS else ""
    lost = report.lost_variance
    return f"loses {min(lost, 1):.0%} of the variance of A @ B on" if lost >= USELESS else ""


def _bound_terms(
    model: MaddnessModel,
    rows: NDArray[Any],
    B: NDArray[Any],
    added: NDArray[Any],
    options: Options,
) -> BoundTerms:
    A = rows.astype(np.float64)
    wide = A if len(A) < A.shape[1] else A.T
    errors = reference.apply(model, rows) - added - A @ B
    return BoundTerms(
        n_rows=len(rows),
        n_features=rows.shape[1],
        n_codebooks=options.n_codebooks,
        penalty=options.penalty,
        largest_singular_value=float(np.sqrt(np.linalg.eigvalsh(wide @ wide.T)[-1])),
        norms=np.linalg.norm(B.astype(np.float64), axis=0),
        training_error=np.abs(errors).mean(axis=0),
    )


def _quantised(
    learned: Learned,
    added: NDArray[np.float64],
    options: Options,
    train: NDArray[Any],
    judged: NDArray[Any],
    exact: NDArray[np.float64],
    sharpness: float | None,
    advance: Steps,
) -> MaddnessModel:
    """Return the model with 8-bit tables whose neighbours add up in a byte as far as that is free.

    "auto" takes the largest group of C, C/2, C/4 … 1 codebooks whose squared error, on up to 512 of
    the judged rows, is within 2 % of that of groups of 1. With `sharpness`, that of the loss which
    tables were tuned by, this loss takes the place of the squared error. Without time entries are
    rounded to nearest, each for itself, and no groups are tried.
    """
    few = slice(None, None, -(-len(judged) // MAX_COMPARED))
    core = LowRankCore(*learned.core) if learned.core else None
    rounding = None
    if (
        learned.gram is not None
        and len(learned.gram) <= MAX_TOGETHER
        and options.accumulate == "exact"
        and advance.in_time(
            advance.predicted("algebra", quantising_work(options, len(added), len(judged)))
        )
    ):
        rounding = Rounding.of(learned.gram, options.n_prototypes)
    codes = some_codes(learned, train) if options.accumulate == "average" else None

    def with_group(group: int) -> MaddnessModel:
        entries, scale, offset = quantise(
            learned.tables,
            learned.base + added,
            scale=options.table_scale,
            accumulate=options.accumulate,
            byte_group=group,
            rounding=rounding,
            codes=codes,
        )
        return MaddnessModel(
            split_dims=learned.split_dims,
            thresholds=learned.thresholds,
            tables=entries,
            scale=scale,
            offset=offset,
            n_features=judged.shape[1],
            accumulate=options.accumulate,
            core=core,
            bias=added,
        )

    def loss(model: MaddnessModel) -> float:
        outputs = reference.apply(model, judged[few])
        if sharpness is not None:
            return divergence(outputs, exact[few], sharpness)
        return float(np.mean((outputs - exact[few]) ** 2))

    if options.byte_group != "auto":
        return with_group(options.byte_group)
    with advance.measured("tables", 1), advance.measured("look-up", len(judged[few])):
        finest = with_group(1)
        least = loss(finest)
    if options.accumulate == "exact":
        group = options.n_codebooks
        with advance.reserved("look-up", len(judged)):
            while group > 1 and advance.in_time(advance.predicted("tables", 1)):
                coarser = with_group(group)
                if loss(coarser) <= _BYTE_SUM_TOLERANCE * least:
                    return coarser
                group //= 2
    return finest
