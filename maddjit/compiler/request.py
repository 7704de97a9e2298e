"""Requests: what a compilation is asked for, checked once for compile, emit, export and pickles."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from maddjit.arrays.checks import check_threads
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import Precision
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler import llvm
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.platforms import SYSTEMS
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.target import (
    ENVIRONMENT_VARIABLE,
    Target,
    TargetError,
    missing_features,
    named,
    resolve,
)
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList
from maddjit.models.strassen_tile import StrassenTileModel

What = Literal["outputs", "argmax", "topk"]
"""Results that users ask for: approximate outputs, or the exact largest ones of each row."""

Use = Literal["run", "export", "show"]
"""What becomes of the code: it runs in this process, goes to a linker, or is only read."""


@dataclass(frozen=True)
class Request:
    """A checked request for a compilation; `ask` and `ask_kernel` make it.

    A pickled request names its feature level as the user did. Where it is unpickled, that level is
    looked up anew: without a name it is the best one of that machine.

    Attributes
    ----------
    model : MaddnessModel or StrassenTileModel
    target : Target
        The feature level that the code is for, with everything that the signature needs.
    signature : Signature
        The kernel that is compiled first.
    is_argmax : bool
        Whether winners are one index for each row, (N,), rather than an array (N, k).
    coverage : float or None
        The probability with which exact winners are named; None for everything else.
    choices : Choices
        What the planner is told instead of following its rules.
    threads : int
        How many threads share the rows of a call, at most.
    level : str or None
        The feature level's name as the user gave it.
    """

    model: MaddnessModel | StrassenTileModel
    target: Target
    signature: Signature
    is_argmax: bool = False
    coverage: float | None = None
    choices: Choices = RULES
    threads: int = 1
    level: str | None = None

    @property
    def what(self) -> What:
        """The result that was asked for, in the words of `maddjit.compile`."""
        if self.signature.result != "winners":
            return "outputs"
        return "argmax" if self.is_argmax else "topk"

    def plan(self) -> Plan | TilePlan:
        """Return the plan of the kernel."""
        if isinstance(self.model, StrassenTileModel):
            return make_tile_plan(self.model, self.target, self.signature, self.choices)
        return make_plan(self.model, self.target, self.signature, self.choices)

    def lists(self, plan: Plan | TilePlan) -> Lists | None:
        """Return the short-list arguments of a planned kernel; None if it has no short lists."""
        return lists_of(self.model, plan, self.coverage) if self.coverage is not None else None

    def __reduce__(self) -> tuple[Callable[..., Request], tuple[Any, ...]]:
        fields = (self.model, self.signature, self.is_argmax, self.coverage)
        return _asked_again, (*fields, self.choices, self.threads, self.level)


def ask(
    fitted: object,
    level: str | None,
    *,
    use: Use,
    system: str | None = None,
    result: str = "outputs",
    k: int | None = None,
    coverage: float = 0.999,
    dtype: str = "float32",
    order: Order = "C",
    out_order: OutOrder = "C",
    epilogue: Epilogue | None = None,
    precision: Precision = "float32",
    residual: bool = False,
    choices: Choices | None = None,
    threads: int = 1,
    is_tuned: bool = False,
) -> Request:
    """Check what a user asks for, and return it as a request.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or StrassenTileModel
    level : str or None
        Name of the feature level. Without one the environment variable MADDJIT_TARGET chooses, else
        it is the best level of this machine.
    use : {"run", "export", "show"}
        Code that runs must find its features here; exported code may be for another machine, and
        code that is shown is always for the level itself, whatever this machine is.
    system : str, optional
        The operating system of exported code.
    is_tuned : bool
        Whether the planner's choices are going to be found by timing.
    result, k, coverage, dtype, order, out_order, epilogue, precision, residual, choices, threads
        As for `maddjit.compile` and `maddjit.export`.

    Returns
    -------
    Request

    Raises
    ------
    TargetError
        If the level or the system is unknown, or the level lacks what was asked for, or code that
        is to run here needs a feature that this machine lacks.
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    TypeError, ValueError
        If `fitted` is not a model, or options are unknown, contradict each other, or are not for
        this kind of model.
    """
    if result not in get_args(What):
        raise ValueError(f'result must be "outputs", "argmax" or "topk", not {result!r}')
    target = target_of(level, use, system)
    model = _model_of(fitted, precision, residual)
    is_outputs, is_argmax = result == "outputs", result == "argmax"
    if isinstance(model, StrassenTileModel):
        if not is_outputs or k is not None or out_order != "C" or is_tuned:
            raise ValueError(
                "a Strassen-Tile model has outputs alone, by rows, and nothing to tune: leave out "
                "result, k, out_order and tune"
            )
    elif not is_outputs and (epilogue is not None or out_order != "C" or is_tuned):
        raise ValueError("epilogue, out_order and tune are for outputs, not for winners")
    if k is not None and (is_outputs or (is_argmax and k != 1)):
        raise ValueError('k is for result="topk"')
    if is_tuned and choices is not None:
        raise ValueError("choices leave nothing to tune: give tune or choices, not both")
    signature = Signature(
        dtype,
        order,
        "outputs" if is_outputs else "winners",
        epilogue or Epilogue(),
        out_order,
        precision=precision,
        residual=residual,
    )
    k = 1 if is_argmax else k
    found = ask_kernel(model, target, signature, choices or RULES, k=k, coverage=coverage)
    request = replace(found, is_argmax=is_argmax, threads=check_threads(threads), level=level)
    return _can_run(request) if use == "run" else request


def ask_kernel(
    fitted: object,
    target: Target,
    signature: Signature,
    choices: Choices = RULES,
    *,
    k: int | None = None,
    coverage: float = 0.999,
) -> Request:
    """Return the request for one kernel, its signature completed for the model.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or StrassenTileModel
    target : Target
        A level; products of bfloat16 are added to it if the signature needs them.
    signature : Signature
        For winners, k is taken from the model.
    choices : Choices
    k : int, optional
        How many winners the model must be calibrated for.
    coverage : float
        For winners, the coverage that the rows of calibration must vouch for.

    Raises
    ------
    TargetError
        If the target lacks what the signature needs.
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    TypeError, ValueError
        If `fitted` is not a model, is not calibrated for k winners, or lacks what is asked of it.
    """
    request = _kernel(fitted, target, signature, choices, k)
    if signature.result != "winners" or isinstance(request.model, StrassenTileModel):
        return request
    _calibrated(request.model, k).margin(coverage)
    return replace(request, coverage=coverage)


def plan_of(
    fitted: object, target: Target, signature: Signature, choices: Choices = RULES
) -> Plan | TilePlan:
    """Return the plan of one kernel of a model, for any coverage.

    Parameters and errors are those of `ask_kernel`.
    """
    return _kernel(fitted, target, signature, choices).plan()


def lists_of(fitted: object, plan: Plan | TilePlan, coverage: float) -> Lists | None:
    """Return the short-list arguments of a plan's kernel; None if it has no short lists.

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


def target_of(level: str | None, use: Use, system: str | None = None) -> Target:
    """Return the target that a level's name stands for; parameters are those of `ask`.

    Raises
    ------
    TargetError
        If the level or the system is unknown, or this machine cannot run code that is to run here.
    """
    if use == "show" and level is not None:
        return named(level)
    level = level or os.environ.get(ENVIRONMENT_VARIABLE) or None
    host = llvm.host()
    if use != "export":
        return resolve(level, host)
    found = resolve(None, host) if level in (None, "host") else named(level)
    return found.for_linkers(system or (host.system if host.system in SYSTEMS else None))


def _model_of(fitted: object, precision: str, residual: bool) -> MaddnessModel | StrassenTileModel:
    """Return a model as a record, and refuse options that its kind does not have."""
    if isinstance(fitted, StrassenTileModel):
        return fitted
    if precision != "float32" or residual:
        raise ValueError("precision and residual are for Strassen-Tile models")
    return MaddnessModel.of(fitted)


def _kernel(
    fitted: object, target: Target, signature: Signature, choices: Choices, k: int | None = None
) -> Request:
    """Return the request for one kernel as `ask_kernel` does, without a coverage."""
    model = _model_of(fitted, signature.precision, signature.residual)
    if isinstance(model, StrassenTileModel):
        if replace(choices, row_block=None) != RULES:
            raise ValueError(
                f"a Strassen-Tile kernel has a choice of row_block alone, not {choices}"
            )
        if signature.epilogue.arithmetic == "integer":
            raise ValueError("a Strassen-Tile model has no sums to be requantised in integers")
        if signature.precision == "bfloat16" and not target.bfloat16_products:
            target = target.with_bfloat16()
    elif signature.result == "winners":
        signature = replace(signature, k=_calibrated(model, k).k)
    return Request(model, target, signature, choices=choices)


def _can_run(request: Request) -> Request:
    """Return a request if this machine has what its precision needs; its level runs here."""
    if missing := missing_features(request.target, llvm.host()):
        precision, lacked = request.signature.precision, ", ".join(missing)
        raise TargetError(f'precision="{precision}" needs {lacked}, which this machine lacks')
    return request


def _asked_again(
    model: MaddnessModel | StrassenTileModel,
    signature: Signature,
    is_argmax: bool,
    coverage: float | None,
    choices: Choices,
    threads: int,
    level: str | None,
) -> Request:
    """Return a request that was pickled, for the machine where it is unpickled."""
    found = _kernel(model, target_of(level, "run"), signature, choices)
    return _can_run(
        replace(found, is_argmax=is_argmax, coverage=coverage, threads=threads, level=level)
    )


def _calibrated(model: MaddnessModel, k: int | None) -> ShortList:
    """Return the short list that names the k exact winners."""
    short = model.short_list
    if short is None:
        raise ValueError("the model has no short list: maddjit.calibrate(model, A, B) first")
    if k not in (None, short.k):
        raise ValueError(
            f"the model is calibrated for k={short.k}, not {k}: "
            f"maddjit.calibrate(model, A, B, k={k})"
        )
    return short
