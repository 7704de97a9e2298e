"""What is measured: shapes, codebooks, and the speed that each is meant to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NUMPY, READ_A, OWN, K64 = "numpy.matmul", "read A", "maddjit", "maddjit K = 64"
BEST_8_BIT = "the best 8-bit product"
BEST_8_BIT_QUANTISING = "the best 8-bit product and its quantising of A"
FRESH, EIGHT_BIT_SUMS = "maddjit, fresh output", "maddjit, 8-bit sums"

Topic = Literal[
    "operator", "sums", "argmax", "one row", "threads", "compile", "encode", "scan", "split"
]


@dataclass(frozen=True)
class Target:
    """A ratio to reach: at least `least` times as fast as a candidate, or `most` times its time.

    Without a candidate to compare with, `most` is in the unit of the case's own figures.
    """

    against: str = ""
    least: float | None = None
    most: float | None = None
    own: str = OWN
    unit: str = "×"

    def __str__(self) -> str:
        if not self.against:
            return f"at most {self.most:g} {self.unit}"
        if self.least is None:
            return f"at most {self.most:g} × the time of {self.against}"
        if self.least == 1:
            return f"faster than {self.against}"
        return f"at least {self.least:g} × as fast as {self.against}"


@dataclass(frozen=True)
class Case:
    """One thing to measure; sizes are (N, D, M) and C."""

    name: str
    topic: Topic
    shape: tuple[int, int, int]
    n_codebooks: int = 16
    targets: tuple[Target, ...] = ()
    rows: Literal["clustered", "unstructured"] = "clustered"
    hard: bool = False
    """Chosen because little is to be won."""


WIDER = Target("maddjit", most=1.5, own=K64)


def _faster(least: float, against: str = NUMPY, own: str = OWN) -> Target:
    return Target(against, least=least, own=own)


def _operator(
    shape: tuple[int, int, int],
    *targets: Target,
    n_codebooks: int = 16,
    topic: Topic = "operator",
    rows: Literal["clustered", "unstructured"] = "clustered",
    hard: bool = False,
) -> Case:
    words = ["×".join(map(str, shape)), f"C{n_codebooks}"]
    words += [topic.replace(" ", "-")] if topic != "operator" else []
    words += [rows] if rows != "clustered" else []
    return Case("-".join(words), topic, shape, n_codebooks, targets, rows, hard)


OPERATORS = [
    _operator(
        (10000, 512, 10),
        _faster(8),
        Target(READ_A, most=1.3),
        _faster(1, BEST_8_BIT_QUANTISING),
        WIDER,
    ),
    _operator((1000, 512, 100), _faster(28), WIDER),
    _operator((10000, 512, 100), _faster(18), WIDER),
    _operator((256, 512, 1000), _faster(55), WIDER),
    _operator((10000, 512, 1000), _faster(32), _faster(18, own=FRESH), WIDER),
    _operator((4096, 4096, 1000), _faster(110), WIDER),
    _operator((100000, 512, 100), Target(READ_A, most=1.3), WIDER),
    _operator((10000, 512, 214), _faster(3.2, BEST_8_BIT), WIDER, n_codebooks=32),
    _operator((2000, 120, 6625), _faster(2, BEST_8_BIT), WIDER, n_codebooks=30),
    _operator((2000, 120, 6625), _faster(12, BEST_8_BIT), WIDER, n_codebooks=8, topic="argmax"),
    *(
        _operator((10000, 512, 100), _faster(least), WIDER, n_codebooks=C, topic="sums")
        for C, least in ((16, 92), (32, 46), (64, 22))
    ),
    _operator((1, 512, 100), _faster(6), Target(most=500, unit="ns"), WIDER, topic="one row"),
]
"""`sums`: integer sums of a column-major A in the kernel's own order, as the paper times them."""

HARD = [
    _operator((1000, 64, 10), hard=True),
    _operator((1000, 64, 10), n_codebooks=32, hard=True),
    _operator((1, 64, 10), topic="one row", hard=True),
    _operator((10000, 512, 10), n_codebooks=64, hard=True),
    _operator((1000, 512, 16), n_codebooks=128, hard=True),
    _operator((1000, 512, 100), rows="unstructured", hard=True),
]

MORE = [
    _operator((10000, 512, 1000), topic="argmax"),
    _operator((10000, 512, 100), topic="argmax"),
]

PARTS = [
    *(
        Case(f"encode-D{D}-{C // 2}-bytes", "encode", (10000, D, 1), C)
        for D in (64, 128, 256, 512)
        for C in (16, 32, 64)
    ),
    *(Case(f"scan-{C // 2}-bytes", "scan", (10000, 512, 100), C) for C in (16, 32, 64)),
    *(
        Case(f"split-{n}×512×{m}", "split", (n, 512, m))
        for n, m in ((1000, 100), (10000, 10), (10000, 100), (10000, 1000))
    ),
]
"""Codes of 4 bits (K = 16): 16 codebooks are 8 bytes, as the paper counts them."""

FIRST, LATER = "first of a process", "later ones"
COSTS = [
    Case(
        "compile-M100",
        "compile",
        (0, 512, 100),
        targets=tuple(Target(most=0.12, own=own, unit="s") for own in (FIRST, LATER)),
    ),
    Case(
        "compile-10MB",
        "compile",
        (0, 512, 40960),
        targets=tuple(Target(most=0.8, own=own, unit="s") for own in (FIRST, LATER)),
    ),
    Case(
        "threads",
        "threads",
        (100000, 512, 1000),
        targets=(_faster(1.8, "one thread", own="two threads"),),
    ),
]

CASES = [*OPERATORS, *MORE, *HARD, *PARTS, *COSTS]

SMALL = [
    _operator(
        (256, 64, 16),
        _faster(1),
        Target(READ_A, most=1000),
        _faster(1, BEST_8_BIT),
        WIDER,
    ),
    _operator((256, 64, 16), _faster(1), n_codebooks=8, topic="argmax"),
    _operator((256, 64, 16), _faster(1), n_codebooks=8, topic="sums"),
    _operator((1, 64, 16), Target(most=1e6, unit="ns"), topic="one row"),
    Case("encode-small", "encode", (256, 64, 1), 16),
    Case("scan-small", "scan", (256, 64, 16), 16),
    Case("split-small", "split", (256, 64, 16), 16),
    Case("compile-small", "compile", (0, 64, 16), 8, (Target(most=60, own=LATER, unit="s"),)),
    Case("threads-small", "threads", (4096, 64, 16), 8),
]
"""Every topic once, in a second or two each; their targets are only for show."""
