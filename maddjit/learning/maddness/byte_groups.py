"""Rounds learned tables to an 8-bit model whose neighbouring entries add up to a byte."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness import settings
from maddjit.learning.maddness.learned import Learned
from maddjit.learning.maddness.options import Options
from maddjit.learning.maddness.rounding import Rounding, quantising_work
from maddjit.learning.maddness.tables import quantise, some_codes
from maddjit.learning.progress import Steps
from maddjit.learning.ranking import divergence
from maddjit.learning.task import Task
from maddjit.models.core import LowRankCore
from maddjit.models.maddness import MaddnessModel


def rounded_model(
    learned: Learned, task: Task, options: Options, sharpness: float | None, advance: Steps
) -> MaddnessModel:
    """Return the model with 8-bit tables, in the largest byte groups that cost little accuracy.

    The entries of the codebooks of a group add up to a byte. "auto" takes the largest group of C,
    C/2, C/4 … 1 codebooks whose squared error, on up to 512 of the rows to judge by, is within 2 %
    of that of groups of 1. If tables were tuned for winners, `sharpness` is the β of the loss that
    they were tuned by, and this loss takes the place of the squared error. Without time, each entry
    is rounded to nearest and no groups are tried.
    """
    rounding = _rounding(learned, task, options, advance)
    codes = some_codes(learned, task.train) if options.accumulate == "average" else None
    with_group = partial(_with_group, learned, task, options, rounding, codes)
    if options.byte_group != "auto":
        return with_group(options.byte_group)
    few = slice(None, None, -(-len(task.judged) // settings.COMPARED_GROUP_ROWS))
    rows, exact = task.judged[few], task.exact[few]
    with advance.measured("tables", 1), advance.measured("look-up", len(rows)):
        finest = with_group(1)
        least = _loss(finest, rows, exact, sharpness)
    if options.accumulate == "average":  # averages always fit a byte
        return finest
    group = options.n_codebooks
    with advance.reserved("look-up", len(task.judged)):
        while group > 1 and advance.in_time(advance.predicted("tables", 1)):
            coarser = with_group(group)
            if _loss(coarser, rows, exact, sharpness) <= settings.BYTE_GROUP_TOLERANCE * least:
                return coarser
            group //= 2
    return finest


def _rounding(learned: Learned, task: Task, options: Options, advance: Steps) -> Rounding | None:
    """Return the rounding of entries together, or None if they are rounded one by one."""
    if learned.gram is None or len(learned.gram) > settings.MAX_TOGETHER:
        return None
    work = quantising_work(options, len(task.bias), len(task.judged))
    in_time = options.accumulate == "exact" and advance.in_time(advance.predicted("algebra", work))
    return Rounding.of(learned.gram, options.n_prototypes) if in_time else None


def _with_group(
    learned: Learned,
    task: Task,
    options: Options,
    rounding: Rounding | None,
    codes: NDArray[np.uint8] | None,
    group: int,
) -> MaddnessModel:
    """Return the model in which entries of `group` neighbouring codebooks add up to a byte."""
    entries, scale, offset = quantise(
        learned.tables,
        learned.base + task.bias,
        scale=options.table_scale,
        accumulate=options.accumulate,
        byte_group=group,
        rounding=rounding,
        codes=codes,
    )
    return MaddnessModel(
        learned.encoder,
        tables=entries,
        scale=scale,
        offset=offset,
        accumulate=options.accumulate,
        core=LowRankCore(*learned.core) if learned.core else None,
        bias=task.bias,
    )


def _loss(
    model: MaddnessModel, rows: NDArray[Any], exact: NDArray[Any], sharpness: float | None
) -> float:
    """Return the loss of a model on these rows, by which groups are compared."""
    outputs = reference.apply(model, rows)
    if sharpness is not None:
        return divergence(outputs, exact, sharpness)
    return float(np.mean((outputs - exact) ** 2))
