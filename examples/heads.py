"""What `magika_files.py` and `ocr_head.py` share: last layers of ONNX files, coverage, timing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import onnx
from measure import speed_up
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from maddjit.integrations.onnx import Feed, initialisers, take

Floats = NDArray[np.float32]


def last_layer(path: Path, feeds: Sequence[Feed]) -> tuple[Floats, Floats, Floats]:
    """Return A, B and bias of the last MatMul: the rows that reach it, its matrix, what is added.

    `take` gives A and B. The bias is another node, after the MatMul. It is looked up here, because
    it also decides which output is the largest.
    """
    model = onnx.load(path)
    product = initialisers(model)[-1].node
    A, B, _ = take(model, product, feeds)
    nodes = model.graph.node
    (output,) = next(
        node.output
        for node in nodes
        if node.op_type == "MatMul" and product in (node.name, *node.output)
    )
    added = next(node for node in nodes if node.op_type == "Add" and output in node.input)
    (name,) = set(added.input) - {output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {n.output[0]: n.attribute[0].t for n in nodes if n.op_type == "Constant"}
    return A, B, onnx.numpy_helper.to_array(constants[name]).reshape(-1)


def rows_needed(coverage: float) -> int:
    """Return the smallest number of rows with which `coverage` can be calibrated.

    n rows vouch for a coverage of n / (n + 1). A tenth of the rows does not count: it serves to
    choose how scores are rounded.
    """
    return ceil(coverage / (1 - coverage) / 0.9)


def times_as_fast(
    op: Callable[[Floats], object], A: Floats, B: Floats, n_rows: int, rounds: int
) -> str:
    """Return how many times as fast as a product and its arg-max `op` names winners, as text.

    Both run in one thread. The product writes into memory that exists, and adds no bias.
    """
    rows = np.resize(A, (n_rows, A.shape[1]))
    scores = np.empty((n_rows, B.shape[1]), np.float32)
    with threadpool_limits(1):
        low, median, high = speed_up(
            lambda: np.matmul(rows, B, out=scores).argmax(axis=1), lambda: op(rows), rounds
        )
    return f"{median:.1f} ({low:.1f}–{high:.1f})"
