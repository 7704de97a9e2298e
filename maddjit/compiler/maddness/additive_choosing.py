"""How additive codes are chosen by their scores: the record, its plan, and what codes add."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maddjit.compiler.target import Target
from maddjit.models.encoders import AdditiveCodes

GROUP = 4
"""Units that lie side by side in 16 bytes, vectors packed together, and codebooks of a block."""

LEAST_WORDS = 8
"""Scores of a codebook, at least: those of a vector of 16 bytes."""

MOST_WORDS = 64
"""Scores that are compared at once, at most."""


@dataclass(frozen=True)
class Choosing:
    """How codes are chosen by their scores, codebook after codebook.

    Attributes
    ----------
    words : int
        Scores of a codebook, those that fill up a vector included.
    part, n_parts : int
        Scores that are compared at once, and how often.
    row_step, codebook_step : int
        Bytes of the scores of a row, and of a codebook.
    places_step : int
        Bytes of the places of a row's codes, 4 each.
    code_bytes, tile_bytes : int
        Bytes of what one code adds to another codebook, and what all codes of one add.
    n_blocks, n_rest : int
        Blocks of four codebooks, and the codebooks of another.
    block_words : int
        Scores of a block of codebooks, or 0 where each codebook has so many that there are none.
    least_word : str
        The instruction that finds the least of eight words without signs, if there is one.
    """

    words: int
    part: int
    n_parts: int
    row_step: int
    codebook_step: int
    places_step: int
    code_bytes: int
    tile_bytes: int
    n_blocks: int
    n_rest: int
    block_words: int
    least_word: str

    @property
    def block_tile_bytes(self) -> int:
        """Bytes of what all codes of one codebook add to a block."""
        return GROUP * self.tile_bytes

    @property
    def within_bytes(self) -> int:
        """Bytes of what the codes of a block add to later codebooks of it."""
        return sum(map(len, map(self.within, range(GROUP)))) * self.tile_bytes

    def within(self, number: int) -> tuple[int, ...]:
        """Return where the tiles are that earlier codebooks of its block add to a codebook."""
        first = sum(range(number))
        return tuple((first + i) * self.tile_bytes for i in range(number))

    def firsts_of_four(self, tile_bytes: int) -> tuple[int, ...]:
        """Return where four tiles of so many bytes begin."""
        return tuple(range(0, GROUP * tile_bytes, tile_bytes))

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """What is left of the words compared at once when they are halved, and twice as many."""
        sizes = [self.part >> i for i in range(1, (self.part // 8).bit_length())]
        return tuple((size, 2 * size) for size in sizes)

    @property
    def last_part(self) -> int:
        """The part that has the best code of all."""
        return self.n_parts - 1

    @property
    def n_places(self) -> int:
        """Codebooks, rounded up to those that are added side by side."""
        return self.places_step // 4

    @property
    def firsts(self) -> tuple[int, ...]:
        """The first code of each part."""
        return tuple(range(0, self.words, self.part))


def plan_choosing(encoder: AdditiveCodes, target: Target, words: int, row_step: int) -> Choosing:
    """Return how codes are chosen."""
    part = min(words, MOST_WORDS)
    n_blocks, n_rest = divmod(encoder.n_codebooks, GROUP)
    return Choosing(
        words=words,
        part=part,
        n_parts=words // part,
        row_step=row_step,
        codebook_step=2 * words,
        places_step=4 * (-(-encoder.n_codebooks // GROUP) * GROUP),
        code_bytes=2 * words,
        tile_bytes=2 * words * encoder.n_prototypes,
        n_blocks=n_blocks,
        n_rest=n_rest,
        block_words=GROUP * words if GROUP * words <= MOST_WORDS else 0,
        least_word=target.least_word,
    )


def gram_constant(encoder: AdditiveCodes, choosing: Choosing) -> bytes:
    """Return what codes add, codebook by codebook, or block by block.

    A block begins with what the codes of all earlier codebooks add to it. What its own codes add to
    later ones of it follows. Without blocks, the tiles before each codebook are filled up to fours.
    Scores that fill up a vector begin as the largest. They stay so, because the largest is added.
    """
    C, K, words = encoder.n_codebooks, encoder.n_prototypes, choosing.words
    added = np.zeros((C, K, -(-C // GROUP) * GROUP, words), "<i2")
    added[:, :, :C, :K] = encoder.gram
    added[..., K:] = np.iinfo(np.int16).max
    parts = []
    if not choosing.block_words:
        for c in range(C):
            parts += [added[:c, :, c].tobytes(), bytes(-c % GROUP * choosing.tile_bytes)]
        return b"".join(parts)
    for first in range(0, C, GROUP):
        parts.append(added[:first, :, first : first + GROUP].tobytes())
        for c in range(first, first + GROUP):
            inner = [added[e, :, c].tobytes() if e < C else b"" for e in range(first, c)]
            parts.append(b"".join(inner).ljust((c - first) * choosing.tile_bytes, b"\0"))
    return b"".join(parts)
