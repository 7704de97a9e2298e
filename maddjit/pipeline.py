"""The whole way from a model to a callable: compile, and emit, which shows its code."""

from __future__ import annotations

from typing import Any, Literal, get_args, overload

from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import Precision
from maddjit.arrays.layout import Order, OutOrder
from maddjit.compiler import llvm
from maddjit.compiler.convolution import ask_convolution, check_plain, placed_signature
from maddjit.compiler.network.planner import plan_network
from maddjit.compiler.render import render, render_network
from maddjit.compiler.request import Request, ask, ask_kernel
from maddjit.compiler.signature import Choices, Result, Signature
from maddjit.compiler.target import Target, named
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.network import Network
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.building import build
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.operators.maddness import CompiledOperator
from maddjit.operators.network import NetworkOperator
from maddjit.operators.network_code import build_network
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.tuning import tuned
from maddjit.operators.winners import WinnerOperator

AnyOperator = CompiledOperator | TileOperator | WinnerOperator
"""The kinds of operators that a request can ask for."""

Stage = Literal["template", "optimized", "assembly"]
"""Texts of a kernel: LLVM IR as the templates render it, as LLVM leaves it, and assembly."""


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
def compile(  # type: ignore[overload-overlap]
    fitted: ConvolutionModel,
    target: str | None = None,
    *,
    dtype: str = "float32",
    epilogue: Epilogue | None = None,
    quantise: Epilogue | None = None,
    threads: int = 1,
    choices: Choices | None = None,
) -> ConvolutionOperator: ...


@overload
def compile(  # type: ignore[overload-overlap]
    fitted: Network, target: str | None = None, *, threads: int = 1
) -> NetworkOperator: ...


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
    quantise: Epilogue | None = None,
    tune: bool | NDArray[Any] = False,
    choices: Choices | None = None,
) -> AnyOperator | ConvolutionOperator | NetworkOperator:
    """Compile a fitted model into machine code for this CPU.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or another kind of model
        A `StrassenTileModel`, a `ConvolutionModel`, or a `maddjit.Network`.
        For a network, `target` and `threads` are the only options.
    target : str, optional
        The feature level: "x86-64", "x86-64-v3" (AVX2), "x86-64-v4" (AVX-512), "x86-64-v4-vbmi" or
        "aarch64". By default it is the value of the environment variable MADDJIT_TARGET, or else
        the best level that this machine can run.
    result : {"outputs", "argmax", "topk"}
        Approximate outputs, or for each row the exact index of its largest output, or of its k
        largest ones. To find those, outputs whose looked-up score comes close to the best are
        settled by exact products; the model must have been through `maddjit.calibrate`.
    k : int, optional
        For "topk": how many outputs are named. It is what the model was calibrated for, and may be
        left out.
    coverage : float
        For "argmax" and "topk": the probability with which the exact winners are on the short list
        and hence named, for rows like those of calibration. A higher one is slower. The code is the
        same for every coverage, and `WinnerOperator.with_coverage` chooses another at no cost.
    dtype : {"float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16"}
    order : {"C", "F", "strided"}
        The kind of A whose kernel is compiled now. Kernels for other dtypes and layouts are
        compiled when they are first called.
    epilogue : Epilogue, optional
        Clamping (a ReLU, say) and conversion of the outputs, compiled into the kernel.
    threads : int
        How many threads share the rows of a call, at most.
    precision : {"float32", "bfloat16"}
        What a Strassen-Tile model multiplies in; sums are float32. bfloat16 is about twice as fast
        and needs a CPU with avx512bf16.
    residual : bool
        Whether each call of a Strassen-Tile operator is given an array that is added to the outputs
        before they are clamped. The outputs must then be float32.
    quantise : Epilogue, optional
        How the operator of a convolution makes int8 or uint8 of float32 planes. The thresholds of
        its model must then be about those numbers, and `fill` must be one of them.
    tune : bool or (N, D) array
        Whether the planner's choices are found by timing: the few most promising ones are tried on
        these rows, or on 2000 random rows if True, and the fastest is kept. That takes half a
        second or so, ``op.report`` shows it, and the bits are the same.
    choices : Choices, optional
        What the planner does instead of following its rules. ``op.report.choices`` of a tuned
        operator shows what was best for it.

    Returns
    -------
    CompiledOperator, TileOperator, WinnerOperator, ConvolutionOperator or NetworkOperator
        ``op(A)`` gives the same bits as ``maddjit.reference.apply(fitted, A)``, and for winners the
        same indices as ``maddjit.reference.settle(fitted, A, coverage)``. The outputs of a
        StrassenTileModel are within ``maddjit.tile_reference.error_bound(fitted, A)`` of
        ``maddjit.reference.apply(fitted, A)``. For planes ``op(x)`` gives the same bits as
        ``maddjit.convolution_reference.convolve(fitted, x)``, and for a network as
        ``maddjit.network_reference.run(fitted, x)``.

    Raises
    ------
    TargetError
        If the target is unknown or this machine lacks one of its features.
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    TypeError, ValueError
        If `fitted` is not a model, an option is not one of those above or not for this kind of
        model, both `tune` and `choices` are given, or winners are asked of a model that is not
        calibrated for them.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> A, B = rng.standard_normal((500, 32)), rng.standard_normal((32, 3))
    >>> op = maddjit.compile(maddjit.fit(A, B, n_codebooks=16))
    >>> op(A[:2]).shape
    (2, 3)
    """
    if isinstance(fitted, Network):
        asked = (result, k, coverage, dtype, order, epilogue, precision, residual, tune, choices)
        if asked != ("outputs", None, 0.999, "float32", "C", None, "float32", False, False, None):
            raise ValueError("a network has no options but target and threads")
        return NetworkOperator(fitted, target, threads, build_network)
    if isinstance(fitted, ConvolutionModel):
        is_plain = (result, k, order, precision) == ("outputs", None, "C", "float32")
        check_plain(is_plain and not residual and tune is False)
        options: Any = {"dtype": dtype, "epilogue": epilogue, "quantise": quantise}
        planned = ask_convolution(fitted, target, threads=threads, choices=choices, **options)
        return ConvolutionOperator(planned, build)
    if quantise is not None:
        raise ValueError("quantise is for the planes of convolutions")
    request = ask(
        fitted,
        target,
        use="run",
        result=result,
        k=k,
        coverage=coverage,
        dtype=dtype,
        order=order,
        epilogue=epilogue,
        precision=precision,
        residual=residual,
        choices=choices,
        threads=threads,
        is_tuned=tune is not False,
    )
    return operator_of(request) if tune is False else tuned(request, build, tune)


def operator_of(request: Request) -> AnyOperator:
    """Return the operator that a request asks for; its first kernel is compiled."""
    if isinstance(request.model, StrassenTileModel):
        return TileOperator(request, build)
    if request.signature.result == "winners":
        return WinnerOperator(request, build)
    return CompiledOperator(request, build)


def emit(
    fitted: object,
    target: str,
    stage: Stage = "assembly",
    *,
    dtype: str = "float32",
    order: Order = "C",
    result: Result = "outputs",
    epilogue: Epilogue | None = None,
    out_order: OutOrder = "C",
    coverage: float = 0.999,
    precision: Precision = "float32",
) -> str:
    """Return a kernel's code as text, for any target; this machine need not be able to run it.

    Parameters
    ----------
    fitted : MaddnessModel or any object with its arrays, or another kind of model
        Of a `ConvolutionModel` it is the kernel of the first group. A `maddjit.Network` has no
        options but `stage`; all of its code is returned.
    target : str
        The feature level, one of those of `compile`.
    stage : {"template", "optimized", "assembly"}
        LLVM IR as the templates render it, as LLVM's passes leave it, or assembly.
    dtype, order, epilogue
        As for `compile`.
    result : {"outputs", "sums", "codes", "argmax", "winners"}
        What the kernel computes. "argmax" is the largest approximate output, "winners" are the
        exact largest outputs that the model is calibrated for.
    out_order : {"C", "F"}
        Whether rows or columns of outputs and sums are contiguous.
    coverage : float
        For "winners", as for `compile`. The code is the same for every coverage that calibration
        can vouch for; any other is refused.
    precision : {"float32", "bfloat16"}
        What a Strassen-Tile model multiplies in.

    Returns
    -------
    str

    Raises
    ------
    TargetError
        If the target is unknown, or has no products of bfloat16 though they are asked for.
    CoverageError
        If the rows of calibration cannot vouch for the coverage.
    TypeError, ValueError
        If `fitted` is not a model, or an option is not one of those above or not for this kind of
        model.
    NativeCodeError
        If LLVM cannot emit the code. It runs in a process of its own, because it may abort.
    """
    if isinstance(fitted, Network):
        asked = (dtype, order, result, epilogue, out_order, coverage, precision)
        if asked != ("float32", "C", "outputs", None, "C", 0.999, "float32"):
            raise ValueError("the code of a network has no options but target and stage")
        level = named(target)
        return _text(render_network(plan_network(fitted, level)), level, stage)
    if isinstance(fitted, ConvolutionModel):
        check_plain((order, out_order, precision) == ("C", "C", "float32"))
        placed = placed_signature(dtype, result, epilogue)
        return text_of(ask_kernel(fitted.products[0], named(target), placed), stage)
    signature = Signature(
        dtype, order, result, epilogue or Epilogue(), out_order, precision=precision
    )
    return text_of(ask_kernel(fitted, named(target), signature, coverage=coverage), stage)


def text_of(request: Request, stage: Stage) -> str:
    """Return the code of a request as text; stages and errors are those of `emit`."""
    return _text((render(request.plan()),), request.target, stage)


def _text(modules: tuple[str, ...], target: Target, stage: Stage) -> str:
    """Return the code of modules that are linked to the first one; errors are those of `emit`."""
    if stage == "template":
        return "\n".join(modules)
    if stage not in get_args(Stage):
        raise ValueError(f'stage must be "template", "optimized" or "assembly", not {stage!r}')
    first, *others = modules
    return llvm.to_text_apart(first, target, stage, others)
