"""The record of a short list: what it refuses, and how it is kept."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.models.records import fields_of
from maddjit.models.short_list import ShortList
from tests.random_models import random_model, with_core, with_short_list

MODEL = with_short_list(
    random_model(0, n_features=9, n_codebooks=4, n_prototypes=16, n_outputs=7), 2, 5
)
SHORT = MODEL.short_list
assert SHORT is not None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("k", 0, "k must be"),
        ("k", 8, "k must be"),
        ("tables", np.zeros((4, 16, 6), np.uint8), "tables must have shape"),
        ("tables", np.zeros((4, 16), np.uint8), "tables and B must have shapes"),
        ("tables", np.full((258, 16, 7), 255, np.uint8), "more than 65535"),
        ("B", np.full((9, 7), np.nan), "finite"),
        ("bias", np.full(7, np.inf), "finite"),
        ("bias", np.zeros(6), "bias must have shape"),
        ("margins", np.array([-1]), "ascending"),
        ("margins", np.zeros(0, int), "must have shape"),
        ("covered", np.array([10]), "must ascend"),
        ("covered", np.array([8]), "must ascend"),
        ("covered", np.array([-1]), "must ascend"),
        ("lengths", np.zeros((1, 2)), "lengths must have shape"),
    ],
)
def test_what_is_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ShortList(**(fields_of(SHORT) | {name: value}))


def test_it_fits_its_model() -> None:
    other = random_model(0, n_features=8, n_codebooks=4, n_prototypes=16, n_outputs=7)
    with pytest.raises(ValueError, match="the short list must have"):
        replace(other, short_list=SHORT)
    for unfit in (
        replace(MODEL, short_list=None, accumulate="average"),
        with_core(replace(MODEL, short_list=None), 2),
    ):
        with pytest.raises(ValueError, match="core or averages"):
            replace(unfit, short_list=SHORT)
    with pytest.raises(TypeError, match="must be a ShortList"):
        replace(MODEL, short_list="short")  # type: ignore[arg-type]


def test_it_is_frozen_and_copied_by_its_constructor() -> None:
    for made in (copy.deepcopy(SHORT), pickle.loads(pickle.dumps(SHORT))):
        assert not made.tables.flags.writeable
        assert (made.tables == SHORT.tables).all()
    assert "k=2, M=7" in repr(SHORT)


def test_it_is_saved_with_its_model(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    maddjit.save(MODEL, path)
    read = maddjit.load(path).short_list
    assert read is not None
    for name, value in fields_of(SHORT).items():
        assert np.array_equal(getattr(read, name), value)
    arrays = dict(np.load(path))
    arrays["short_list.covered"] = np.array([10**6])
    np.savez(path, **arrays)
    with pytest.raises(maddjit.ModelFileError, match="covered"):
        maddjit.load(path)
