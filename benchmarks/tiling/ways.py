"""Own ways to a product: schemes, and what they multiply in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from maddjit.models.schemes import BilinearScheme, generic, kronecker, plain, strassen, winograd

Floats = NDArray[np.float32]
Record = dict[str, Any]


def _twice(scheme: Callable[[], BilinearScheme]) -> BilinearScheme:
    return kronecker(scheme(), scheme())


WAYS: dict[str, Callable[[], BilinearScheme]] = {
    "plain": plain,
    "strassen": strassen,
    "winograd": winograd,
    "strassen ⊗ strassen": partial(_twice, strassen),
    "winograd ⊗ winograd": partial(_twice, winograd),
    "r = 16": partial(generic, 16),
    "r = 24": partial(generic, 24),
    "r = 32": partial(generic, 32),
    "r = 48": partial(generic, 48),
}
"""Schemes by name; those with r are approximate and of 4 × 4 × 4 tiles."""

EXACT = ("strassen", "winograd", "strassen ⊗ strassen", "winograd ⊗ winograd")
"""Schemes of fewer multiplications that differ by rounding alone."""
IN_BFLOAT16 = ("plain", "strassen", "r = 24")
"""Schemes that are measured in bfloat16 as well."""


def in_bfloat16(name: str) -> str:
    """Return what a scheme in bfloat16 is called."""
    return f"{name}, bfloat16"


def operators(
    B: Floats, names: tuple[str, ...], left_out: dict[str, str]
) -> Iterator[tuple[str, maddjit.TileOperator]]:
    """Compile schemes for B, in float32 and some in bfloat16, which not every CPU has."""
    for name in names:
        model = maddjit.fit_strassen_tile(B, scheme=WAYS[name]())
        yield name, maddjit.compile(model)
        if name in IN_BFLOAT16:
            try:
                yield in_bfloat16(name), maddjit.compile(model, precision="bfloat16")
            except maddjit.TargetError as error:
                left_out[in_bfloat16(name)] = str(error)


def told(op: maddjit.TileOperator) -> Record:
    """Return what an operator says of itself."""
    report = op.report
    compiling = sum(sum(phases.values()) for phases in report.seconds.values())
    return {
        "class": report.kind,
        "precision": report.precision,
        "saving": report.saving,
        "additions": list(report.additions),
        "packed_bytes": report.packed_bytes,
        "workspace_bytes": report.workspace_bytes,
        "compile_ms": round(1e3 * compiling, 1),
    }
