"""The suite of convolutions: layers in chains, beside 8 bits and float32."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.suite import Suite
from benchmarks.suites.convolutions import chains, tables
from benchmarks.suites.convolutions.chains import Chain


@dataclass(frozen=True)
class Limits:
    """What bounds the work: rounds, and the least seconds of a turn."""

    rounds: int = 15
    turn: float = 0.02


CHAINS = (
    Chain(32, 28, 4),
    Chain(64, 28, 4),
    Chain(128, 14, 4),
    Chain(64, 56, 1),
    Chain(256, 14, 4),
    Chain(96, 28, 4, kernel=1, ratios=(0.25, 0.5)),
    Chain(256, 7, 1),
)

SUITE = Suite(
    "convolutions",
    {chain.title: chain for chain in CHAINS},
    {"small": Chain(4, 6, 2)},
    Limits(),
    {"rounds": 3, "turn": 0.0005},
    chains.measure,
    {},
    across=tables.ACROSS,
)
