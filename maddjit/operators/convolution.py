"""The operator of a `ConvolutionModel`: planes in, planes out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_planes, check_out, check_threads
from maddjit.arrays.formats import SUMS, Format
from maddjit.compiler.convolution import ConvolutionRequest, placed_signature
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.signature import Result, Signature
from maddjit.compiler.target import Target
from maddjit.exporting.export import Exported, export_convolution
from maddjit.models.window import Window
from maddjit.operators.base import Build
from maddjit.operators.kernel import Kernel, Kernels
from maddjit.operators.placed import Placed
from maddjit.operators.pool import Pool
from maddjit.operators.report import ConvolutionReport, convolution_report_of
from maddjit.operators.runner import Runner


class ConvolutionOperator:
    """A compiled convolution by look-ups; made by `maddjit.compile`.

    Planes may have any number of images, rows and columns, and any layout in memory; (N, C, H, W)
    with contiguous rows and channels-last are fast. A kernel is compiled for each dtype and kind of
    result when it is first needed. The operator may be called from many threads and can be pickled:
    the model travels and is compiled again where it lands.
    """

    def __init__(self, request: ConvolutionRequest, build: Build) -> None:
        self.model = request.model
        self._request, self._build = request, build
        self._groups: tuple[Kernels[Plan], ...] = tuple(
            Kernels(self._built(group)) for group in range(self.model.groups)
        )
        self._placed: dict[Signature, Placed] = {}
        self._chosen: dict[tuple[str, Result, str], Placed] = {}
        self._by_rows: dict[tuple[str, Result, str], Runner] = {}
        self._sees_pixels = self.model.groups == 1 and self.model.window == Window((1, 1))
        self._pool = Pool()
        self._runner(request.signature)

    def _built(self, group: int) -> Callable[[Signature], Kernel[Plan]]:
        """Return the function that compiles a group's kernel for a signature."""
        return lambda signature: self._build(self._request.kernel(group, signature))

    def _runner(self, signature: Signature) -> Placed:
        """Return what runs the kernels of a signature, which are compiled if need be."""
        found = self._placed.get(signature)
        if found is None:
            kernels = [group[signature] for group in self._groups]
            found = Placed(self._request, kernels, self._build)
            self._placed[signature] = found
        return found

    def __call__(
        self, x: ArrayLike, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Convolve planes.

        Parameters
        ----------
        x : (N, C, H, W) array_like
            float32, float64, float16, bfloat16, int8, uint8 or int16, in any layout. NaN is less
            than every threshold. If the operator quantises, x is float32, or planes that are
            quantised already.
        out : (N, M, Ho, Wo) array, optional
            Where to write, in any layout. Its dtype is that of the results.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told. The bits are the
            same for any number.

        Returns
        -------
        (N, M, Ho, Wo) array
            The same bits as `maddjit.convolution_reference.convolve`. It lies in memory as x does:
            with channels last if theirs are.

        Raises
        ------
        TypeError
            If x or `out` has another dtype.
        ValueError
            If a shape does not fit, planes are empty or smaller than the window, their dtype cannot
            hold the model's `fill`, or `out` is read-only.
        """
        return self._run(x, out, "outputs", threads)

    def sums(
        self, x: ArrayLike, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Return the integer sums before scale and offset, (N, M, Ho, Wo) int32.

        Parameters and errors are those of calling the operator. `out` may be uint8, uint16 or int32
        if the sums fit, which ``op.plan.sum_bits`` tells.
        """
        name = "int32"
        if out is not None:
            dtype = getattr(out, "dtype", None)
            widest = max(group[self._request.signature].plan.sum_bits for group in self._groups)
            fitting = {f.dtype: n for n, f in SUMS.items() if 8 * f.itemsize >= widest}
            if dtype not in fitting:
                known = " or ".join(fitting.values())
                raise TypeError(f"out must be an array of {known}, not {dtype or type(out)}")
            name = fitting[dtype]
        return self._run(x, out, "sums", threads, name)

    def encode(
        self, x: ArrayLike, out: NDArray[np.uint8] | None = None, threads: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the code of each codebook at each output, (N, groups · C, Ho, Wo) uint8.

        Parameters and errors are those of calling the operator.
        """
        return self._run(x, out, "codes", threads)

    def _run(
        self,
        x: ArrayLike,
        out: NDArray[Any] | None,
        result: Result,
        threads: int | None,
        sums: str = "int32",
    ) -> NDArray[Any]:
        """Let the kernels for the dtype of x write results, into `out` if there is one."""
        model, asked = self.model, self._request.signature
        planes, form = as_planes(x, model.n_channels, asked.dtype == "bfloat16")
        kind = (form.name, result, sums)
        runner = self._chosen.get(kind) or self._choose(*kind)
        size = model.window.output_size(*planes.shape[2:])
        shape = (len(planes), runner.n_planes, *size)
        if out is None:
            answer = self._new(planes, shape, runner.dtype)
        else:
            answer = check_out(out, shape, runner.dtype)
        is_apart = out is not None and (not out.flags.aligned or np.may_share_memory(out, planes))
        written = np.empty(shape, runner.dtype) if is_apart else answer
        asked_threads = self._request.threads if threads is None else check_threads(threads)
        if answer.size and self._are_rows(planes, form, written, result):
            self._run_rows(kind, planes, written, asked_threads)
        elif answer.size:
            runner(planes, form, written, asked_threads)
        if is_apart:
            answer[...] = written
        return answer

    def _are_rows(
        self, planes: NDArray[Any], form: Format, written: NDArray[Any], result: Result
    ) -> bool:
        """Tell whether kernels by rows are at least as fast: no pixel sees another one.

        All channels of a pixel lie side by side then, and so do its results. For bytes it is as
        fast to turn them.
        """
        return (
            self._sees_pixels
            and result != "codes"
            and planes.itemsize + written.itemsize > 2
            and form.name == self._inner(form.name)
            and planes.transpose(0, 2, 3, 1).flags.c_contiguous
            and written.transpose(0, 2, 3, 1).flags.c_contiguous
        )

    def _run_rows(
        self,
        kind: tuple[str, Result, str],
        planes: NDArray[Any],
        written: NDArray[Any],
        threads: int,
    ) -> None:
        """Write results of pixels that are rows, (N · H · W, C)."""
        runner = self._by_rows.get(kind)
        if runner is None:
            signature = replace(self._signature(*kind), order="C", out_order="C", placed=False)
            runner = self._by_rows[kind] = Runner.of(self._groups[0][signature])
        rows = planes.transpose(0, 2, 3, 1).reshape(-1, planes.shape[1])
        results = written.transpose(0, 2, 3, 1).reshape(-1, written.shape[1])
        runner(rows, results, threads, runner.kernel.plan.rows_per_thread)

    def _choose(self, dtype: str, result: Result, sums: str) -> Placed:
        """Return what runs the kernels for planes of a dtype; it is kept."""
        found = self._runner(self._signature(self._inner(dtype), result, sums))
        self._chosen[dtype, result, sums] = found
        return found

    def _inner(self, dtype: str) -> str:
        """Return the dtype that planes of a dtype have where they are worked on."""
        quantise = self._request.quantise
        if quantise is None:
            return dtype
        if dtype not in ("float32", quantise.dtype):
            raise TypeError(
                f"x must hold float32, which is quantised, or {quantise.dtype}, not {dtype}"
            )
        return quantise.dtype

    def _new(
        self, planes: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Return a new array for results, with channels last if those of the planes are."""
        _, channel_step, _, column_step = planes.strides
        if channel_step == planes.itemsize < column_step and planes.shape[3] > 1:
            n_images, n_planes, height, width = shape
            return self._pool.empty((n_images, height, width, n_planes), dtype).transpose(
                0, 3, 1, 2
            )
        return self._pool.empty(shape, dtype)

    def _signature(self, dtype: str, result: Result, sums: str = "int32") -> Signature:
        """Return the signature of a kernel; the epilogue is for outputs alone."""
        epilogue = self._request.signature.epilogue if result == "outputs" else None
        return placed_signature(dtype, result, epilogue, sums)

    def kernel(
        self, dtype: str | None = None, result: Result | None = None, group: int = 0
    ) -> Kernel[Plan]:
        """Return the kernel of a group's product, compiling it if need be.

        An argument that is not given is as `compile` was told.
        """
        asked = self._request.signature
        return self._groups[group][self._signature(dtype or asked.dtype, result or asked.result)]

    def ir(
        self,
        stage: Literal["template", "optimized"] = "template",
        *,
        dtype: str | None = None,
        result: Result | None = None,
        group: int = 0,
    ) -> str:
        """Return a kernel's LLVM IR, as the templates render it or as LLVM's passes leave it.

        The keywords choose the kernel, as in `kernel`.

        Raises
        ------
        ValueError
            If `stage` is unknown.
        """
        return self.kernel(dtype, result, group).ir(stage)

    def asm(self, *, dtype: str | None = None, result: Result | None = None, group: int = 0) -> str:
        """Return the assembly of a kernel; the keywords choose it, as in `kernel`."""
        return self.kernel(dtype, result, group).asm()

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        name: str = "convolution",
        compiler: str | None = None,
    ) -> Exported:
        """Write the operator for programs in C, as `maddjit.export` does, which says more.

        Raises
        ------
        ValueError, LinkError, OSError
            As for `maddjit.export`.
        """
        return export_convolution(self._request.plan(), directory, name, compiler)

    @property
    def plan(self) -> Plan:
        """The plan of the first group's kernel that `compile` was asked for."""
        return self.kernel().plan

    @property
    def target(self) -> Target:
        """The feature level that the code is for."""
        return self._request.target

    @property
    def report(self) -> ConvolutionReport:
        """Which kernels were compiled so far, how, and why in that way."""
        compiled = [group.compiled for group in self._groups]
        moves = {
            move.kernel.plan.symbol: move.kernel
            for placed in self._placed.values()
            for move in placed.moves
        }
        asked = self._request
        return convolution_report_of(self.model, asked.signature, compiled, moves, asked.choices)

    def __reduce__(self) -> tuple[Any, ...]:
        return ConvolutionOperator, (self._request, self._build)

    def __repr__(self) -> str:
        model, plan = self.model, self.plan
        groups = f", groups={model.groups}" if model.groups > 1 else ""
        return (
            f"ConvolutionOperator((N, {model.n_channels}, H, W) → (N, {model.n_outputs}, Ho, Wo), "
            f"{model.window}{groups}, C={plan.n_codebooks}, K={plan.n_prototypes}, "
            f"target={self.target.name!r}, {plan.sum_bits}-bit sums)"
        )
