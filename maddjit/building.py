"""One kernel, all the way: plan → render → native; or its text, for any target."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import Literal

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler import cache, llvm
from maddjit.compiler.fingerprint import plan_key
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.render import render
from maddjit.compiler.signature import RULES, Choices, Order, OutOrder, Precision, Result, Signature
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.target import Target, named
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.kernel import Kernel, P

logger = logging.getLogger(__name__)


def build(
    model: MaddnessModel, target: Target, signature: Signature, choices: Choices = RULES
) -> Kernel[Plan]:
    """Take one kernel through every stage, and note the seconds that each took."""
    return _built(partial(make_plan, model, target, signature, choices), target)


def build_tiles(
    model: StrassenTileModel, target: Target, signature: Signature, choices: Choices = RULES
) -> Kernel[TilePlan]:
    """Do so for a Strassen-Tile model."""
    return _built(partial(make_tile_plan, model, target, signature, choices), target)


def _built(make: Callable[[], P], target: Target) -> Kernel[P]:
    seconds: dict[str, float] = {}
    last = perf_counter()

    def passed(phase: str) -> None:
        nonlocal last
        now = perf_counter()
        seconds[phase], last = now - last, now

    plan = make()
    passed("plan")
    key = plan_key(plan)
    code = cache.read(key)
    passed("cache")
    if code is None:
        ir = render(plan)
        passed("render")
        code = llvm.to_object(ir, target)
        passed("llvm")
        cache.write(key, code)
        passed("keep")
    function = llvm.load(code, plan.symbol, target)
    passed("load")
    logger.debug("compiled %s: %s", plan.symbol, seconds)
    return Kernel(plan, len(code), function, MappingProxyType(seconds))


def calibrated(model: MaddnessModel, result: str, k: int | None) -> ShortList:
    """Return the short list that names the winners asked for."""
    short = model.short_list
    if short is None:
        raise ValueError("the model has no short list: maddjit.calibrate(model, A, B) first")
    wanted = k if result == "topk" and k is not None else 1 if result == "argmax" else short.k
    if result == "argmax" and k not in (None, 1):
        raise ValueError('k is for result="topk"')
    if wanted != short.k:
        raise ValueError(
            f"the model is calibrated for k={short.k}, not {wanted}: "
            f"maddjit.calibrate(model, A, B, k={wanted})"
        )
    return short


def plan_of(
    fitted: object,
    target: Target,
    signature: Signature,
    choices: Choices = RULES,
    result: str = "topk",
    k: int | None = None,
) -> Plan | TilePlan:
    """Plan a model's kernel; for winners complete the signature by what it is calibrated for.

    Raises
    ------
    TypeError, ValueError
        If `fitted` is not a model, or is not calibrated for the k winners that `result` names.
    TargetError
        If the target lacks what the signature needs.
    """
    if isinstance(fitted, StrassenTileModel):
        target = target.with_bfloat16() if signature.precision == "bfloat16" else target
        return make_tile_plan(fitted, target, signature, choices)
    model = MaddnessModel.of(fitted)
    if signature.result == "winners":
        signature = replace(signature, k=calibrated(model, result, k).k)
    return make_plan(model, target, signature, choices)


def lists_of(fitted: object, plan: Plan | TilePlan, coverage: float) -> Lists | None:
    """Return what calls of a plan's kernel are to say of short lists, if it has any.

    Raises
    ------
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    """
    if isinstance(plan, TilePlan) or plan.settle is None:
        return None
    model = MaddnessModel.of(fitted)
    assert model.short_list is not None
    return Lists.of(model.short_list, coverage, plan.row_block)


def emit(
    fitted: object,
    target: str,
    stage: Literal["template", "optimized", "assembly"] = "assembly",
    *,
    dtype: str = "float32",
    order: Order = "C",
    result: Result = "outputs",
    epilogue: Epilogue | None = None,
    out_order: OutOrder = "C",
    coverage: float = 0.999,
    precision: Precision = "float32",
) -> str:
    """Return the code for any target as text, without running it; this machine may lack it.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or StrassenTileModel
    target : str
        As for `compile`.
    stage : {"template", "optimized", "assembly"}
    dtype, order, result, epilogue, out_order
        Which kernel; `result` is "outputs", "sums", "codes", "argmax", or "winners" for the exact
        ones that the model is calibrated for; `out_order` is "C" or "F".
    coverage : float
        Of "winners", as for `compile`. The code is the same for all that calibration vouches for.
    precision : {"float32", "bfloat16"}
        Of a Strassen-Tile model.

    Raises
    ------
    TargetError
        If the target is unknown.
    ValueError
        If the target has no kernel for columns of results.
    NativeCodeError
        If LLVM cannot emit the code. It runs in a process of its own, because it may abort.
    """
    signature = Signature(
        dtype, order, result, epilogue or Epilogue(), out_order, precision=precision
    )
    plan = plan_of(fitted, named(target), signature)
    lists_of(fitted, plan, coverage)  # refuses a coverage that the model cannot vouch for
    ir = render(plan)
    if stage == "template":
        return ir
    if stage not in ("optimized", "assembly"):
        raise ValueError(f'stage must be "template", "optimized" or "assembly", not {stage!r}')
    return llvm.to_text_apart(ir, plan.target, stage)
