"""Encoders refuse arrays that a kernel could not trust."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maddjit.models.encoders import AdditiveCodes, HashTrees, Projection
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import from_bytes, to_bytes
from tests.conftest import same_bits
from tests.random_models import random_additive, random_codes


def test_the_encoder_travels_with_the_model() -> None:
    model = random_additive(0, n_features=9, rank=5, n_codebooks=3, n_prototypes=4, n_outputs=7)
    for again in (from_bytes(to_bytes(model)), copy.deepcopy(model), MaddnessModel.of(model)):
        assert isinstance(again.encoder, AdditiveCodes)
        assert isinstance(again.encoder.projection, Projection)
        assert same_bits(again.encoder.gram, model.encoder.gram)
        assert same_bits(again.encoder.projection.matrix, model.encoder.projection.matrix)
    with pytest.raises(TypeError, match="no hash trees"):
        model.thresholds  # noqa: B018
    with pytest.raises(ValueError, match="C = 3 codes below K = 4, but tables"):
        replace(model, tables=np.zeros((3, 8, 7), np.uint8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prototypes": np.zeros((3, 5), np.int8)}, r"shape \(C, K, r\)"),
        ({"prototypes": np.zeros((3, 5, 5), np.int8)}, "power of two"),
        ({"projection": None}, "r must be D = 9, not 5"),
        ({"row_scale": np.ones(8)}, r"matrix must have shape \(8, 5\), not \(9, 5\)"),
        ({"row_offset": np.full(9, np.inf)}, "finite"),
        ({"norms": np.zeros((3, 3), int)}, "norms must have shape"),
        ({"gram": np.ones((3, 4, 3, 4), int)}, "gram must be 0"),
        ({"shifts": np.full(3, 32)}, "shifts must be from 0 to 31"),
        ({"prototypes": np.full((3, 4, 5), -128)}, "prototypes must be from -127 to 127"),
        ({"norms": np.full((3, 4), 2**31 - 1)}, "score could exceed 32 bits"),
    ],
)
def test_codes_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(random_codes(0, n_features=9, rank=5, n_codebooks=3, n_prototypes=4), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matrix": np.full((9, 5), -128)}, "matrix must be from -127 to 127"),
        ({"shifts": np.full(5, 32)}, "shifts must be from 0 to 31"),
        ({"added": np.full(5, 2**31 - 1)}, "projection could exceed 32 bits"),
        ({"added": np.zeros(4, int)}, "added must have shape"),
        ({"matrix": np.zeros(5, np.int8)}, r"shape \(D, r\)"),
    ],
)
def test_projections_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    codes = random_codes(0, n_features=9, rank=5, n_codebooks=3, n_prototypes=4)
    assert codes.projection is not None
    with pytest.raises(ValueError, match=message):
        replace(codes.projection, **changes)


def test_trees_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="thresholds must have shape"):
        HashTrees(np.zeros((2, 2), int), np.zeros((2, 2)), 4)
