"""Every number format of A and of the results, bit for bit, by instruction and by integer code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import Epilogue, reference
from maddjit.arrays.formats import INPUTS, OUTPUTS, bfloat16_to_float32, float32_to_bfloat16
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for, with_trees


def every_value(name: str) -> NDArray[Any]:
    """Return all values of a format of one or two bytes, in a random order, 16 to a row."""
    bits = np.arange(2 ** (8 * INPUTS[name].itemsize))
    np.random.default_rng(0).shuffle(bits)
    unsigned = bits.astype(f"u{INPUTS[name].itemsize}")
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else INPUTS[name].dtype
    return unsigned.view(dtype).reshape(-1, 16)


def model_for(name: str) -> MaddnessModel:
    """Return a model whose thresholds are values of the format, or lie between two of them."""
    model = random_model(3, n_features=16, n_codebooks=11, n_prototypes=16, n_outputs=37)
    values = every_value(name).astype(np.float32).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        values = values[~np.isnan(values)]
        rng = np.random.default_rng(1)
        thresholds = rng.choice(values, model.thresholds.shape)
        above = np.nextafter(thresholds, np.float32(np.inf))
    return with_trees(model, thresholds=np.where(rng.random(above.shape) < 0.3, above, thresholds))


SMALL = ["float16", "bfloat16", "int8", "uint8", "int16"]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_every_value_of_small_formats(level: str, name: str, order: Any) -> None:
    model = model_for(name)
    A = every_value(name)
    A = np.repeat(A, 2, axis=1)[:, ::2] if order == "strided" else np.asarray(A, order=order)
    op = maddjit.compile(model, level, dtype=name, order=order)
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op(A[:301]), reference.apply(model, A[:301]))


def test_bits_of_bfloat16_need_an_operator_for_them() -> None:
    model = model_for("bfloat16")
    A = every_value("bfloat16")[:50]
    bits = A.view(np.uint16)
    assert same_bits(maddjit.compile(model, dtype="bfloat16")(bits), reference.apply(model, A))
    with pytest.raises(TypeError, match="not uint16"):
        maddjit.compile(model)(bits)


def test_conversion_of_bfloat16_is_that_of_ml_dtypes() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**32, 100000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([values[~np.isnan(values)], np.float32([np.inf, -np.inf, 0, -0.0])])
    rounded = values.astype(ml_dtypes.bfloat16)
    assert same_bits(float32_to_bfloat16(values), rounded.view(np.uint16))
    assert same_bits(bfloat16_to_float32(rounded.view(np.uint16)), rounded.astype(np.float32))


EPILOGUES = [
    *(Epilogue(dtype=name) for name in OUTPUTS),
    Epilogue(low=0),
    Epilogue(high=0.25),
    Epilogue("float16", low=-0.1, high=3e5),
    Epilogue("float64", low=0.5, high=0.5),
    Epilogue("bfloat16", low=0),
    Epilogue("uint8", step=0.01, zero_point=128),
    Epilogue("int8", step=0.37, zero_point=-128),
    Epilogue("int8", low=0, step=1e-30, zero_point=5),
]


@pytest.mark.quick(14)
@pytest.mark.parametrize("epilogue", EPILOGUES, ids=str)
@pytest.mark.parametrize(("size", "offset"), [(1e-2, 0.0), (1.0, 0.5), (3e36, 0.0), (1e-9, 0.0)])
def test_epilogues(level: str, epilogue: Epilogue, size: float, offset: float) -> None:
    model = random_model(5, n_features=9, n_codebooks=5, n_prototypes=16, n_outputs=43)
    scale = (size * model.scale).astype(np.float32)
    model = replace(model, scale=scale, offset=np.full(43, offset, np.float32))
    A = rows_for(model, 70, "float32", 1)
    op = maddjit.compile(model, level, epilogue=epilogue)
    expected = reference.apply(model, A, epilogue)
    assert expected.dtype == OUTPUTS[epilogue.dtype].dtype
    assert same_bits(op(A), expected)
    assert same_bits(op(np.asfortranarray(A)), expected)
    out = np.empty_like(expected)
    assert op(A, out=out) is out
    assert same_bits(out, expected)
    assert same_bits(op.sums(A), reference.sums(model, A))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_halfway_cases_round_to_even(level: str, dtype: str) -> None:
    """Sums are whole numbers; scale and offset put outputs on and beside the halves of a unit."""
    tables = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(64, axis=2)
    units = 2.0 ** np.arange(-30, 34, dtype=np.float32) if dtype != "int8" else np.full(64, 0.5)
    offsets = np.float32(64 * units) if dtype != "int8" else np.linspace(-64, 64, 64)
    model = MaddnessModel(
        HashTrees(np.arange(8)[np.newaxis], np.zeros((1, 255)), 8), tables, units, offsets
    )
    A = np.where(np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8), 1, -1)
    A = A.astype(np.float32)
    epilogue = Epilogue(dtype)
    op = maddjit.compile(model, level, epilogue=epilogue)
    assert same_bits(op(A), reference.apply(model, A, epilogue))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int16"}, "not 'int16'"),
        ({"low": 1, "high": 0}, "low must not exceed high"),
        ({"low": np.nan}, "low must not exceed high"),
        ({"step": 0, "dtype": "int8"}, "step must be positive"),
        ({"step": 1e-45, "dtype": "int8"}, "step must be positive and finite"),
        ({"zero_point": 128, "dtype": "int8"}, "zero_point must fit int8"),
        ({"zero_point": 1}, "for int8 and uint8"),
    ],
)
def test_epilogues_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Epilogue(**options)


@pytest.mark.parametrize("zero_point", [1.5, True, np.True_, np.float32(2), "1", None])
def test_a_zero_point_is_a_whole_number(zero_point: Any) -> None:
    with pytest.raises(TypeError, match=r"whole number|integer"):
        Epilogue("int8", zero_point=zero_point)
    exact = Epilogue("int8", zero_point=np.int16(2))  # type: ignore[arg-type]
    assert repr(exact) == repr(Epilogue("int8", zero_point=2))
