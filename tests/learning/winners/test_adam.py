"""Steps of Adam against the formulas of the paper."""

from __future__ import annotations

import numpy as np

from maddjit.learning.winners.adam import Adam


def test_steps_are_those_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((5, 3))
    adam = Adam(theta.astype(np.float32))
    m = v = np.zeros((5, 3))
    for t in range(1, 8):
        g = rng.standard_normal((5, 3))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        adam.step(g.astype(np.float32), 0.1)
    # Seven steps of .3 at most, of a dozen float32 operations each: 7 · .3 · 12 · 2⁻²⁴ = 1.5e-6,
    # some bits more where the gradients' mean m cancels, and seven roundings of entries up to 4.
    np.testing.assert_allclose(adam.entries, theta, rtol=0, atol=1e-5)


def test_entries_without_a_gradient_stay() -> None:
    adam = Adam(np.ones((2, 2), np.float32))
    adam.step(np.array([[1, 0], [0, 0]], np.float32), 0.5)
    np.testing.assert_allclose(adam.entries, [[0.5, 1], [1, 1]], rtol=1e-6)
