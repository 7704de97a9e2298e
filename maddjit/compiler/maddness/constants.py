"""The constants of a kernel, laid out as its parts read them, whenever they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maddjit.compiler.maddness.columns import ColumnsPlan, column_constants
from maddjit.compiler.maddness.core import CorePlan, core_constants
from maddjit.compiler.maddness.encoding import EncodePlan, encode_constants
from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scan_plan import ScanPlan
from maddjit.compiler.maddness.tables import (
    requantising_constants,
    scale_constants,
    table_constants,
    word_constants,
)
from maddjit.compiler.maddness.writing import OutputPlan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import ShortList


class Constants:
    """The constants of a kernel by name. They are large, so they are laid out anew for each use.

    Parameters
    ----------
    lay_out : callable
        Returns them by name.
    """

    def __init__(self, lay_out: Callable[[], dict[str, bytes | memoryview]]) -> None:
        self._lay_out = lay_out
        self._sizes: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[str, bytes | memoryview]]:
        found = self._lay_out()
        self._sizes = {name: len(content) for name, content in found.items()}
        while found:
            name = next(iter(found))
            yield name, found.pop(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # like other records of arrays

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each of them."""
        if not self._sizes:
            for _ in self:
                pass
        return self._sizes


def constants_of(
    model: MaddnessModel,
    target: Target,
    signature: Signature,
    short: ShortList | None,
    sums: Sums,
    encode: EncodePlan,
    scan: ScanPlan | None,
    columns: ColumnsPlan | None,
    core: CorePlan | None,
    output: OutputPlan,
) -> dict[str, bytes | memoryview]:
    """Return the constants of a kernel by name, laid out as its parts read them."""
    constants: dict[str, bytes | memoryview] = {}
    constants |= encode_constants(model, encode, target, signature)
    if scan:
        constants |= table_constants(model, scan, sums)
    if scan and not short:
        constants |= scale_constants(model, scan)
    if columns:
        constants = column_constants(model, columns) | constants
    if output.requantising:
        width = scan.width if scan else model.n_outputs
        constants |= requantising_constants(output.requantising, width)
    if output.requantising and columns and columns.words:
        constants |= word_constants(output.requantising)
    if short:
        constants["bias"] = short.bias.astype("<f4").tobytes()
    if model.core and core:
        constants |= core_constants(model.core, core)
    return constants
