"""The base of all operators: their kernels, arrays that fit, exports, and pickles."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows, check_out
from maddjit.arrays.formats import Format
from maddjit.arrays.layout import Order
from maddjit.compiler.planes.drive import DriveRequest
from maddjit.compiler.planes.plan import MoveRequest
from maddjit.compiler.request import Request
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.exporting.export import Exported, export_plan
from maddjit.operators.fastcall import FastCall, Results
from maddjit.operators.kernel import Kernel, Kernels, P
from maddjit.operators.pool import Pool
from maddjit.operators.runner import Runner

Build = Callable[[Request | MoveRequest | DriveRequest], Kernel[Any]]
"""A function that compiles one kernel: `maddjit.operators.building.build`, except in tests."""


class BaseOperator(Generic[P]):
    """An operator as it was requested: a model, and one kernel for each kind of A that occurred.

    It can be pickled: the request travels, and is compiled again where it is unpickled.
    """

    def __init__(self, request: Request, build: Build) -> None:
        self._request = request
        self._build = build
        self._threads = request.threads
        self._kernels: Kernels[P] = Kernels(
            lambda signature: build(replace(request, signature=signature))
        )
        self._runners: dict[Signature, Runner] = {}
        self._pool = Pool()
        self._least_rows = self.kernel().plan.rows_per_thread

    def _runner(self, signature: Signature) -> Runner:
        """Return the runner of a signature's kernel, which is compiled if need be."""
        found = self._runners.get(signature)
        if found is None:
            kernel = self._kernels[signature]
            lists = self._request.lists(kernel.plan)
            found = self._runners[signature] = Runner.of(kernel, lists)
        return found

    def _fast_call(self, results: Results, is_used: bool = True) -> FastCall:
        """Return a builtin for results of one kind; unless it is used, it declines all arrays."""
        request = self._request
        bits = request.signature.dtype == "bfloat16"
        return FastCall(request.target, request.model.n_features, results, bits, is_used)

    def _rows(self, A: ArrayLike) -> tuple[NDArray[Any], Format, bool]:
        """Return A as aligned rows (N, D), their format, and whether it was one row (D,)."""
        request = self._request
        bits = request.signature.dtype == "bfloat16"
        rows, form, single = as_rows(A, request.model.n_features, bits)
        return rows if rows.flags.aligned else rows.copy(), form, single

    def _answer(
        self, out: object, n_rows: int, width: int, single: bool, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return a call's array, which is `out` or a new one, and the same memory as (N, width)."""
        shape = (width,) if single else (n_rows, width)
        answer = self._pool.empty(shape, dtype) if out is None else check_out(out, shape, dtype)
        return answer, answer[np.newaxis] if single else answer

    def kernel(self, dtype: str | None = None, order: Order | None = None) -> Kernel[P]:
        """Return the kernel for a dtype and order of A, compiling it if need be.

        By default it is the one that `compile` was asked for.
        """
        asked = self._request.signature
        return self._kernels[replace(asked, dtype=dtype or asked.dtype, order=order or asked.order)]

    def ir(
        self,
        stage: Literal["template", "optimized"] = "template",
        *,
        dtype: str | None = None,
        order: Order | None = None,
    ) -> str:
        """Return a kernel's LLVM IR, as the templates render it or as LLVM's passes leave it.

        The keywords choose the kernel, as in `kernel`.

        Raises
        ------
        ValueError
            If `stage` is unknown.
        """
        return self.kernel(dtype, order).ir(stage)

    def asm(self, *, dtype: str | None = None, order: Order | None = None) -> str:
        """Return the assembly of a kernel; the keywords choose it, as in `kernel`."""
        return self.kernel(dtype, order).asm()

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        name: str = "product",
        dtype: str | None = None,
        order: Order | None = None,
        compiler: str | None = None,
    ) -> Exported:
        """Write the operator for programs in C, as `maddjit.export` does for a model.

        Parameters
        ----------
        directory, name, compiler
            As for `maddjit.export`, which can also write operators for other machines.
        dtype, order
            The kind of A; by default what `compile` was told.

        Returns
        -------
        Exported
            The paths of the files.

        Raises
        ------
        ValueError, LinkError, OSError
            As for `maddjit.export`.
        """
        return self._exported(self.kernel(dtype, order).plan, directory, name, compiler)

    def _exported(
        self, plan: P, directory: str | os.PathLike[str], name: str, compiler: str | None
    ) -> Exported:
        request = self._request
        return export_plan(plan, directory, name, request.what, compiler, request.lists(plan))

    @property
    def plan(self) -> P:
        """The plan of the kernel that `compile` was asked for."""
        return self.kernel().plan

    @property
    def target(self) -> Target:
        """The feature level that the code is for."""
        return self._request.target

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._request, self._build)
