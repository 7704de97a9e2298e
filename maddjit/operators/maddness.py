"""The callable a user holds: checks arrays, chooses the kernel for their layout, shows itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows, as_whole, check_out
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import OUTPUTS, RESULTS, SUMS
from maddjit.arrays.layout import direct_order, order_of
from maddjit.compiler.maddness.columns import byte_shuffle
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.signature import RULES, Choices, Order, OutOrder, Result, Signature
from maddjit.compiler.target import Target
from maddjit.exporting.export import Exported, export_plan
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.base import Compiled
from maddjit.operators.fastcall import declines, short_way
from maddjit.operators.function import Function
from maddjit.operators.kernel import Kernel, OperatorReport, describe
from maddjit.operators.pool import Pool

_FEW_ROWS = 4
"""Rows whose outputs are written and searched sooner than their arg-max is called for."""


class CompiledOperator(Compiled[Plan]):
    """A compiled approximation of ``A @ B + bias``; made by `maddjit.compile`.

    It may be called from many threads and can be pickled: the model
    travels and is compiled again where it lands. A kernel is compiled for each dtype, layout and
    kind of result when it is first needed; the one `compile` was asked for is ready at once. The
    memory of up to two results of 4 MB and more is kept for the next ones once nothing refers to
    them.
    """

    def __init__(
        self,
        model: MaddnessModel,
        target: Target,
        default: Signature,
        build: Callable[[MaddnessModel, Target, Signature], Kernel[Plan]],
        again: Callable[[], CompiledOperator],
        threads: int = 1,
        choices: Choices | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> None:
        self.model = model
        super().__init__(model, target, default, build, again, threads, choices or RULES)
        self._timings = timings or {}
        self._asked: dict[Any, Function] = {}
        self._pool = Pool()
        self._has_columns = byte_shuffle(target, model.n_prototypes) is not None
        kernel = self.kernel()
        sum_bits = kernel.plan.sum_bits
        self._sum_dtypes = {f.dtype: n for n, f in SUMS.items() if 8 * f.itemsize >= sum_bits}
        self._short_way: Callable[..., Any] = (
            short_way(kernel.plan, kernel.function) if self._threads == 1 else declines
        )

    def __call__(
        self, A: ArrayLike, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Approximate ``A @ B + bias``.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            float32, float64, float16, bfloat16 (of ml_dtypes; uint16 holding its bits if the
            operator was compiled for bfloat16), int8, uint8 or int16, in any layout, never copied
            unless its elements are unaligned or byte-swapped. Lists become float64.
        out : (N, M) or (M,) array, optional
            Where to write; spares the time that fresh memory costs. Written directly if its rows
            are contiguous, or its columns and the target has a byte shuffle for K (up to 16 on AVX2
            and aarch64, 128 on AVX-512 with VBMI). Its dtype is that of the results.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told. Fewer rows
            than are worth it are done by the caller alone. The bits are the same for any number.

        Returns
        -------
        (N, M) or (M,) float32, or what the operator's epilogue says
            The same bits as `maddjit.reference.apply`.

        Raises
        ------
        TypeError
            If A or `out` has another dtype.
        ValueError
            If a shape does not fit or `out` is read-only.
        """
        if threads is None:
            answer: Any = self._short_way(A) if out is None else self._short_way(A, out)
            if answer is not NotImplemented:
                return answer  # type: ignore[no-any-return]
            threads = self._threads
        return self._run(A, out, "outputs", self.model.n_outputs, threads)

    def sums(self, A: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the integer sums before scale and offset: `maddjit.reference.sums`.

        Parameters, layouts and errors are those of calling the operator; (N, M) or (M,) int32, or
        what `out` is of uint8, uint16 and int32, if ``op.plan.sum_bits`` says that the sums fit.
        Fastest of all from a column-major A into a column-major uint8 `out`.
        """
        dtype: Any = np.dtype(np.int32) if out is None else getattr(out, "dtype", None)
        name = self._sum_dtypes.get(dtype)
        if name is None:
            known = " or ".join(self._sum_dtypes.values())
            raise TypeError(f"out must be an array of {known}, not {dtype or type(out).__name__}")
        return self._run(A, out, "sums", self.model.n_outputs, sums=name)

    def encode(self, A: ArrayLike, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the code of each row in each codebook: `maddjit.reference.encode`.

        Parameters, layouts and errors are those of calling the operator; (N, C) or (C,) uint8.
        """
        return self._run(A, out, "codes", self.model.n_codebooks)

    def argmax(self, A: ArrayLike, threads: int | None = None) -> NDArray[np.int64]:
        """Return the index of each row's largest output; the M outputs are never written.

        Parameters and errors are those of calling the operator. An epilogue is not applied. Ties go
        to the lowest index. NaN, which only an exact core gives, is the largest.

        Returns
        -------
        (N,) or () int64
            The same as `maddjit.reference.argmax`, and as ``op(A).argmax(axis=-1)`` without an
            epilogue.
        """
        if threads is None and self._default.epilogue == Epilogue():
            shape = getattr(A, "shape", (0, 0))
            if len(shape) == 1 or (
                len(shape) == 2 and shape[0] <= _FEW_ROWS
            ):  # the short way is shorter
                answer = self._short_way(A)
                if answer is not NotImplemented:
                    return np.asarray(answer.argmax(axis=-1), np.int64)
        threads = self._threads if threads is None else threads
        return self._run(A, None, "argmax", 1, threads)[..., 0]

    def topk(self, A: ArrayLike, k: int, threads: int | None = None) -> NDArray[np.int64]:
        """Return the indices of each row's k largest outputs, the largest first.

        Parameters and errors are those of `argmax`; k is from 1 to M.

        Returns
        -------
        (N, k) or (k,) int64
            The same as `maddjit.reference.topk`: equal outputs in the order of their indices.
        """
        k = as_whole("k", k)
        threads = self._threads if threads is None else threads
        return self._run(A, None, "argmax", k, threads, k=k)

    def _run(
        self,
        A: ArrayLike,
        out: Any,
        result: Result,
        width: int,
        threads: int = 1,
        sums: str = "int32",
        k: int = 1,
    ) -> NDArray[Any]:
        bits = self._default.dtype == "bfloat16"
        rows, form, single = as_rows(A, self.model.n_features, bits)
        if not rows.flags.aligned:
            rows = rows.copy()
        dtype = self._dtype(result, sums)
        shape = (width,) if single else (len(rows), width)
        answer = self._pool.empty(shape, dtype) if out is None else check_out(out, shape, dtype)
        written = answer[np.newaxis] if single else answer
        out_order = "C" if out is None else direct_order(written, rows)
        target = written
        if out_order == "F" and not (self._has_columns and result in ("outputs", "sums")):
            out_order = None
        if out_order is None:
            out_order, target = "C", np.empty(written.shape, dtype)
        function = self._function_of(form.name, order_of(rows), result, out_order, sums, k)
        function(rows, target, threads, self._least_rows)
        if target is not written:
            written[...] = target
        return answer

    def _dtype(self, result: Result, sums: str) -> np.dtype[Any]:
        if result == "sums":
            return SUMS[sums].dtype
        return (RESULTS.get(result) or OUTPUTS[self._default.epilogue.dtype]).dtype

    def _function_of(self, *key: Any) -> Function:
        """Return the function of (dtype, order, result, out_order, sums, k)."""
        found = self._asked.get(key)
        if found is None:
            dtype, order, result, out_order, sums, k = key
            epilogue = self._default.epilogue if result == "outputs" else Epilogue()
            signature = Signature(dtype, order, result, epilogue, out_order, sums, k)
            found = self._asked[key] = self._function(signature)
        return found

    def kernel(
        self,
        dtype: str | None = None,
        order: Order | None = None,
        result: Result | None = None,
        out_order: OutOrder | None = None,
    ) -> Kernel[Plan]:
        """Return the kernel for a signature, compiling it if need be; by default `compile`'s."""
        default = self._default
        result = result or default.result
        epilogue = default.epilogue if result == "outputs" else Epilogue()
        out_order = out_order or default.out_order
        return self._kernels[
            Signature(dtype or default.dtype, order or default.order, result, epilogue, out_order)
        ]

    def ir(
        self,
        stage: Literal["template", "optimized"] = "template",
        *,
        dtype: str | None = None,
        order: Order | None = None,
        result: Result | None = None,
        out_order: OutOrder | None = None,
    ) -> str:
        """Return the LLVM IR as the templates render it, or as LLVM's passes leave it.

        The keywords choose the kernel, as in `kernel`.

        Raises
        ------
        ValueError
            If `stage` is neither.
        """
        return self.kernel(dtype, order, result, out_order).ir(stage)

    def asm(
        self,
        *,
        dtype: str | None = None,
        order: Order | None = None,
        result: Result | None = None,
        out_order: OutOrder | None = None,
    ) -> str:
        """Return the assembly of a kernel; the keywords choose it, as in `kernel`."""
        return self.kernel(dtype, order, result, out_order).asm()

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        name: str = "product",
        dtype: str | None = None,
        order: Order | None = None,
        out_order: OutOrder | None = None,
        compiler: str | None = None,
    ) -> Exported:
        """Write the operator for programs in C: a kernel with a function around it, and a header.

        Parameters
        ----------
        directory, name, compiler
            As for `maddjit.export`, which also writes operators for other targets.
        dtype, order, out_order
            The kinds of A and of outputs; by default what `compile` was told, and rows.

        Returns
        -------
        Exported
            Where its parts are.

        Raises
        ------
        ValueError, LinkError, OSError
            As `maddjit.export`.
        """
        plan = self.kernel(dtype, order, "outputs", out_order).plan
        return export_plan(plan, directory, name, compiler=compiler)

    @property
    def report(self) -> OperatorReport:
        """What has been compiled so far, how, and why so."""
        return describe(self.kernel(), self._kernels.compiled, self._choices, self._timings)

    def __repr__(self) -> str:
        model, plan = self.model, self.plan
        return (
            f"CompiledOperator((N, {model.n_features}) → (N, {model.n_outputs}), "
            f"C={model.n_codebooks}, K={model.n_prototypes}, target={self._target.name!r}, "
            f"{plan.sum_bits}-bit sums, {plan.table_bytes} table bytes)"
        )
