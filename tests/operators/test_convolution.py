"""Convolutions by look-ups equal im2col and the reference, bit for bit."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product as product_of
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import maddjit
from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.models.window import Window
from maddjit.operators import bands
from maddjit.reference import convolution as reference
from tests.conftest import RUNNABLE, same_bits
from tests.operators.test_memory import between_guards
from tests.random_models import with_trees

REQUANTISED = Epilogue("int8", step=0.013, zero_point=-128, arithmetic="integer")
EPILOGUES = (
    None,
    REQUANTISED,
    Epilogue("uint8", low=-0.5, step=0.013, zero_point=40),
    Epilogue("float16", low=0),
)
LAYOUTS: dict[str, Any] = {
    "rows": np.ascontiguousarray,
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "every other": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "reversed": lambda x: np.ascontiguousarray(x[:, ::-1, ::-1])[:, ::-1, ::-1],
}


def product(
    n_features: int, n_outputs: int, n_codebooks: int, n_prototypes: int = 16
) -> MaddnessModel:
    """Return a random product; its thresholds are among the numbers of int8."""
    rng = np.random.default_rng(n_features)
    depth = n_prototypes.bit_length() - 1
    thresholds = rng.integers(-100, 100, (n_codebooks, n_prototypes - 1))
    return MaddnessModel(
        HashTrees(
            rng.integers(0, n_features, (n_codebooks, depth)),
            np.sort(thresholds).astype(np.float32),
            n_features,
        ),
        tables=rng.integers(0, 256, (n_codebooks, n_prototypes, n_outputs), dtype=np.uint8),
        scale=np.full(n_outputs, np.float32(0.012 / n_codebooks)),
        offset=np.full(n_outputs, np.float32(-1)),
    )


def model_of(
    window: Window, channels: int = 3, n_outputs: int = 5, groups: int = 1, fill: int = 7
) -> ConvolutionModel:
    """Return a random convolution of so many channels and outputs in each group."""
    own = product(channels * window.n_taps, n_outputs, 6)
    return ConvolutionModel((own,) * groups, window, fill)


def planes(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    """Return random planes, those of floats with NaN and infinities."""
    rng = np.random.default_rng(seed)
    if dtype == "uint8":
        return rng.integers(0, 256, shape).astype(dtype)
    x = rng.integers(-128, 128, shape).astype(dtype)
    if x.dtype.kind == "f" and x.size > 9:
        x.flat[:: max(1, x.size // 9)] = np.nan
        x.flat[1 :: max(1, x.size // 7)] = np.inf
        x.flat[2 :: max(1, x.size // 7)] = -np.inf
    return x


WINDOWS = st.builds(
    Window,
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*4 * (st.integers(0, 3),)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
)


@pytest.mark.parametrize("level", RUNNABLE)
@settings(max_examples=12)
@given(
    window=WINDOWS,
    shape=st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)),
    groups=st.integers(1, 2),
    dtype=st.sampled_from(["int8", "uint8", "float32", "float16"]),
    epilogue=st.sampled_from(EPILOGUES),
    layout=st.sampled_from(list(LAYOUTS)),
    threads=st.sampled_from([1, 3]),
)
def test_bits_at_every_size(
    level: str,
    window: Window,
    shape: tuple[int, int, int],
    groups: int,
    dtype: str,
    epilogue: Epilogue | None,
    layout: str,
    threads: int,
) -> None:
    n_images, height, width = shape
    model = model_of(window, groups=groups)
    op = maddjit.compile(model, level, dtype=dtype, epilogue=epilogue, threads=threads)
    op._runner(op._request.signature)._least_rows = 1
    x = LAYOUTS[layout](planes((n_images, 3 * groups, height, width), dtype))
    try:
        window.output_size(height, width)
    except ValueError:
        with pytest.raises(ValueError, match="too small"):
            op(x)
        return
    expected = reference.convolve(model, x, epilogue)
    for _ in range(2):  # the second time with the memory of the first one
        assert same_bits(np.ascontiguousarray(op(x)), expected)
    assert same_bits(np.ascontiguousarray(op.sums(x)), reference.sums(model, x))
    assert same_bits(np.ascontiguousarray(op.encode(x)), reference.encode(model, x))


CASES = [
    (Window((3, 3), padding=(1, 1, 1, 1)), 1),
    (Window((1, 1)), 1),
    (Window((1, 1), stride=(2, 2), padding=(2, 1, 4, 3)), 1),
    (Window((3, 3), (2, 2), (0, 1, 0, 1)), 2),
    (Window((5, 3), (1, 2), (2, 0, 1, 3), (1, 2)), 1),
    (Window((3, 3)), 3),
]


@pytest.mark.quick(6)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize(("window", "groups"), CASES, ids=str)
def test_bits_in_bands(
    level: str, window: Window, groups: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "PART_BYTES", 2000)
    monkeypatch.setattr(bands, "LEAST_ROWS", 1)
    monkeypatch.setattr(bands, "LEAST_IN_PLACE", 100)
    model = model_of(window, channels=9, n_outputs=20, groups=groups)
    op = maddjit.compile(model, level, dtype=dtype, epilogue=REQUANTISED)
    op._runner(op._request.signature)._least_rows = 1
    for n_images, height, width in ((1, 41, 33), (5, 9, 16), (2, 20, 70), (1, 8, 140)):
        x = planes((n_images, 9 * groups, height, width), dtype)
        expected = reference.convolve(model, x, REQUANTISED)
        for layout in LAYOUTS.values():
            for threads in (1, 2, 5):
                found = op(layout(x), threads=threads)
                assert same_bits(np.ascontiguousarray(found), expected)
        assert same_bits(np.ascontiguousarray(op.encode(x)), reference.encode(model, x))
        assert same_bits(np.ascontiguousarray(op.sums(x)), reference.sums(model, x))


@pytest.mark.quick(6)
@pytest.mark.parametrize("dtype", ["int8", "float32", "quantised"])
@pytest.mark.parametrize(("window", "groups"), CASES, ids=str)
def test_guard_pages_around_planes(
    level: str, window: Window, groups: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "LEAST_IN_PLACE", 30)
    channels = 3 * groups
    model = model_of(window, groups=groups)
    quantise = Epilogue("int8", step=1.5, zero_point=3) if dtype == "quantised" else None
    form = np.dtype(np.float32 if quantise else dtype)
    op = maddjit.compile(model, level, dtype=form.name, epilogue=REQUANTISED, quantise=quantise)
    for n_images, height, width in ((1, 3, 3), (2, 7, 5), (3, 4, 17), (1, 9, 34)):
        x = planes((n_images, channels, height, width), form.name)
        size = (n_images, model.n_outputs, *window.output_size(height, width))
        expected = reference.convolve(model, quantise(x) if quantise else x, REQUANTISED)
        for at_end, is_last in product_of((True, False), (True, False)):
            with (
                between_guards(x.nbytes, at_end) as memory_x,
                between_guards(int(np.prod(size)), at_end) as memory_y,
            ):
                inside = as_planes(memory_x.view(form), x.shape, is_last)
                out = as_planes(memory_y.view(np.int8), size, is_last)
                inside[...] = x
                assert op(inside, out=out) is out
                assert same_bits(np.ascontiguousarray(out), expected)


def as_planes(memory: NDArray[Any], shape: tuple[int, ...], is_last: bool) -> NDArray[Any]:
    """Return memory as planes, with contiguous rows or with channels last."""
    if not is_last:
        return memory.reshape(shape)
    n_images, channels, height, width = shape
    return memory.reshape(n_images, height, width, channels).transpose(0, 3, 1, 2)


def test_memory_stays_inside_its_workspace(level: str) -> None:
    model = model_of(CASES[0][0], channels=9, n_outputs=20)
    op = maddjit.compile(model, level, dtype="int8")
    runner = op._runner(op._request.signature)
    for shape in ((1, 9, 1, 1), (2, 9, 7, 9), (1, 9, 20, 33)):
        x = planes(shape, "int8")
        expected = op(x)
        span = (0, len(x) * shape[2])
        n_bytes = runner._new_steps((False, *span), x, expected).n_bytes + runner._workspace_bytes
        for at_end in (True, False):
            with between_guards(n_bytes, at_end) as workspace:
                workspace[:] = 0xA5
                runner._spare[:] = [workspace]
                assert same_bits(op(x), expected)
                assert runner._spare.pop() is workspace


def test_layouts_of_results(level: str) -> None:
    model = model_of(CASES[0][0])
    op = maddjit.compile(model, level, dtype="int8")
    x = planes((2, 3, 6, 5), "int8")
    expected = reference.convolve(model, x)
    assert op(x).flags.c_contiguous
    assert op(LAYOUTS["channels last"](x)).transpose(0, 2, 3, 1).flags.c_contiguous
    wide = np.full((2, 5, 6, 11), -7.0, np.float32)
    assert op(x, out=wide[..., 1:11:2]).base is wide
    assert same_bits(np.ascontiguousarray(wide[..., 1:11:2]), expected)
    wide[..., 1:11:2] = -7
    assert (wide == -7).all()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_are_planes_whatever_their_size(groups: int, layout: str) -> None:
    for window in (Window((1, 1)), Window((1, 1), (2, 2)), Window((3, 3), padding=(1, 1, 1, 1))):
        model = model_of(window, groups=groups)
        op = maddjit.compile(model)
        for size in ((0, 1, 1), (1, 1, 1), (5, 1, 1), (3, 1, 7), (2, 7, 1), (2, 8, 9)):
            n_images, height, width = size
            x = LAYOUTS[layout](planes((n_images, 3 * groups, height, width), "float32"))
            found, expected = op(x), reference.convolve(model, x)
            shape = (n_images, 5 * groups, *window.output_size(height, width))
            assert found.shape == expected.shape == op.sums(x).shape == shape
            assert same_bits(np.ascontiguousarray(found), expected)


def test_out_may_overlap_x(level: str) -> None:
    model = model_of(CASES[0][0], channels=5, n_outputs=5)
    op = maddjit.compile(model, level, dtype="int8", epilogue=REQUANTISED)
    x = planes((2, 5, 8, 9), "int8")
    expected = reference.convolve(model, x, REQUANTISED)
    assert same_bits(op(x, out=x), expected)


def test_sums_in_other_formats(level: str) -> None:
    model = model_of(CASES[0][0])
    op = maddjit.compile(model, level, dtype="int8")
    x = planes((1, 3, 4, 4), "int8")
    out = np.empty((1, 5, 4, 4), np.uint16)
    assert (op.sums(x, out=out) == reference.sums(model, x)).all()
    with pytest.raises(TypeError, match="uint16 or int32"):
        op.sums(x, out=out.astype(np.uint8))


def test_many_threads_and_pickles() -> None:
    model = model_of(CASES[3][0], groups=2)
    op = maddjit.compile(model, dtype="int8", epilogue=REQUANTISED, threads=2)
    again = pickle.loads(pickle.dumps(op))
    inputs = [planes((n, 6, h, w), "int8") for n in (1, 3) for h in (4, 9) for w in (5, 20)]
    expected = [reference.convolve(model, x, REQUANTISED) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(again, inputs), expected, strict=True):
                assert same_bits(found, wanted)


def test_report_and_texts() -> None:
    model = model_of(CASES[3][0], groups=2)
    op = maddjit.compile(model, "x86-64", dtype="int8")
    op.sums(planes((1, 6, 5, 5), "int8"))
    report = op.report
    assert report.groups == 2
    assert "int8 F → outputs by columns" in report.kernels
    assert "int8 F → int32 sums by columns" in str(report)
    assert "a window of 3 × 3, stride 2 × 2, padding 0, 1, 0, 1, 2 groups" in str(report)
    assert "maddjit_enter_i8_x86_64" in str(report)
    assert repr(op) == (
        "ConvolutionOperator((N, 6, H, W) → (N, 10, Ho, Wo), a window of 3 × 3, stride 2 × 2, "
        "padding 0, 1, 0, 1, groups=2, C=6, K=16, target='x86-64', 16-bit sums)"
    )
    assert "int8_placed" in op.ir()
    assert op.plan.symbol in op.asm()
    assert "uint8_placed" in op.kernel("uint8", group=1).plan.symbol


def test_bad_input() -> None:
    model = model_of(CASES[0][0])
    op = maddjit.compile(model, dtype="int8")
    x = planes((2, 3, 6, 5), "int8")
    for wrong, error, said in (
        (x[0], ValueError, r"\(N, 3, H, W\), not \(3, 6, 5\)"),
        (x[:, :2], ValueError, r"\(N, 3, H, W\), not \(2, 2, 6, 5\)"),
        (x.transpose(0, 2, 3, 1), ValueError, "x.transpose"),
        (x[:, :, :0], ValueError, "at least one row and one column"),
        (x[..., :0], ValueError, "at least one row and one column"),
        (x.astype(np.int64), TypeError, "x must hold float32"),
        (x.astype(complex), TypeError, "x must hold float32"),
    ):
        with pytest.raises(error, match=said):
            op(wrong)
    assert op(x[:0]).shape == (0, 5, 6, 5)
    with pytest.raises(ValueError, match="out must have shape"):
        op(x, out=np.empty((2, 5, 6, 6), np.float32))
    with pytest.raises(TypeError, match="out must be an array of float32"):
        op(x, out=np.empty((2, 5, 6, 5)))
    with pytest.raises(ValueError, match="threads"):
        op(x, threads=0)
    small = maddjit.compile(ConvolutionModel(model.products, Window((3, 3))), dtype="int8")
    with pytest.raises(ValueError, match="at least 3 columns"):
        small(x[..., :2])
    negative = maddjit.compile(model_of(CASES[0][0], fill=-1), dtype="int8")
    with pytest.raises(ValueError, match="uint8 cannot hold -1"):
        negative(x.view(np.uint8))


def test_options_that_do_not_fit() -> None:
    model: Any = model_of(CASES[0][0])
    step = Epilogue("int8", step=0.5)
    for options, said in (
        ({"order": "F"}, "leave out"),
        ({"result": "argmax"}, "leave out"),
        ({"tune": True}, "leave out"),
        ({"dtype": "int7"}, "dtype"),
        ({"quantise": Epilogue()}, "quantise must be"),
        ({"quantise": REQUANTISED}, "quantise must be"),
        ({"quantise": step, "dtype": "uint8"}, "quantised to int8"),
        ({"threads": 0}, "threads"),
    ):
        with pytest.raises(ValueError, match=said):
            maddjit.compile(model, **options)
    with pytest.raises(ValueError, match="for the planes"):
        maddjit.compile(model.products[0], quantise=step)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"each of its \.products is one"):
        MaddnessModel.of(model)
    op = maddjit.compile(model, quantise=step)
    with pytest.raises(TypeError, match="float32, which is quantised, or int8, not uint8"):
        op(planes((1, 3, 4, 4), "uint8"))


@pytest.mark.parametrize("epilogue", [REQUANTISED, None], ids=["int8", "float32"])
def test_trees_that_are_merged_and_trees_whose_leaves_are_exchanged(
    level: str, epilogue: Epilogue | None
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
    model = with_trees(model, split_dims=split_dims, thresholds=thresholds)
    model = replace(model, tables=tables)
    convolution = ConvolutionModel((model,), Window((3, 3), padding=(1, 1, 1, 1)), -3)
    op = maddjit.compile(convolution, level, dtype="int8", epilogue=epilogue)
    for shape in ((1, 3, 1, 2), (1, 3, 9, 7), (3, 3, 10, 12)):
        x = planes(shape, "int8")
        expected = reference.convolve(convolution, x, epilogue)
        assert same_bits(np.ascontiguousarray(op(x)), expected)
