"""`fit`: the way from sample rows and B to a model, with its error on rows kept back."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from maddjit import reference
from maddjit.arrays.checks import check_random_state
from maddjit.learning.accuracy import lost_too_much, named_too_few, warn_useless
from maddjit.learning.additive import learner as additive
from maddjit.learning.additive.choice import resolved
from maddjit.learning.maddness import best, paper, settings
from maddjit.learning.maddness.byte_groups import rounded_model
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import (
    EncoderKind,
    Method,
    OnInterrupt,
    Options,
    Prototypes,
    TableScale,
)
from maddjit.learning.maddness.report import fit_report_on
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
    encoder: EncoderKind = "trees",
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
    """Learn an encoder and look-up tables that approximate ``A @ B + bias``.

    The encoder gives each row C codes below K. By default it consists of C hash trees with K leaves
    each. The columns of A are divided into C blocks, and in each block a tree compares a few of a
    row's entries with thresholds. A table holds what each code adds to each output. The result for
    a row is the sum of C table entries for each output.

    Parameters
    ----------
    A_train : (N, D) array_like
        Rows like those that will be multiplied; finite.
    B : (D, M) array_like
        The fixed right-hand side.
    n_codebooks : int
        C, the number of codes of a row, each with its own table. More is more accurate and slower.
        Each tree sees a block of about D/C columns; C need not divide D.
    n_prototypes : int
        K, the number of different codes: a power of two from 2 to 256. More is more accurate, but
        needs more rows to learn from and larger tables.
    encoder : {"trees", "additive", "auto"}
        "trees" are hash trees. They cost next to nothing, and each looks at a few columns.
        "additive" are codes of all columns at once: C sets of K prototypes, of which the nearest to
        a row is taken from the first set, the nearest to what is left from the second, and so on.
        They cost a small product in 8 bits, and the error is often half of that of trees. "auto"
        takes additive codes where they are predicted to be faster than three times as many trees,
        whose error is about the same: where B has several hundred columns, or more than a
        thousand. The prediction knows D, M, C and K alone; `report.learned_by` says what was taken,
        and why.
    method : {"best", "paper"}
        "best" learns for this B: it chooses the blocks of columns, grows trees on what their block
        adds to A·B, and refits trees and tables in turns. Of these steps it keeps those that lower
        the error on a fifth of the rows, which it sets apart for that. "paper" is the algorithm of
        Blalock & Guttag, ICML 2021: contiguous blocks, trees that know A alone, one regression.
    objective : {"product", "argmax"}
        "product" approximates all outputs. "argmax" then tunes the tables, not the trees, so that
        each row's largest output is named (``op.argmax``, and short lists by ``op.topk``). The
        outputs are scores then: they rank well, but differ from ``A @ B + bias`` by more. A fifth
        of the rows, 2000 at most, are set apart to choose by. If nothing is better on them, the
        tables stay as they were.
    core_rank : int
        r, from 0 to 64. An exact product of rank r, ``(A @ U) @ V``, is computed beside the tables.
        It takes the r directions in which the outputs vary most, which costs r · (D + M)
        multiply-adds a row.
    bias : (M,) array_like, optional
        Added to the product. The model carries it as `model.bias`.
    accumulate : {"exact", "average"}
        How the C entries of an output are summed: by exact integer sums, or by the paper's tree of
        rounding averages, whose bias is corrected.
    table_scale : {"per-output", "global", "power-of-two"}
        What a unit of the 8-bit entries stands for: a number of its own for each output, one
        number for all outputs, or one power of two for all, as in the paper.
    byte_group : int or "auto"
        How many neighbouring codebooks have entries that add up to a byte at most. A larger group
        is faster and coarser. "auto" takes the largest of C, C/2, C/4 … 1 whose squared error, on
        up to 512 of the rows kept back, is within 2 % of that of 1. Averages always fit a byte, so
        only "auto" and 1 are allowed for them.
    prototypes : {"ridge", "bucket-means"}
        For "paper": what a code stands for. "ridge" is a joint ridge regression over all columns
        (MADDNESS, section 4.2); "bucket-means" is the mean of the rows with that code, over the
        columns of the block (MADDNESS-PQ).
    n_candidates : int or None
        For "paper": how many columns are tried at each level of a tree (4 in the paper). None tries
        the whole block.
    penalty : float
        For "paper": λ, the penalty of the ridge regression, at least 1e-6.
    validation : float or (N', D) array_like
        The share of A_train to keep back for the report, or other rows for it. Kept-back rows are
        chosen at random. With 0, or fewer than 20 rows, none are kept back and training rows are
        reported on. A single row has no variance: its NMSE is NaN.
    random_state : int
        Seed of all that is drawn at random: the rows kept back and, for "best" and "argmax", the
        rows set apart, synthetic rows and blocks.
    time_limit : float, optional
        About how many seconds the whole fit may take. Later steps are predicted from measured ones,
        and what there is no time for is left out: choices, trees that are grown again on all rows,
        passes, tuning, the joint rounding of entries, and byte groups. What remains, trees and
        regressions, takes as long as it takes. "paper" can only leave out byte groups.
    on_interrupt : {"finish", "raise"}
        What Ctrl-C does. "finish" leaves out what remains to be chosen, refitted or tuned and
        returns a model, if the interrupt comes while "best" chooses or refits, while additive codes
        are improved once there are any, or while "argmax" tunes. At other times, and with "raise"
        at any time, the fit ends with KeyboardInterrupt.
    progress : bool or callable
        True shows a bar, which needs tqdm. A function is called with (steps done, steps in all). If
        it returns False, nothing more is chosen or tuned.

    Returns
    -------
    MaddnessModel
        With `report`, its error on the rows kept back.

    Raises
    ------
    ValueError
        If an entry is NaN or infinite (the message names row and column), A @ B + bias is beyond
        the range of float32, shapes do not fit, n_codebooks exceeds D for trees, or an option is
        not one of those above.
    TypeError
        If an array does not hold real numbers, or a size is not a whole number.

    Warns
    -----
    AccuracyWarning
        If half or more of the outputs' variance is lost on the rows kept back; for
        objective="argmax", if fewer than half of their winners are named.

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
        encoder=encoder,
    )
    check_random_state(random_state)
    rows, right, added = training_arrays(A_train, B, bias)
    options.check_columns(len(right))
    options, why = resolved(options, *right.shape)
    task = Task.of(rows, right, added, validation, random_state, settings.MAX_JUDGED)
    _check_range(task)
    with steps(progress, _n_steps(options), "maddjit.fit", time_limit, start) as advance:
        with advance.reserved("algebra", quantising_work(options, *task.product.shape[::-1])):
            learned, sharpness = _learned(task, options, random_state, advance)
        model = rounded_model(learned, task, options, sharpness, advance)
        advance()
    report = _report(model, task, options, random_state, why)
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
    if options.encoder == "additive":
        n_steps = additive.N_STEPS
    else:
        n_steps = best.N_STEPS if options.method == "best" else paper.n_steps(options)
    return n_steps + (argmax.N_STEPS if options.objective == "argmax" else 0)


def _learned(
    task: Task, options: Options, random_state: int, advance: Steps
) -> tuple[Learned, float | None]:
    """Return an encoder and real tables, and the β of the loss if tables were tuned for winners."""
    if options.encoder == "additive":
        learned = additive.learn(task.train, task.B, options, random_state, advance)
    elif options.method == "best":
        learned = best.learn(task.train, task.B, options, random_state, advance)
    else:
        learned = paper.learn(task.train, task.B, options, advance)
    if options.objective == "product":
        return learned, None
    return argmax.tune(learned, task.train, task.B, task.bias, options, random_state, advance)


def _report(
    model: MaddnessModel, task: Task, options: Options, random_state: int, why: str
) -> FitReport:
    """Return the error of the model on the rows to judge by, and how the model was made."""
    report = fit_report_on(reference.apply(model, task.judged), task, options.objective)
    terms = None
    if paper.is_bounded(options):
        terms = paper.bound_terms(model, task.train, task.B, task.bias, options.penalty)
    n_rows, n_features = task.train.shape
    told = ", ".join(f"{name}={value!r}" for name, value in vars(options).items())
    learned_by = (
        f"maddjit {__version__} fit on {n_rows} × {n_features} rows: {told}, "
        f"random_state={random_state}{f' (auto: {why})' if why else ''}"
    )
    return replace(report, bound_terms=terms, learned_by=learned_by)


def _fault(report: FitReport) -> str:
    """Return why the model is of no use, or ``""`` if it may be."""
    if report.n_rows == 1:  # a single row tells nothing
        return ""
    if report.objective == "argmax":
        return named_too_few(report.agreement)
    return lost_too_much(report.lost_variance)
