"""The operator of a `MaddnessModel`: approximate outputs, their arg-max, sums and codes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_whole
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import OUTPUTS, RESULTS, SUMS
from maddjit.arrays.layout import Order, OutOrder, direct_order, order_of
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Result, Signature
from maddjit.exporting.export import Exported
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.base import BaseOperator, Build
from maddjit.operators.fastcall import FastCall, Results
from maddjit.operators.kernel import Kernel
from maddjit.operators.report import OperatorReport, report_of
from maddjit.operators.runner import Runner

_NUMBERS = (RESULTS["argmax"].dtype,)
"""The dtype of numbers of outputs."""


class CompiledOperator(BaseOperator[Plan]):
    """A compiled approximation of ``A @ B + bias``; made by `maddjit.compile`.

    It may be called from many threads and can be pickled: the model travels and is compiled again
    where it lands. A kernel is compiled for each dtype, layout and kind of result when it is first
    needed; the one that `compile` was asked for is ready at once. The memory of up to two results
    of 4 MB and more is kept for the next ones once nothing refers to them.
    """

    def __init__(
        self, request: Request, build: Build, timings: Mapping[str, float] | None = None
    ) -> None:
        assert isinstance(request.model, MaddnessModel)
        self.model = request.model
        super().__init__(request, build)
        self._timings = timings or {}
        self._chosen: dict[tuple[Any, ...], Runner] = {}
        sum_bits = self.kernel().plan.sum_bits
        self._sum_dtypes = {f.dtype: n for n, f in SUMS.items() if 8 * f.itemsize >= sum_bits}
        alone, n_outputs = self._threads == 1, self.model.n_outputs
        outputs = OUTPUTS[request.signature.epilogue.dtype].dtype
        sums = tuple(form.dtype for form in SUMS.values())[::-1]  # int32 first
        codes = Results((RESULTS["codes"].dtype,), self.model.n_codebooks)
        self._outputs = self._fast_call(Results((outputs,), n_outputs), alone)
        self._sums = self._fast_call(Results(sums, n_outputs))
        self._codes = self._fast_call(codes)
        self._argmax = self._fast_call(Results(_NUMBERS, None, takes_out=False), alone)
        self._topk: dict[int, FastCall] = {}
        asked = request.signature
        kind = (asked.dtype, asked.order, asked.result, asked.out_order, "int32", 1)
        self._outputs.add(self._runner_for(*kind))

    def __call__(
        self, A: ArrayLike, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Approximate ``A @ B + bias``.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            float32, float64, float16, bfloat16, int8, uint8 or int16, in any layout. It is copied
            only if its elements are unaligned or byte-swapped. bfloat16 is that of ml_dtypes; an
            operator that was compiled for bfloat16 also takes its bits as uint16. Lists become
            float64.
        out : (N, M) or (M,) array, optional
            Where to write, which saves the time that fresh memory costs. Its dtype is that of the
            results. The kernel writes into it directly if its rows or its columns are contiguous.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told. A call with few
            rows is done by the calling thread alone. The bits are the same for any number.

        Returns
        -------
        (N, M) or (M,) array
            float32, or the dtype of the operator's epilogue; the same bits as
            `maddjit.reference.apply`.

        Raises
        ------
        TypeError
            If A or `out` has another dtype.
        ValueError
            If a shape does not fit or `out` is read-only.
        """
        if threads is None:
            answer = self._outputs.call(A, out)
            if answer is not None:
                return answer
            threads = self._threads
        return self._run(A, out, self._outputs, "outputs", threads)

    def sums(self, A: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return the integer sums before scale and offset, as `maddjit.reference.sums` does.

        Parameters, layouts and errors are those of calling the operator. `out` may be uint8, uint16
        or int32 if the sums fit, which ``op.plan.sum_bits`` tells. The fastest call of all reads a
        column-major A and writes into a column-major uint8 `out`.

        Returns
        -------
        (N, M) or (M,) int32, or `out`
        """
        answer = self._sums.call(A, out)
        if answer is not None:
            return answer
        dtype: Any = np.dtype(np.int32) if out is None else getattr(out, "dtype", None)
        name = self._sum_dtypes.get(dtype)
        if name is None:
            known = " or ".join(self._sum_dtypes.values())
            raise TypeError(f"out must be an array of {known}, not {dtype or type(out).__name__}")
        return self._run(A, out, self._sums, "sums", sums=name)

    def encode(self, A: ArrayLike, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return the code of each row in each codebook, as `maddjit.reference.encode` does.

        Parameters, layouts and errors are those of calling the operator.

        Returns
        -------
        (N, C) or (C,) uint8
        """
        answer = self._codes.call(A, out)
        if answer is not None:
            return answer
        return self._run(A, out, self._codes, "codes")

    def argmax(self, A: ArrayLike, threads: int | None = None) -> NDArray[np.int64]:
        """Return the index of each row's largest output, without storing the outputs.

        Parameters and errors are those of calling the operator. The epilogue is not applied. The
        lowest index of equal outputs is named. NaN, which only an exact core can give, counts as
        the largest.

        Returns
        -------
        (N,) or () int64
            The same as `maddjit.reference.argmax`, and as ``op(A).argmax(axis=-1)`` without an
            epilogue.
        """
        if threads is None:
            answer = self._argmax.call(A)
            if answer is not None:
                return answer
            threads = self._threads
        return self._run(A, None, self._argmax, "argmax", threads)[..., 0]

    def topk(self, A: ArrayLike, k: int, threads: int | None = None) -> NDArray[np.int64]:
        """Return the indices of each row's k largest outputs, the largest first.

        Parameters and errors are those of `argmax`; k is from 1 to M.

        Returns
        -------
        (N, k) or (k,) int64
            The same as `maddjit.reference.topk`; equal outputs come in the order of their indices.
        """
        k = as_whole("k", k)
        fast = self._topk.get(k) or self._begin_topk(k)
        if threads is None:
            answer = fast.call(A)
            if answer is not None:
                return answer
            threads = self._threads
        return self._run(A, None, fast, "argmax", threads, k=k)

    def _begin_topk(self, k: int) -> FastCall:
        """Return the builtin that names k outputs; it is kept."""
        results = Results(_NUMBERS, k, takes_out=False)
        return self._topk.setdefault(k, self._fast_call(results, self._threads == 1))

    def _run(
        self,
        A: ArrayLike,
        out: Any,
        fast: FastCall,
        result: Result,
        threads: int = 1,
        sums: str = "int32",
        k: int = 1,
    ) -> NDArray[Any]:
        """Let the kernel for A's dtype and order write results, into `out` if it can.

        From then on fast calls run this kernel, too.
        """
        rows, form, single = self._rows(A)
        dtype = SUMS[sums].dtype if result == "sums" else fast.results.dtypes[0]
        answer, written = self._answer(out, len(rows), fast.results.width or 1, single, dtype)
        out_order = "C" if out is None else direct_order(written, rows)
        if out_order == "F" and result not in ("outputs", "sums"):
            out_order = None
        direct = written
        if out_order is None:
            out_order, direct = "C", np.empty(written.shape, dtype)
        runner = self._runner_for(form.name, order_of(rows), result, out_order, sums, k)
        fast.add(runner)
        runner(rows, direct, threads, self._least_rows)
        if direct is not written:
            written[...] = direct
        return answer

    def _runner_for(self, *kind: Any) -> Runner:
        """Return the runner for (dtype, order, result, out_order, sums, k)."""
        found = self._chosen.get(kind)
        if found is None:
            found = self._chosen[kind] = self._runner(self._signature(*kind))
        return found

    def _signature(
        self,
        dtype: str,
        order: Order,
        result: Result,
        out_order: OutOrder,
        sums: str = "int32",
        k: int = 1,
    ) -> Signature:
        """Return the signature of a kernel; the epilogue is for outputs alone."""
        epilogue = self._request.signature.epilogue if result == "outputs" else Epilogue()
        return Signature(dtype, order, result, epilogue, out_order, sums, k)

    def kernel(
        self,
        dtype: str | None = None,
        order: Order | None = None,
        result: Result | None = None,
        out_order: OutOrder | None = None,
    ) -> Kernel[Plan]:
        """Return the kernel for a signature, compiling it if need be.

        An argument that is not given is as `compile` was told.
        """
        asked = self._request.signature
        signature = self._signature(
            dtype or asked.dtype,
            order or asked.order,
            result or asked.result,
            out_order or asked.out_order,
        )
        return self._kernels[signature]

    def ir(
        self,
        stage: Literal["template", "optimized"] = "template",
        *,
        dtype: str | None = None,
        order: Order | None = None,
        result: Result | None = None,
        out_order: OutOrder | None = None,
    ) -> str:
        """Return a kernel's LLVM IR, as the templates render it or as LLVM's passes leave it.

        The keywords choose the kernel, as in `kernel`.

        Raises
        ------
        ValueError
            If `stage` is unknown.
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
        """Write the operator for programs in C, as `maddjit.export` does for a model.

        Parameters
        ----------
        directory, name, compiler
            As for `maddjit.export`, which can also write operators for other machines.
        dtype, order, out_order
            The kind of A and the order of outputs; by default what `compile` was told, and "C".

        Returns
        -------
        Exported
            The paths of the files.

        Raises
        ------
        ValueError, LinkError, OSError
            As for `maddjit.export`.
        """
        plan = self.kernel(dtype, order, "outputs", out_order).plan
        return self._exported(plan, directory, name, compiler)

    @property
    def report(self) -> OperatorReport:
        """Which kernels were compiled so far, how, and why in that way."""
        choices = self._request.choices
        return report_of(self.kernel(), self._kernels.compiled, choices, self._timings)

    def __repr__(self) -> str:
        model, plan = self.model, self.plan
        return (
            f"CompiledOperator((N, {model.n_features}) → (N, {model.n_outputs}), "
            f"C={model.n_codebooks}, K={model.n_prototypes}, target={self.target.name!r}, "
            f"{plan.sum_bits}-bit sums, {plan.table_bytes} table bytes)"
        )
