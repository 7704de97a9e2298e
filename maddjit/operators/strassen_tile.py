"""The operator of a `StrassenTileModel`: a product by tiles, exact or approximate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_numbers, check_out
from maddjit.arrays.formats import OUTPUTS
from maddjit.arrays.layout import are_direct, direct_order, order_of
from maddjit.compiler.request import Request
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.base import BaseOperator, Build
from maddjit.operators.fastcall import Results
from maddjit.operators.report import TileOperatorReport


class TileOperator(BaseOperator[TilePlan]):
    """A compiled ``A @ B + bias`` by tiles; made by `maddjit.compile`.

    ``op.report.kind`` says how exact it is. Unless it is "exact", NaN and infinities in one row
    spread to the rows of its tiles. If it is "approximate", a row's outputs depend on those rows,
    and so on how rows are ordered: a row by itself has other outputs than among others. With the
    model's `rows` "blocks" they depend on the number of rows of a call, too. With "tokens" tiles
    are made of neighbours within a sequence, and a sequence has the same bits by itself as among
    any others; a call with A (N, D) is one sequence. The bits are the same for any number of
    threads, any layout of A, and every call. It may be called from many threads and can be pickled.
    """

    def __init__(self, request: Request, build: Build) -> None:
        assert isinstance(request.model, StrassenTileModel)
        self.model = request.model
        super().__init__(request, build)
        asked = request.signature
        self._dtype = OUTPUTS[asked.epilogue.dtype].dtype
        results = Results((self._dtype,), self.model.n_outputs)
        self._outputs = self._fast_call(results, self._threads == 1 and not asked.residual)
        self._outputs.add(self._runner(asked))

    def __call__(
        self,
        A: ArrayLike,
        out: NDArray[Any] | None = None,
        threads: int | None = None,
        *,
        residual: ArrayLike | None = None,
    ) -> NDArray[Any]:
        """Compute ``A @ B + bias``, or approximate it.

        Parameters
        ----------
        A : (N, D) or (D,) array_like, with "tokens" (…, T, D), too
            float32, float64 (rounded to float32), float16, bfloat16, int8, uint8 or int16, in any
            layout. It is read in place if it is float32 with contiguous rows, and D is a multiple
            of 16 times the tile's columns; else groups of rows are copied first, which takes
            longer. Lists become float64. With "tokens" (…, T, D) is many sequences of T rows. Each
            one is filled up to whole tiles by the kernel, whatever T is.
        out : (N, M), (M,) or (…, T, M) array, optional
            Where to write, which saves the time that fresh memory costs. The kernel writes into it
            directly if its rows are contiguous and it does not share memory with A.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told.
        residual : (N, M), (M,) or (…, T, M) float32 array_like, optional
            Added to the outputs before they are clamped. It must be given if and only if the
            operator was compiled with ``residual=True``. It may be `out`, which saves a copy.

        Returns
        -------
        (N, M), (M,) or (…, T, M) array
            float32, or the dtype of the operator's epilogue; within
            `maddjit.tile_reference.error_bound` of `maddjit.tile_reference.multiply`.

        Raises
        ------
        TypeError
            If A, `out` or `residual` has another dtype.
        ValueError
            If a shape does not fit, `out` is read-only, or `residual` is given though none is
            added, or missing though one is.
        """
        if threads is None and residual is None:
            result = self._outputs.call(A, out)
            if result is not None:
                return result
        asked = self._request.signature
        if (residual is None) == asked.residual:
            raise ValueError(
                "residual must be given if and only if compile was called with residual=True"
            )
        if self.model.rows == "tokens" and np.ndim(A) > 2:
            return self._sequences(A, out, threads, residual)
        rows, form, single = self._rows(A)
        dtype = self._dtype
        answer, written = self._answer(out, len(rows), self.model.n_outputs, single, dtype)
        is_direct = direct_order(written, rows) == "C"
        direct = written if is_direct else np.empty(written.shape, dtype)
        if residual is not None and residual is not direct:
            direct[...] = _residual(residual, answer.shape)
        runner = self._runner(replace(asked, dtype=form.name, order=order_of(rows)))
        self._outputs.add(runner)
        runner(rows, direct, self._threads if threads is None else threads, self._least_rows)
        if direct is not written:
            written[...] = direct
        return answer

    def _sequences(
        self,
        A: ArrayLike,
        out: NDArray[Any] | None,
        threads: int | None,
        residual: ArrayLike | None,
    ) -> NDArray[Any]:
        """Compute the outputs of sequences (…, T, D); arguments and errors are those of a call."""
        asked, width = self._request.signature, self.model.n_outputs
        given, form = as_numbers(A, asked.dtype == "bfloat16")
        *leading, length, n_features = given.shape
        if n_features != self.model.n_features:
            raise ValueError(
                f"A must have shape (…, T, {self.model.n_features}), not {given.shape}"
            )
        count, shape = math.prod(leading), (*leading, length, width)
        sequences = given.reshape(count, length, n_features)
        sequences = sequences if sequences.flags.aligned else sequences.copy()
        dtype = self._dtype
        answer = self._pool.empty(shape, dtype) if out is None else check_out(out, shape, dtype)
        written = answer.reshape(count, length, width)  # a copy if it is no view
        is_direct = are_direct(written, sequences) and np.may_share_memory(written, answer)
        direct = written if is_direct else np.empty(written.shape, dtype)
        if residual is not None and not (is_direct and residual is answer):
            direct[...] = _residual(residual, shape).reshape(direct.shape)
        runner = self._runner(replace(asked, dtype=form.name, order=order_of(sequences)))
        threads = self._threads if threads is None else threads
        runner.run_sequences(sequences, direct, threads, self._least_rows)
        if not is_direct:
            answer[...] = direct.reshape(shape)
        return answer

    @property
    def report(self) -> TileOperatorReport:
        """Which kernels were compiled so far, and how exact their results are."""
        kernel, plan, scheme = self.kernel(), self.plan, self.model.scheme
        return TileOperatorReport(
            kind="rounded" if plan.kind == "exact" and plan.is_bfloat16 else self.model.kind,
            precision=self._request.signature.precision,
            scheme=f"{scheme.name}, rank {scheme.rank} of {' × '.join(map(str, scheme.shape))}",
            saving=scheme.saving,
            additions=(plan.encode.code.n_operations, plan.decode.code.n_operations),
            error=str(self.model.report or ""),
            target=plan.target.name,
            packed_bytes=plan.packed.nbytes,
            code_bytes=kernel.code_bytes,
            workspace_bytes=plan.workspace_bytes,
            seconds={
                f"{signature.dtype} {signature.order}": kernel.seconds
                for signature, kernel in self._kernels.compiled.items()
            },
        )

    def __repr__(self) -> str:
        model, report = self.model, self.report
        return (
            f"TileOperator((N, {model.n_features}) → (N, {model.n_outputs}), "
            f"{model.scheme.name!r}, {report.kind}, precision={report.precision!r}, "
            f"target={report.target!r})"
        )


def _residual(residual: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a residual as float32, if it has the shape and holds real numbers."""
    added = np.asarray(residual)
    if not np.can_cast(added.dtype, np.float32, "same_kind"):
        raise TypeError(f"residual must hold real numbers, not {added.dtype}")
    if added.shape != shape:
        raise ValueError(f"residual must have shape {shape}, not {added.shape}")
    return added.astype(np.float32, copy=False)
