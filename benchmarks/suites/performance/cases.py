"""What is measured: operators of many shapes, and what a second thread brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OWN, K64 = "maddjit", "maddjit K = 64"
FRESH = "maddjit, fresh output"

Topic = Literal["operator", "sums", "one row", "threads"]
PRODUCTS: tuple[Topic, ...] = ("operator", "one row", "sums")


@dataclass(frozen=True)
class Case:
    """One thing to measure. `shape` is (N, D, M). `hard` cases are those that gain little."""

    topic: Topic
    shape: tuple[int, int, int]
    n_codebooks: int = 16
    rows: Literal["clustered", "unstructured"] = "clustered"
    hard: bool = False

    @property
    def name(self) -> str:
        """The case's name on the command line."""
        words = [self.topic.replace(" ", "-"), "×".join(map(str, self.shape))]
        words += [f"C{self.n_codebooks}"] + ([self.rows] if self.rows != "clustered" else [])
        return "-".join(words)

    @property
    def title(self) -> str:
        """The case's name in tables."""
        shape = " × ".join(map(str, self.shape))
        words = {"sums": ", column-major sums", "threads": ", in blocks of rows"}
        rows = f", {self.rows} rows" if self.rows != "clustered" else ""
        return f"{shape}, C = {self.n_codebooks}{words.get(self.topic, '')}{rows}"


_OPERATORS = [
    *(
        Case("operator", (n, d, m))
        for n, d, m in (
            (10000, 512, 10),
            (1000, 512, 100),
            (10000, 512, 100),
            (256, 512, 1000),
            (10000, 512, 1000),
            (4096, 4096, 1000),
            (100000, 512, 100),
        )
    ),
    Case("operator", (10000, 512, 214), 32),
    Case("operator", (2000, 120, 6625), 30),
    *(Case("sums", (10000, 512, 100), C) for C in (16, 32, 64)),
    Case("one row", (1, 512, 100)),
]
"""`sums`: integer sums of a column-major A in the kernel's own order, as the paper times them."""

_HARD = [
    Case("operator", (1000, 64, 10), hard=True),
    Case("operator", (1000, 64, 10), 32, hard=True),
    Case("one row", (1, 64, 10), hard=True),
    Case("operator", (10000, 512, 10), 64, hard=True),
    Case("operator", (1000, 512, 16), 128, hard=True),
    Case("operator", (1000, 512, 100), rows="unstructured", hard=True),
]

CASES = {case.name: case for case in (*_OPERATORS, *_HARD, Case("threads", (100000, 512, 1000)))}

SMALL = {
    case.name: case
    for case in (
        Case("operator", (256, 64, 16)),
        Case("sums", (256, 64, 16), 8),
        Case("one row", (1, 64, 16)),
        Case("threads", (4096, 64, 16), 8),
    )
}
"""Every topic once, in a second or two each."""
