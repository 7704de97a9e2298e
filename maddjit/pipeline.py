"""The whole way from a model to a callable: target → plan → render → native → operator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import as_array
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, float32_to_bfloat16
from maddjit.building import build, build_tiles, calibrated
from maddjit.compiler import llvm
from maddjit.compiler.signature import RULES, Choices, Order, Precision, Signature
from maddjit.compiler.target import BFLOAT16, ENVIRONMENT_VARIABLE, Target, TargetError, resolve
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.maddness import CompiledOperator
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.tuning import CANDIDATES, fastest
from maddjit.operators.winners import WinnerOperator


@overload
def compile(  # type: ignore[overload-overlap]  # other models are any objects with their arrays
    fitted: StrassenTileModel,
    target: str | None = None,
    *,
    dtype: str = "float32",
    order: Order = "C",
    epilogue: Epilogue | None = None,
    precision: Precision = "float32",
    residual: bool = False,
    threads: int = 1,
    choices: Choices | None = None,
) -> TileOperator: ...


@overload
def compile(
    fitted: object,
    target: str | None = None,
    *,
    result: Literal["outputs"] = "outputs",
    dtype: str = "float32",
    order: Order = "C",
    epilogue: Epilogue | None = None,
    threads: int = 1,
    tune: bool | NDArray[Any] = False,
    choices: Choices | None = None,
) -> CompiledOperator: ...


@overload
def compile(
    fitted: object,
    target: str | None = None,
    *,
    result: Literal["argmax", "topk"],
    k: int | None = None,
    coverage: float = 0.999,
    dtype: str = "float32",
    order: Order = "C",
    threads: int = 1,
    choices: Choices | None = None,
) -> WinnerOperator: ...


def compile(
    fitted: object,
    target: str | None = None,
    *,
    result: Literal["outputs", "argmax", "topk"] = "outputs",
    k: int | None = None,
    coverage: float = 0.999,
    dtype: str = "float32",
    order: Order = "C",
    epilogue: Epilogue | None = None,
    threads: int = 1,
    precision: Precision = "float32",
    residual: bool = False,
    tune: bool | NDArray[Any] = False,
    choices: Choices | None = None,
) -> CompiledOperator | TileOperator | WinnerOperator:
    """Compile a fitted model into machine code for this CPU.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or StrassenTileModel
    target : str, optional
        Feature level: "x86-64", "x86-64-v3" (AVX2), "x86-64-v4" (AVX-512), "x86-64-v4-vbmi" or
        "aarch64". By default the environment variable MADDJIT_TARGET, else the best level that
        this machine can run.
    result : {"outputs", "argmax", "topk"}
        Approximate outputs; or the exact largest output, or the exact k largest, of each row: those
        whose looked-up score comes close to the best are settled by exact products. The model must
        have been through `maddjit.calibrate`.
    k : int, optional
        Of "topk"; the same as the model was calibrated for.
    coverage : float
        Of "argmax" and "topk": the probability with which the exact winners are on the short list
        and hence named, for rows like those of calibration. More is slower. The code is the same
        for all coverages, and `WinnerOperator.with_coverage` chooses another one at no cost.
    dtype : {"float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16"}
    order : {"C", "F", "strided"}
        The kind of A whose kernel is compiled now. Kernels for other dtypes and layouts are
        compiled when they are first called.
    epilogue : Epilogue, optional
        Clamping (ReLU) and conversion of the outputs, compiled in.
    threads : int
        How many threads share the rows of a call, at most.
    precision : {"float32", "bfloat16"}
        What a Strassen-Tile model multiplies in; sums are float32. bfloat16 is about twice as fast
        and needs a CPU with avx512bf16.
    residual : bool
        Whether calls of a Strassen-Tile operator bring outputs to be added before clamping.
    tune : bool or (N, D) array
        Time the few most promising ways on these rows (on 2000 random ones if True) and keep the
        fastest, which takes half a second or so; ``op.report`` tells. The bits are the same.
    choices : Choices, optional
        What the planner is to do instead of following its rules; ``op.report.choices`` of an
        operator that was tuned says what that would be.

    Returns
    -------
    CompiledOperator, TileOperator or WinnerOperator
        ``op(A)`` gives the same bits as ``maddjit.reference.apply(fitted, A)``; for winners the
        same indices as ``maddjit.reference.settle(fitted, A, coverage)``. Those of a
        StrassenTileModel are within ``maddjit.tile_reference.error_bound(fitted, A)`` of
        ``maddjit.reference.apply(fitted, A)``.

    Raises
    ------
    TargetError
        If the target is unknown or this machine lacks one of its features.
    TypeError, ValueError
        If `fitted` is not a model, an option is not one of those above, both `tune` and `choices`
        are given, or winners are asked of a model that is not calibrated for them.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((500, 32)), rng.standard_normal((32, 3))
    >>> op = maddjit.compile(maddjit.fit(A, B, n_codebooks=16))
    >>> op(A[:2]).shape
    (2, 3)
    """
    if result not in ("outputs", "argmax", "topk"):
        raise ValueError(f'result must be "outputs", "argmax" or "topk", not {result!r}')
    name = target or os.environ.get(ENVIRONMENT_VARIABLE) or None
    resolved = resolve(name, llvm.host())
    if isinstance(fitted, StrassenTileModel):
        if result != "outputs" or k is not None or tune is not False:
            raise ValueError("a Strassen-Tile model has outputs alone, and nothing to tune")
        made = Signature(
            dtype, order, epilogue=epilogue or Epilogue(), precision=precision, residual=residual
        )
        return _tiles(fitted, target, resolved, made, threads, choices)
    if precision != "float32" or residual:
        raise ValueError("precision and residual are for Strassen-Tile models")
    model = MaddnessModel.of(fitted)
    if result in ("argmax", "topk"):
        if epilogue is not None or tune is not False:
            raise ValueError("epilogue and tune are for outputs, not for winners")
        options = {"dtype": dtype, "order": order, "threads": threads, "choices": choices}
        return _winners(model, target, resolved, result, k, coverage, options)
    if k is not None:
        raise ValueError('k is for result="topk"')
    signature = Signature(dtype, order, "outputs", epilogue or Epilogue())

    def operator(chosen: Choices, timings: Mapping[str, float] | None = None) -> CompiledOperator:
        again: Any = partial(
            compile,
            model,
            target,
            dtype=dtype,
            order=order,
            epilogue=epilogue,
            threads=threads,
            choices=chosen,
        )
        return CompiledOperator(
            model,
            resolved,
            signature,
            partial(build, choices=chosen),
            again=again,
            threads=threads,
            choices=chosen,
            timings=timings,
        )

    if tune is False:
        return operator(choices or RULES)
    if choices is not None:
        raise ValueError("choices leave nothing to tune: give one of both")
    rows = _rows_to_tune_with(model, signature) if tune is True else as_array("tune", tune)
    tried = [operator(candidate) for candidate in CANDIDATES]
    out = tried[0](rows)
    best, seconds = fastest([partial(op, rows, out=out) for op in tried])
    per_row = [1e9 * time / max(1, len(rows)) for time in seconds]
    return operator(CANDIDATES[best], dict(zip(map(str, CANDIDATES), per_row, strict=True)))


def _tiles(
    model: StrassenTileModel,
    target: str | None,
    resolved: Target,
    signature: Signature,
    threads: int,
    choices: Choices | None,
) -> TileOperator:
    """Return the operator of a Strassen-Tile model."""
    if signature.precision == "bfloat16":
        resolved = resolved.with_bfloat16()
        if BFLOAT16 not in llvm.host().features:
            raise TargetError(f'precision="bfloat16" needs {BFLOAT16}, which this machine lacks')
    if choices and (choices.tile_bytes or choices.lines is not None):
        raise ValueError(f"of the choices a Strassen-Tile kernel has row_block alone: {choices}")
    again: Any = partial(
        compile,
        model,
        target,
        dtype=signature.dtype,
        order=signature.order,
        epilogue=signature.epilogue,
        precision=signature.precision,
        residual=signature.residual,
        threads=threads,
        choices=choices,
    )
    build_one = partial(build_tiles, choices=choices or RULES)
    return TileOperator(model, resolved, signature, build_one, again, threads, choices or RULES)


def _winners(
    model: MaddnessModel,
    target: str | None,
    resolved: Target,
    result: str,
    k: int | None,
    coverage: float,
    options: Mapping[str, Any],
) -> WinnerOperator:
    """Return the operator that names exact winners."""
    short = calibrated(model, result, k)
    choices = options["choices"] or RULES
    again: Any = {"target": target, "result": result, "k": k, "coverage": coverage, **options}
    return WinnerOperator(
        model,
        resolved,
        Signature(options["dtype"], options["order"], "winners", k=short.k),
        coverage,
        result == "argmax",
        partial(build, choices=choices),
        again=partial(_made_again, model, again),
        threads=options["threads"],
        choices=choices,
    )


def _made_again(model: MaddnessModel, options: dict[str, Any], **changed: Any) -> WinnerOperator:
    found: WinnerOperator = compile(model, **options | changed)
    return found


def _rows_to_tune_with(model: MaddnessModel, signature: Signature) -> NDArray[Any]:
    """Return random rows; whatever they are, the work is the same."""
    form = INPUTS[signature.dtype]
    rows: NDArray[Any] = 20 * np.random.default_rng(0).standard_normal((2000, model.n_features))
    if form.name == "bfloat16":
        rows = float32_to_bfloat16(rows.astype(np.float32))
    rows = np.abs(rows).astype(form.dtype)
    if signature.order == "F":
        return np.asfortranarray(rows)
    return rows if signature.order == "C" else np.repeat(rows, 2, axis=1)[:, ::2]
