"""The callable of a Strassen-Tile model: a product by tiles, exact or approximate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows, check_out
from maddjit.arrays.formats import OUTPUTS
from maddjit.arrays.layout import direct_order, order_of
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.target import Target
from maddjit.models.strassen_tile import Kind, StrassenTileModel
from maddjit.operators.base import Compiled
from maddjit.operators.kernel import Kernel, how_made
from maddjit.operators.pool import Pool


@dataclass(frozen=True)
class TileOperatorReport:
    """What was compiled, of which class its results are, and how long that took.

    Attributes
    ----------
    kind : {"exact", "rounded", "approximate"}
        The plain float32 product; one that differs by rounding alone (of float32, or bfloat16); one
        that differs in itself, and whose rows depend on their tile mates.
    precision : {"float32", "bfloat16"}
    scheme : str
    saving : float
        Multiplications of the plain product for each of the scheme's.
    additions : (int, int)
        Operations on vectors that encode a tile of A, and that decode a tile of outputs.
    error : str
        What was measured on held-out rows, if the model was fitted to any.
    target : str
        Feature level.
    packed_bytes, code_bytes, workspace_bytes : int
        Of the encoded B, of the object code, of the memory that a thread takes.
    seconds : dict
        Time per phase, for each compiled signature.
    """

    kind: Kind
    precision: str
    scheme: str
    saving: float
    additions: tuple[int, int]
    error: str
    target: str
    packed_bytes: int
    code_bytes: int
    workspace_bytes: int
    seconds: Mapping[str, Mapping[str, float]]

    def __str__(self) -> str:
        lines = [
            f"class     {self.kind}, products in {self.precision}",
            f"scheme    {self.scheme}: {self.saving:.3g} × fewer multiplications, "
            f"{self.additions[0]} vector operations encode a tile, {self.additions[1]} decode one",
            f"target    {self.target}",
            f"memory    {self.packed_bytes} bytes of encoded B, {self.code_bytes} of object code, "
            f"{self.workspace_bytes} of workspace a thread",
        ]
        lines += [f"error     {self.error}"] if self.error else []
        lines += [f"kernel    {name}: {how_made(took)}" for name, took in self.seconds.items()]
        return "\n".join(lines)


class TileOperator(Compiled[TilePlan]):
    """A compiled ``A @ B + bias`` by tiles; made by `maddjit.compile`.

    ``op.report.kind`` says what to expect. Unless it is "exact", NaN and infinities in one row
    spread to the rows of its tiles. If it is "approximate", a row's outputs depend on those rows,
    and so on how rows are ordered and batched: a row by itself has other outputs than among others.
    The bits are the same for any number of threads, any layout of A, and every call. It may be
    called from many threads and can be pickled.
    """

    def __init__(
        self,
        model: StrassenTileModel,
        target: Target,
        default: Signature,
        build: Callable[[Any, Target, Signature], Kernel[TilePlan]],
        again: Callable[[], TileOperator],
        threads: int = 1,
        choices: Choices = RULES,
    ) -> None:
        self.model = model
        super().__init__(model, target, default, build, again, threads, choices)
        self._pool = Pool()

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
        A : (N, D) or (D,) array_like
            float32, float64 (rounded to float32), float16, bfloat16, int8, uint8 or int16, in any
            layout. Fastest as float32 with contiguous rows and D a multiple of 16 times the tile's
            columns; else groups of rows are copied first. Lists become float64.
        out : (N, M) or (M,) array, optional
            Where to write; spares the time that fresh memory costs. Written directly if its rows
            are contiguous and it does not share A's memory.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told.
        residual : (N, M) or (M,) float32 array_like, optional
            Added to the outputs before they are clamped; given if and only if the operator was
            compiled with ``residual=True``. It may be `out`, which spares a copy.

        Returns
        -------
        (N, M) or (M,) float32, or what the operator's epilogue says
            Within `maddjit.tile_reference.error_bound` of `maddjit.tile_reference.multiply`.

        Raises
        ------
        TypeError
            If A, `out` or `residual` has another dtype.
        ValueError
            If a shape does not fit, `out` is read-only, or `residual` is missing or too much.
        """
        rows, form, single = as_rows(A, self.model.n_features, self._default.dtype == "bfloat16")
        if not rows.flags.aligned:
            rows = rows.copy()
        if (residual is None) == self._default.residual:
            raise ValueError(
                "residual must be given if and only if compile was called with residual=True"
            )
        dtype = OUTPUTS[self._default.epilogue.dtype].dtype
        width = self.model.n_outputs
        shape = (width,) if single else (len(rows), width)
        answer = self._pool.empty(shape, dtype) if out is None else check_out(out, shape, dtype)
        written = answer[np.newaxis] if single else answer
        is_direct = direct_order(written, rows) == "C"
        target = written if is_direct else np.empty(written.shape, dtype)
        if residual is not None and residual is not target:
            target[...] = _residual(residual, shape)
        signature = replace(self._default, dtype=form.name, order=order_of(rows))
        self._function(signature)(
            rows, target, self._threads if threads is None else threads, self._least_rows
        )
        if target is not written:
            written[...] = target
        return answer

    @property
    def report(self) -> TileOperatorReport:
        """What has been compiled so far, and what to expect of it."""
        kernel, plan, scheme = self.kernel(), self.plan, self.model.scheme
        return TileOperatorReport(
            kind="rounded" if plan.kind == "exact" and plan.is_bfloat16 else self.model.kind,
            precision=self._default.precision,
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
        model = self.model
        return (
            f"TileOperator((N, {model.n_features}) → (N, {model.n_outputs}), "
            f"{model.scheme.name!r}, {self.report.kind}, precision={self._default.precision!r}, "
            f"target={self._target.name!r})"
        )


def _residual(residual: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    added = np.asarray(residual)
    if not np.can_cast(added.dtype, np.float32, "same_kind"):
        raise TypeError(f"residual must hold real numbers, not {added.dtype}")
    if added.shape != shape:
        raise ValueError(f"residual must have shape {shape}, not {added.shape}")
    return added.astype(np.float32, copy=False)
