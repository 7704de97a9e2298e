"""Dask: an operator applied to the blocks of rows of an array, compiled once a process."""

from __future__ import annotations

import hashlib
import pickle
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.extras import missing
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.strassen_tile import TileOperator
from maddjit.pipeline import compile

try:
    import dask.array as da
except ImportError as error:
    raise missing("Dask", "dask") from error

_operators: dict[str, Any] = {}
_compiling = threading.Lock()


def apply(operator: Any, rows: Any) -> Any:
    """Apply an operator to a Dask array, block by block.

    Each worker process compiles it once, for its own CPU, and keeps it as long as it lives.

    Parameters
    ----------
    operator : MaddnessModel, StrassenTileModel, or what `maddjit.compile` returns
        A model is compiled as `maddjit.compile` does without options. An approximate Strassen-Tile
        operator gives other results for other chunks: see `TileOperator`.
    rows : (N, D) dask.array.Array
        In chunks of whole rows; N may be unknown.

    Returns
    -------
    (N, M) dask.array.Array; (N,) or (N, k) of winners
        Lazy, of the same chunks of rows.

    Raises
    ------
    TypeError
        If `rows` is not a Dask array, or `operator` is no operator of maddjit.
    ValueError
        If it has another number of columns, they are in several chunks, or the operator adds a
        residual: there is none to give it.

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
            "operator must not be compiled with residual=True: apply has rows alone to give it; "
            "add to its results"
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
        empty = operator(np.empty((0, n_features), np.float32))  # monitors count no row of it
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
    """What travels to the workers: the operator's bytes, and their hash."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self.key = hashlib.sha256(packed).hexdigest()

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        found = _operators.get(self.key)
        if found is None:
            with _compiling:
                if self.key not in _operators:
                    made = pickle.loads(self.packed)
                    is_operator = callable(made)
                    _operators[self.key] = made if is_operator else compile(made)
                found = _operators[self.key]
        answer: NDArray[Any] = found(rows)
        return answer

    def __dask_tokenize__(self) -> str:
        return f"maddjit-{self.key}"
