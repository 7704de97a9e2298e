"""The search for schemes: exact ones have no error, steps lower it, and cyclic ones are cyclic."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.suites.scheme_search import bilinear, conditioned
from benchmarks.suites.scheme_search.cyclic import Cyclic
from maddjit.models.schemes import BilinearScheme, generic, strassen

RNG = np.random.default_rng(0)


def test_an_exact_scheme_in_any_basis_has_no_error() -> None:
    exact = bilinear.as_factors(strassen())
    assert bilinear.errors(exact) == pytest.approx([0], abs=1e-12)
    turned = bilinear.transformed(exact, 3, 0.1, np.random.default_rng(1))
    np.testing.assert_allclose(bilinear.errors(turned), 0, atol=1e-9)


def test_a_scheme_survives_as_factors() -> None:
    scheme = generic(24)
    again = bilinear.as_scheme(bilinear.as_factors(scheme), 0, "again")
    assert again.error == pytest.approx(scheme.error, rel=1e-5)
    assert bilinear.errors(bilinear.as_factors(scheme))[0] == pytest.approx(scheme.error, rel=1e-5)


def test_amplification_is_that_of_the_scheme() -> None:
    for scheme in (strassen(), generic(20)):
        found = bilinear.amplification(bilinear.as_factors(scheme))
        assert found == pytest.approx([scheme.amplification], rel=1e-6)


def test_conditioned_steps_lower_the_objective_and_keep_to_the_limit() -> None:
    start = bilinear.as_factors(generic(20))

    def objective(factors: bilinear.Factors, mu: float) -> float:
        squares = bilinear.errors(factors) + mu * bilinear.amplification(factors) ** 2
        return float(squares[0])

    values = [objective(start, 0.01)]
    for _ in range(3):
        start = conditioned.disturbed(start, [0.01] * 5)
        values.append(objective(start, 0.01))
    assert values == sorted(values, reverse=True)
    best = conditioned.within_limit(bilinear.as_factors(generic(20)))
    assert bilinear.amplification(best)[0] ** 2 <= conditioned.LIMIT
    held = conditioned.packed(best).astype(np.float32)
    again = BilinearScheme("held", (4, 4, 4), held[:, :16], held[:, 16:32], held[:, 32:].T)
    assert again.error == pytest.approx(bilinear.errors(best)[0], abs=2e-5)


def test_steps_lower_the_error() -> None:
    start = bilinear.Factors(*(0.4 * RNG.standard_normal((4, 7, 2, 2)) for _ in range(3)))
    found = bilinear.alternate(start, np.full(200, 1e-3))
    assert np.all(bilinear.errors(found) < bilinear.errors(start))
    best = bilinear.selected(found, np.argsort(bilinear.errors(found))[:1])
    assert bilinear.errors(best)[0] < 0.05


def test_cyclic_schemes_improve() -> None:
    kind = Cyclic(n=2, n_fixed=1, n_triples=2)
    X = 0.6 * RNG.standard_normal((kind.rank, 4))
    better = kind.improved(X, 1e-3, 100)
    before, after = (bilinear.errors(kind.factors(some))[0] for some in (X, better))
    assert after < min(before, 0.2)
