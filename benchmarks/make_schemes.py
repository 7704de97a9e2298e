"""Compute maddjit/factors/tile4.npz: the best schemes of 4 × 4 × 4 tiles for ranks 16 to 48.

    python benchmarks/make_schemes.py [--seeds 0 1 …] [rank …]

Each rank is tried once for each seed, from 48 downwards, and kept if it is better than what is
there. A round over all ranks takes some minutes; what is shipped took seeds 0 to 3.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from maddjit import schemes
from maddjit.learning import bilinear
from maddjit.learning.bilinear import Factors

FILE = Path(schemes.__file__).with_name("factors") / "tile4.npz"
RANKS = range(48, 15, -1)
MAX_AMPLIFICATION = 32.0
"""Better schemes exist whose rounding errors in bfloat16 would be worse than what they gain."""
PARTS = ("encode_a", "encode_b", "decode")


def starts(rank: int, above: Factors | None, rng: np.random.Generator) -> Factors:
    """Return Strassen ⊗ Strassen without its least components in many bases, and others."""
    exact = bilinear.as_factors(schemes.generic(49))
    several = [
        bilinear.largest(bilinear.transformed(exact, 20, spread, rng), rank)
        for spread in (0.03, 0.1, 0.3, 0.5)
    ]
    several.append(Factors(*(0.4 * rng.standard_normal((20, rank, 4, 4)) for _ in range(3))))
    if above is not None:
        several.append(bilinear.without_each(above))
    return bilinear.together(several)


def best_of(factors: Factors, count: int) -> Factors:
    return bilinear.selected(factors, np.argsort(bilinear.errors(factors))[:count])


def search(rank: int, above: Factors | None, seed: int) -> Factors:
    """Return the best scheme found whose amplification is small enough (S = 1)."""
    rng = np.random.default_rng((rank, seed))
    found = bilinear.alternate(starts(rank, above, rng), np.geomspace(0.004, 0.001, 300))
    found = bilinear.alternate(best_of(found, 24), np.full(300, 0.001))
    found = bilinear.alternate(best_of(found, 8), np.full(1200, 0.001))
    best, least = bilinear.selected(found, np.array([0])), np.inf
    for penalty in np.geomspace(1e-3, 1e-6, 40):
        found = bilinear.alternate(found, np.full(150, penalty))
        errors = bilinear.errors(found)
        errors = np.where(bilinear.amplification(found) <= MAX_AMPLIFICATION, errors, np.inf)
        if errors.min() < least:
            least, best = errors.min(), bilinear.selected(found, np.argmin(errors, keepdims=True))
        elif not np.isfinite(errors).any():
            break
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ranks", type=int, nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    kept = dict(np.load(FILE)) if FILE.exists() else {}
    for seed, rank in product(options.seeds, options.ranks or RANKS):
        above = None
        if f"decode_{rank + 1}" in kept:
            arrays = [kept[f"{part}_{rank + 1}"] for part in PARTS]
            above = bilinear.as_factors(schemes.BilinearScheme("above", (4, 4, 4), *arrays))
        found = search(rank, above, seed)
        scheme = bilinear.as_scheme(found, 0, f"generic-{rank}")
        before = schemes.generic(rank).error if f"decode_{rank}" in kept else np.inf
        print(
            f"{rank}: ‖T − T̂‖ / ‖T‖ = {scheme.error**0.5:.4f} (before {before**0.5:.4f}), "
            f"amplification {bilinear.amplification(found)[0]:.1f}",
            flush=True,
        )
        if scheme.error < before:
            kept |= {f"{part}_{rank}": getattr(scheme, part) for part in PARTS}
            np.savez(FILE, **kept)  # type: ignore[arg-type]
            schemes.generic.cache_clear()


if __name__ == "__main__":
    main()
