"""Dask: an operator is applied to an array block by block; each process compiles it once."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.extras import missing
from maddjit.integrations.kept import Kept
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.pipeline import compile

try:
    import dask.array as da
except ImportError as error:
    raise missing("Dask", "dask") from error

__all__ = ["apply", "n_operators"]

_operators: Kept[Any] = Kept()
"""The operators of this process, by the hash of the bytes that tasks carry."""


def apply(operator: Any, rows: Any) -> Any:
    """Apply an operator to a Dask array, block by block.

    Each worker process compiles the operator once, for its own CPU, and keeps it until it ends.

    Parameters
    ----------
    operator : MaddnessModel, StrassenTileModel, or what `maddjit.compile` returns
        A model is compiled as by `maddjit.compile` without options. An approximate Strassen-Tile
        operator gives other results for other chunks: see `TileOperator`.
    rows : (N, D) dask.array.Array
        Rows in chunks that hold whole rows. N may be unknown.

    Returns
    -------
    dask.array.Array
        Outputs (N, M), or winners (N,) or (N, k). It is lazy, and its chunks have the same rows.

    Raises
    ------
    TypeError
        If `rows` is not a Dask array, or `operator` is neither a model nor an operator.
    ValueError
        If `rows` has another number of columns, if its columns are in several chunks, or if the
        operator adds a residual, which `apply` cannot give it.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> import dask.array as da
    >>> from maddjit.integrations.dask import apply
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((1000, 4)) @ rng.standard_normal((4, 32))
    >>> model = maddjit.fit(A, rng.standard_normal((32, 3)), n_codebooks=8)
    >>> y = apply(model, da.from_array(A, chunks=(250, 32)))
    >>> y.chunks
    ((250, 250, 250, 250), (3,))
    >>> bool((y.compute() == maddjit.compile(model)(A)).all())
    True
    """
    if not isinstance(rows, da.Array):
        raise TypeError(f"rows must be a Dask array, not {type(rows).__name__}")
    is_model = isinstance(operator, MaddnessModel | StrassenTileModel)
    model = operator if is_model else getattr(operator, "model", None)
    if model is None or not (is_model or callable(operator)):
        raise TypeError(f"operator must be a model or an operator, not {type(operator).__name__}")
    if isinstance(operator, TileOperator) and operator.plan.signature.residual:
        raise ValueError(
            "operator must not be compiled with residual=True, because apply has only rows to give "
            "it: compile it without, and add the residual to its results"
        )
    n_features = model.n_features
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise ValueError(f"rows must have shape (N, {n_features}), not {rows.shape}")
    if rows.numblocks[1] != 1:
        raise ValueError(
            f"rows must be whole, but their columns are in {rows.numblocks[1]} chunks: "
            "rows.rechunk({1: -1}) joins them"
        )
    if is_model:
        empty = np.empty((0, model.n_outputs), np.float32)
    else:
        empty = operator(np.empty((0, n_features), np.float32))  # monitors count no rows here
    task = _Task(pickle.dumps(operator))
    if empty.ndim == 1:
        return rows.map_blocks(task, dtype=empty.dtype, drop_axis=1, meta=empty)
    chunks = (rows.chunks[0], (empty.shape[1],))
    return rows.map_blocks(task, dtype=empty.dtype, chunks=chunks, meta=empty)


def n_operators() -> int:
    """Return how many operators this process has compiled for `apply`.

    ``client.run(n_operators)`` asks the workers of a cluster.
    """
    return len(_operators)


class _Task:
    """A function of rows that travels to workers: a pickled operator, and the hash of its bytes."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self.key = hashlib.sha256(packed).hexdigest()

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        answer: NDArray[Any] = _operators.get(self.key, self._compiled)(rows)
        return answer

    def _compiled(self) -> Any:
        made = pickle.loads(self.packed)
        return made if callable(made) else compile(made)

    def __dask_tokenize__(self) -> str:
        return f"maddjit-{self.key}"
