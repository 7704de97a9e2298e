"""Schemes to train from: least error among those whose products hardly cancel each other.

The squared norms of the products, Σ_ρ ‖a_ρ‖² ‖b_ρ‖² ‖c_ρ‖², may be `LIMIT` times ‖T‖² at most. The
objective ‖T − T̂‖² + µ Σ_ρ ‖a_ρ‖² ‖b_ρ‖² ‖c_ρ‖² is the expected error if each product is disturbed
by a share √µ of its size. It does not depend on how a product's size is divided among its factors,
and it is least squares in each factor: µ multiplies the diagonal of the system. Schemes are found
with hardly a penalty first, where errors are least, and followed as µ grows until they keep to the
limit. Searches that begin with a large µ end in schemes that leave out some of the plain products.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.suites.scheme_search import bilinear
from benchmarks.suites.scheme_search.bilinear import Factors
from maddjit.models import schemes
from maddjit.models.schemes import BilinearScheme

FILE = Path(schemes.__file__).with_name("factors") / "conditioned.npz"
RANKS = {
    (4, 4, 4): range(48, 15, -1),
    (2, 2, 2): range(6, 3, -1),
    (3, 3, 3): range(22, 8, -1),
    (2, 16, 2): range(49, 15, -1),
}
LIMIT = 4.0
"""The most that the squared norms of all products may be, as a multiple of ‖T‖²."""
N_RANDOM = 24
FREE = np.concatenate([np.geomspace(4e-3, 1e-3, 150), np.full(100, 1e-3)])
"""Penalties of `bilinear.alternate` while all starts are compared."""
FREER = np.concatenate([np.full(250, 1e-3), np.geomspace(1e-3, 1e-4, 250)])
"""Penalties for the best of them."""
N_KEPT = 6
RISE, STEPS = np.geomspace(1e-4, 0.1, 50), 60
"""How µ grows, and steps at each µ."""


def searched(shape: tuple[int, int, int], rank: int, above: Factors | None) -> Factors:
    """Return the scheme of least error that keeps to the limit (S = 1).

    `above` is a scheme of one more product. Starts are this without each of its products, the
    shipped scheme for white data if there is one, exact schemes without their least products in
    many bases, and random ones.
    """
    rng = np.random.default_rng((*shape, rank))
    starts = [_random(shape, rank, rng)]
    if shape == (4, 4, 4):
        starts.append(bilinear.as_factors(schemes.generic(rank)))
    exact = bilinear.as_factors(_exact(shape))
    for spread in (0.03, 0.1, 0.3):
        starts.append(bilinear.largest(bilinear.transformed(exact, 6, spread, rng), rank))
    if above is not None:
        starts.append(bilinear.without_each(above))
    found = bilinear.alternate(bilinear.together(starts), FREE)
    if shape == (4, 4, 4):
        found = bilinear.together([starts[1], found])
    order = np.argsort(bilinear.errors(found))[:N_KEPT]
    kept = bilinear.alternate(bilinear.selected(found, order), FREER)
    return within_limit(kept)


def within_limit(found: Factors) -> Factors:
    """Return the best scheme (S = 1) once all keep to the limit, as µ grows."""
    best, least = bilinear.selected(found, np.array([0])), np.inf
    for mu in RISE:
        found = disturbed(found, np.full(STEPS, mu))
        errors = np.where(
            bilinear.amplification(found) ** 2 <= LIMIT, bilinear.errors(found), np.inf
        )
        if errors.min() < least:
            least = errors.min()
            best = bilinear.selected(found, np.argmin(errors, keepdims=True))
        if np.isfinite(errors).all():
            break
    return best


def disturbed(factors: Factors, shares: Iterable[float]) -> Factors:
    """Improve each factor in turn, once for each µ: see the top of this module."""
    a, b, c = factors
    for mu in shares:
        a = _solve(b, c, c @ b.swapaxes(2, 3), mu)
        b = _solve(a, c, a.swapaxes(2, 3) @ c, mu)
        c = _solve(a, b, a @ b, mu)
        a, b, c = bilinear.balanced(Factors(a, b, c))
    return Factors(a, b, c)


def packed(factors: Factors) -> NDArray[np.float16]:
    """Return one scheme (S = 1) as the file holds it: (r, nd + dm + nm) numbers of half precision.

    With the limit above, rounding adds less than .001 to the (root) error.
    """
    scheme = schemes.normalised(bilinear.as_scheme(factors, 0, ""))
    parts = scheme.encode_a, scheme.encode_b, scheme.decode.T
    return np.concatenate(parts, axis=1).astype(np.float16)


def write(shapes: Iterable[tuple[int, int, int]]) -> Iterable[str]:
    """Search all ranks of some shapes, write the file, and yield a line for each rank."""
    arrays = dict(np.load(FILE)) if FILE.exists() else {}
    for shape in shapes:
        above: Factors | None = None
        for rank in RANKS[shape]:
            above = searched(shape, rank, above)
            name = f"{'x'.join(map(str, shape))}_{rank}"
            arrays[name] = packed(above)
            np.savez(FILE, **arrays)  # type: ignore[arg-type]
            error, amplification = (
                bilinear.errors(above)[0] ** 0.5,
                bilinear.amplification(above)[0],
            )
            yield f"{name}: error {error:.4f}, amplification {amplification:.2f}"


def _exact(shape: tuple[int, int, int]) -> BilinearScheme:
    """Return the exact scheme of a shape whose products are left out one by one."""
    n, d, m = shape
    if n == d == m:
        return {2: schemes.strassen, 3: schemes.laderman, 4: lambda: schemes.generic(49)}[n]()
    return schemes.kronecker(schemes.strassen(), schemes.plain(n // 2, d // 2, m // 2))


def _random(shape: tuple[int, int, int], rank: int, rng: np.random.Generator) -> Factors:
    n, d, m = shape
    sizes = (n, d), (d, m), (n, m)
    return Factors(*(0.4 * rng.standard_normal((N_RANDOM, rank, *size)) for size in sizes))


def _solve(
    first: NDArray[np.float64], second: NDArray[np.float64], right: NDArray[np.float64], mu: float
) -> NDArray[np.float64]:
    system = bilinear.gram(first) * bilinear.gram(second)
    places = np.arange(system.shape[1])
    system[:, places, places] = (1 + mu) * system[:, places, places] + 1e-9
    flat = right.reshape(*right.shape[:2], -1)
    return np.asarray(np.linalg.solve(system, flat)).reshape(right.shape)
