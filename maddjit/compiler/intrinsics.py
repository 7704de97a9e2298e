"""The names of LLVM's intrinsics that generated code may declare, by the feature that has them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

Lookups = tuple[tuple[int, str], ...]
"""Look-ups in tables that registers hold: the entries of a table, and the intrinsic."""

GENERIC = (
    "llvm.prefetch.p0",
    *(f"llvm.vector.reduce.fmax.v{lanes}f32" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.vector.reduce.umax.v{lanes}i8" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.vector.reduce.umax.v{lanes}i16" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.vector.reduce.umin.v{lanes}i16" for lanes in (8, 16, 32, 64)),
    *(f"llvm.sadd.sat.v{lanes}i16" for lanes in (8, 16, 32, 64)),
    "llvm.ctpop.i64",
    "llvm.fmuladd.v16f32",
    "llvm.sqrt.f32",
    *(f"llvm.cttz.i{lanes}" for lanes in (2, 4, 8, 16, 32, 64)),
    *(f"llvm.fma.v{lanes}f32" for lanes in (4, 8, 16)),
    *(f"llvm.masked.gather.v{lanes}f32.v{lanes}p0" for lanes in (4, 8, 16)),
)
"""Intrinsics for every target: LLVM lowers them to instructions that the target has."""

# Per feature: permutes look up float32 numbers, byte shuffles look up bytes.

AVX2_PERMUTES: Lookups = (
    (4, "llvm.x86.avx.vpermilvar.ps.256"),
    (8, "llvm.x86.avx2.permps"),
)
AVX2_BYTE_SHUFFLES: Lookups = ((16, "llvm.x86.avx2.pshuf.b"),)

AVX512_PERMUTES: Lookups = (
    (4, "llvm.x86.avx512.vpermilvar.ps.512"),
    (8, "llvm.x86.avx512.permvar.sf.512"),
    (16, "llvm.x86.avx512.permvar.sf.512"),
    (32, "llvm.x86.avx512.vpermi2var.ps.512"),
)
AVX512_BYTE_SHUFFLES: Lookups = ((16, "llvm.x86.avx512.pshuf.b.512"),)

VBMI_BYTE_SHUFFLES: Lookups = (
    *AVX512_BYTE_SHUFFLES,
    (32, "llvm.x86.avx512.permvar.qi.512"),
    (64, "llvm.x86.avx512.permvar.qi.512"),
    (128, "llvm.x86.avx512.vpermi2var.qi.512"),
)
AVX512_VNNI_BYTE_PRODUCTS = "llvm.x86.avx512.vpdpbusd.512"

LEAST_WORD = "llvm.x86.sse41.phminposuw"
"""What finds the least of eight words without signs."""

BYTE_PAIRS = {32: "llvm.x86.avx2.pmadd.ub.sw", 64: "llvm.x86.avx512.pmaddubs.w.512"}
"""What multiplies bytes and sums two products in 16 bits, by the bytes of a register."""


@dataclass(frozen=True)
class WholeNumbers:
    """What multiplies, rounds and packs whole numbers in vectors.

    Attributes
    ----------
    products : str
        The instruction that multiplies words with signs and sums two products in 32 bits.
    round : str
        The instruction that rounds float32 to 32 bits.
    narrow, pack : str
        The instructions that pack two vectors of 32 bits to one of 16, and two of those to bytes.
    """

    products: str
    round: str
    narrow: str
    pack: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all of them."""
        return self.products, self.round, self.narrow, self.pack


WHOLE_NUMBERS = {
    16: WholeNumbers(
        "llvm.x86.sse2.pmadd.wd",
        "llvm.x86.sse2.cvtps2dq",
        "llvm.x86.sse2.packssdw.128",
        "llvm.x86.sse2.packsswb.128",
    ),
    32: WholeNumbers(
        "llvm.x86.avx2.pmadd.wd",
        "llvm.x86.avx.cvt.ps2dq.256",
        "llvm.x86.avx2.packssdw",
        "llvm.x86.avx2.packsswb",
    ),
    64: WholeNumbers(
        "llvm.x86.avx512.pmaddw.d.512",
        "llvm.x86.avx512.mask.cvtps2dq.512",
        "llvm.x86.avx512.packssdw.512",
        "llvm.x86.avx512.packsswb.512",
    ),
}
"""What multiplies, rounds and packs whole numbers, by the bytes of a register."""

BFLOAT16_PRODUCTS = "llvm.x86.avx512bf16.dpbf16ps.512"

MASKED_LOADS: dict[int, dict[tuple[int, int], str]] = {
    32: {
        (8, 4): "llvm.masked.load.v8f32.p0",
        (8, 8): "llvm.masked.load.v8f64.p0",
    },
    64: {
        (64, 1): "llvm.masked.load.v64i8.p0",
        (16, 1): "llvm.masked.load.v16i8.p0",
        (16, 2): "llvm.masked.load.v16i16.p0",
        (16, 4): "llvm.masked.load.v16f32.p0",
        (16, 8): "llvm.masked.load.v16f64.p0",
    },
}
"""Reads of some elements of a vector of rows, by the bytes of a register.

Each is found by the number of elements and the bytes of one.
"""

PACKS = {
    16: ("llvm.x86.sse2.packssdw.128", "llvm.x86.sse2.packuswb.128"),
    32: ("llvm.x86.avx2.packssdw", "llvm.x86.avx2.packuswb"),
    64: ("llvm.x86.avx512.packssdw.512", "llvm.x86.avx512.packuswb.512"),
}
"""By the bytes of a register: what narrows two vectors of 32 bits with signs to one, and then two
of 16 bits to one without."""

NEON_BYTE_SHUFFLES: Lookups = ((16, "llvm.aarch64.neon.tbl1.v16i8"),)


@dataclass(frozen=True)
class Words:
    """What multiplies and packs whole vectors of 16-bit words.

    Attributes
    ----------
    product : str
        The instruction that multiplies signed words and keeps the upper half of twice the product,
        rounded.
    packs : tuple of str
        The instructions that pack two vectors of words to bytes with and without signs, lane by
        lane of 16 bytes; empty if there are none.
    narrow : str
        The instruction that packs two vectors of 32-bit numbers to words without signs, likewise.
    """

    product: str
    packs: tuple[str, ...] = ()
    narrow: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all of them."""
        return tuple(filter(None, (self.product, *self.packs, self.narrow)))


WORDS = {
    16: Words("llvm.aarch64.neon.sqrdmulh.v8i16"),
    32: Words(
        "llvm.x86.avx2.pmul.hr.sw",
        ("llvm.x86.avx2.packsswb", "llvm.x86.avx2.packuswb"),
    ),
    64: Words(
        "llvm.x86.avx512.pmul.hr.sw.512",
        ("llvm.x86.avx512.packsswb.512", "llvm.x86.avx512.packuswb.512"),
        "llvm.x86.avx512.packusdw.512",
    ),
}
"""What multiplies and packs words, by the bytes of a register."""


G = TypeVar("G", Words, WholeNumbers)


def granted(some: G, names: Collection[str]) -> G | None:
    """Return some instructions if all of them are among these names."""
    return some if set(some.names) <= set(names) else None


def names_of(*tables: Lookups) -> tuple[str, ...]:
    """Return the intrinsics of some look-ups, each once.

    >>> names_of(AVX2_PERMUTES, AVX2_BYTE_SHUFFLES)[1:]
    ('llvm.x86.avx2.permps', 'llvm.x86.avx2.pshuf.b')
    """
    return tuple(dict.fromkeys(name for table in tables for _, name in table))


def rows_of(vector_bytes: int) -> tuple[str, ...]:
    """Return the x86 intrinsics that read, multiply and pack vectors of rows of so many bytes."""
    words = WORDS[vector_bytes].names if vector_bytes > 16 else ()  # plain x86-64 has none
    packs = (*PACKS[vector_bytes], *WHOLE_NUMBERS[vector_bytes].names)
    return tuple(dict.fromkeys((*MASKED_LOADS.get(vector_bytes, {}).values(), *packs, *words)))


NEON = names_of(NEON_BYTE_SHUFFLES) + WORDS[16].names
"""Intrinsics of aarch64 alone."""
