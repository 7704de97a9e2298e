"""Convolutions by look-ups equal the reference bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.maddness import MaddnessModel
from maddjit.models.window import Window
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.pipeline import build
from maddjit.reference.convolution import convolve

WINDOWS = [
    (Window((3, 3), padding=(1, 1, 1, 1)), 1),
    (Window((1, 1), stride=(2, 2)), 1),
    (Window((3, 3), (2, 2), (0, 1, 0, 1)), 2),
    (Window((5, 3), (1, 2), (2, 0, 1, 3), (1, 2)), 1),
]
REQUANTISED = Epilogue("int8", step=0.013, zero_point=-128, arithmetic="integer")


def product(n_features: int, n_outputs: int, n_codebooks: int) -> MaddnessModel:
    rng = np.random.default_rng(n_features)
    return MaddnessModel(
        split_dims=rng.integers(0, n_features, (n_codebooks, 4)),
        thresholds=np.sort(rng.integers(-100, 100, (n_codebooks, 15))).astype(np.float32),
        tables=rng.integers(0, 256, (n_codebooks, 16, n_outputs), dtype=np.uint8),
        scale=np.full(n_outputs, np.float32(0.012 / n_codebooks)),
        offset=np.full(n_outputs, np.float32(-1)),
        n_features=n_features,
    )


@pytest.mark.parametrize("epilogue", [REQUANTISED, Epilogue()], ids=["int8", "float32"])
@pytest.mark.parametrize(("window", "groups"), WINDOWS, ids=str)
def test_bits(window: Window, groups: int, epilogue: Epilogue) -> None:
    model = ConvolutionModel((product(3 * window.n_taps, 5, 6),) * groups, window)
    op = ConvolutionOperator(model, build, dtype="int8", epilogue=epilogue, fill=7)
    rng = np.random.default_rng(0)
    for n_images, height, width in ((1, 5, 5), (3, 9, 4), (2, 8, 16)):
        x = rng.integers(-128, 128, (n_images, 3 * groups, height, width), dtype=np.int8)
        expected = convolve(model, x, epilogue, fill=7)
        result = op(x)
        assert result.dtype == expected.dtype
        assert (result == expected).all()


@pytest.mark.parametrize("epilogue", [REQUANTISED, Epilogue()], ids=["int8", "float32"])
def test_trees_that_are_merged_and_trees_whose_leaves_are_exchanged(
    level: str, epilogue: Epilogue
) -> None:
    """Some trees split the same columns, some are equal, and some send all bytes to the right."""
    model = product(27, 5, 21)
    split_dims, thresholds = np.array(model.split_dims), np.array(model.thresholds)
    split_dims[3:9] = split_dims[2]
    thresholds[3:6] = thresholds[2]
    thresholds[12:, ::2] = -128
    thresholds[15:, 1::3] = -400
    thresholds[18:, 5:] = 300
    tables = np.array(model.tables)
    tables[20] = 0
    model = replace(model, split_dims=split_dims, thresholds=thresholds, tables=tables)
    convolution = ConvolutionModel((model,), Window((3, 3), padding=(1, 1, 1, 1)))
    op = ConvolutionOperator(convolution, build, level, "int8", epilogue, fill=-3)
    rng = np.random.default_rng(0)
    for n_images, height, width in ((1, 1, 2), (1, 9, 7), (3, 10, 12)):
        x = rng.integers(-128, 128, (n_images, 3, height, width), dtype=np.int8)
        assert (op(x) == convolve(convolution, x, epilogue, fill=-3)).all()
