"""`fit`: the way from sample rows and B to a model, with its error on rows kept back."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from maddjit import reference
from maddjit.arrays.checks import check_random_state
from maddjit.learning.accuracy import lost_too_much, named_too_few, warn_useless
from maddjit.learning.maddness import best, paper, settings
from maddjit.learning.maddness.byte_groups import rounded_model
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Method, OnInterrupt, Options, Prototypes, TableScale
from maddjit.learning.maddness.report import report_on
from maddjit.learning.maddness.rounding import quantising_work
from maddjit.learning.progress import Progress, Steps, now, steps
from maddjit.learning.task import Task, training_arrays
from maddjit.learning.winners import argmax
from maddjit.models.fit_report import FitReport, Objective
from maddjit.models.maddness import Accumulate, MaddnessModel
from maddjit.version import __version__


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
        n_codebooks=n_codebooks,
        n_prototypes=n_prototypes,
        method=method,
        core_rank=core_rank,
        prototypes=prototypes,
        accumulate=accumulate,
        table_scale=table_scale,
        byte_group=byte_group,
        n_candidates=n_candidates,
        penalty=penalty,
        on_interrupt=on_interrupt,
        objective=objective,
    )
    check_random_state(random_state)
    rows, right, added = training_arrays(A_train, B, bias)
    options.check_columns(len(right))
    task = Task.of(rows, right, added, validation, random_state, settings.MAX_JUDGED)
    _check_range(task)
    with steps(progress, _n_steps(options), "maddjit.fit", time_limit, start) as advance:
        with advance.reserved("algebra", quantising_work(options, *task.product.shape[::-1])):
            learned, sharpness = _learned(task, options, random_state, advance)
        model = rounded_model(learned, task, options, sharpness, advance)
        advance()
    report = _report(model, task, options, random_state)
    if fault := _fault(report):
        remedy = "raise n_codebooks or n_prototypes, or keep the exact product"
        warn_useless(fault, report.held_out, remedy)
    return replace(model, report=report)


def _check_range(task: Task) -> None:
    """Refuse a product that float32 cannot hold."""
    largest = float(np.abs(task.exact).max())
    if largest > float(np.finfo(np.float32).max):
        raise ValueError(f"A_train @ B + bias reaches {largest:.3g}, which float32 cannot hold")


def _n_steps(options: Options) -> int:
    """Return how many steps a fit takes, at most."""
    n_steps = best.N_STEPS if options.method == "best" else paper.n_steps(options)
    return n_steps + (argmax.N_STEPS if options.objective == "argmax" else 0)


def _learned(
    task: Task, options: Options, random_state: int, advance: Steps
) -> tuple[Learned, float | None]:
    """Return trees and real tables, and the β of the loss if tables were tuned for winners."""
    if options.method == "best":
        learned = best.learn(task.train, task.B, options, random_state, advance)
    else:
        learned = paper.learn(task.train, task.B, options, advance)
    if options.objective == "product":
        return learned, None
    return argmax.tune(learned, task.train, task.B, task.bias, options, random_state, advance)


def _report(model: MaddnessModel, task: Task, options: Options, random_state: int) -> FitReport:
    """Return the error of the model on the rows to judge by, and how the model was made."""
    report = report_on(reference.apply(model, task.judged), task, options.objective)
    terms = None
    if paper.is_bounded(options):
        terms = paper.bound_terms(model, task.train, task.B, task.bias, options.penalty)
    n_rows, n_features = task.train.shape
    told = ", ".join(f"{name}={value!r}" for name, value in vars(options).items())
    learned_by = (
        f"maddjit {__version__} fit on {n_rows} × {n_features} rows: {told}, "
        f"random_state={random_state}"
    )
    return replace(report, bound_terms=terms, learned_by=learned_by)


def _fault(report: FitReport) -> str:
    """Return why the model is of no use, or ``""`` if it may be."""
    if report.n_rows == 1:  # a single row tells nothing
        return ""
    if report.objective == "argmax":
        return named_too_few(report.agreement)
    return lost_too_much(report.lost_variance)
