"""Movements of planes equal assignments of NumPy, for all sizes, and touch nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler import llvm
from maddjit.compiler.planes.drive import DriveRequest
from maddjit.compiler.planes.plan import plan_move
from maddjit.compiler.planes.sizes import Sizes
from maddjit.compiler.render import render
from maddjit.compiler.target import LEVELS, named, resolve
from maddjit.operators.building import build
from maddjit.operators.moving import move
from tests.operators.test_memory import between_guards

LAYOUTS = {
    "rows": lambda n, c, h, w: ((n, c, h, w), (0, 1, 2, 3)),
    "channels last": lambda n, c, h, w: ((n, h, w, c), (0, 3, 1, 2)),
    "columns": lambda n, c, h, w: ((n, c, w, h), (0, 1, 3, 2)),
}
"""For planes (N, C, H, W), the shape in memory, and which of its axes become theirs."""
SHAPES = [
    *((1, 2, 3, width) for width in range(1, 10)),
    *((2, 3, 2, width) for width in (15, 16, 17, 31, 33, 63, 65, 130)),
    (2, 16, 3, 16),
    (1, 37, 2, 35),
    (3, 17, 1, 5),
    (1, 1, 1, 1),
]
QUANTISED = Epilogue("int8", step=0.37, zero_point=-3)


def sizes_of(x: NDArray[Any], itemsize: int, rng: np.random.Generator) -> Sizes:
    """Return the sizes of a frame with gaps of random sizes for an array."""
    images, channels, rows, columns = x.shape
    above, pitch = int(rng.integers(3)), columns + int(rng.integers(4))
    image_step = pitch * (rows + above + int(rng.integers(3)))
    lead, tail = (int(n) for n in rng.integers(5, size=2))
    run = lead + images * image_step + tail
    return Sizes(
        *(channels, images, rows, columns, itemsize * (run + int(rng.integers(3)))),
        *(image_step, pitch, lead, tail, above),
        *(x.strides[1], x.strides[0], x.strides[2], x.strides[3]),
    )


def frame_views(frame: NDArray[Any], sizes: Sizes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a frame's runs, and the images in them."""
    run = sizes.lead + sizes.images * sizes.image_step + sizes.tail
    itemsize = frame.itemsize
    runs = np.lib.stride_tricks.as_strided(
        frame, (sizes.channels, run), (sizes.plane_step, itemsize)
    )
    images = np.lib.stride_tricks.as_strided(
        frame[sizes.lead + sizes.above * sizes.pitch :],
        (sizes.images, sizes.channels, sizes.rows, sizes.columns),
        (
            sizes.image_step * itemsize,
            sizes.plane_step,
            sizes.pitch * itemsize,
            itemsize,
        ),
    )
    return runs, images


def frame_bytes(sizes: Sizes, itemsize: int) -> int:
    """Return the bytes of a frame."""
    run = sizes.lead + sizes.images * sizes.image_step + sizes.tail
    return (sizes.channels - 1) * sizes.plane_step + run * itemsize


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "float64", "quantised"])
def test_moves(level: str, dtype: str, layout: str, at_end: bool) -> None:
    rng = np.random.default_rng(0)
    quantise = QUANTISED if dtype == "quantised" else None
    form = np.dtype(np.float32 if quantise else dtype)
    inner = np.dtype(np.int8) if quantise else form
    target = resolve(level, llvm.host())
    enter = move("enter", inner.itemsize, target, build, quantise)
    leave = move("leave", inner.itemsize, target, build)
    for shape in SHAPES:
        in_memory, axes = LAYOUTS[layout](*shape)
        n_bytes = int(np.prod(shape)) * form.itemsize
        with between_guards(n_bytes, at_end) as outside:
            array = outside.view(form).reshape(in_memory)
            array[...] = rng.integers(0, 100, in_memory)
            if quantise:
                array[...] = rng.standard_normal(in_memory) * 40
                array.flat[::7] = (np.nan, np.inf, -np.inf, 0.185, -0.185)[len(in_memory) % 5]
            x = array.transpose(axes)
            sizes = replace(sizes_of(x, inner.itemsize, rng), fill=0x7F)
            told = sizes.array()
            with between_guards(frame_bytes(sizes, inner.itemsize), at_end) as inside:
                inside[:] = rng.integers(0, 256, inside.size)
                before = inside.copy()
                frame = inside.view(inner)
                enter.run(x.ctypes.data, frame.ctypes.data, told.ctypes.data)
                _runs, images = frame_views(frame, sizes)
                wanted = quantise(x) if quantise else x
                expected = before.view(inner)
                expected_runs, expected_images = frame_views(expected, sizes)
                expected_runs[...] = np.array(0x7F, f"u{inner.itemsize}").view(inner)
                expected_images[...] = wanted
                assert (inside == before).all(), shape
                if quantise:
                    continue
                array[...] = 0
                leave.run(frame.ctypes.data, x.ctypes.data, told.ctypes.data)
                assert (x == images).all(), shape


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("step", [2, -2, 3, -1])
@pytest.mark.parametrize("dtype", ["int8", "float32", "quantised"])
def test_columns_apart(level: str, dtype: str, step: int, at_end: bool) -> None:
    rng = np.random.default_rng(1)
    quantise = QUANTISED if dtype == "quantised" else None
    form = np.dtype(np.float32 if quantise else dtype)
    inner = np.dtype(np.int8) if quantise else form
    target = resolve(level, llvm.host())
    enter = move("enter", inner.itemsize, target, build, quantise)
    leave = move("leave", inner.itemsize, target, build)
    for n, c, h, w in SHAPES:
        apart = abs(step)
        width = apart * w
        n_elements = n * c * h * width - apart + 1
        with between_guards(n_elements * form.itemsize, at_end) as outside:
            flat = outside.view(form)
            flat[...] = rng.integers(0, 100, n_elements)
            steps = [form.itemsize * each for each in (c * h * width, h * width, width, apart)]
            x = np.lib.stride_tricks.as_strided(flat, (n, c, h, w), steps)
            x = x[..., ::-1] if step < 0 else x
            sizes = replace(sizes_of(x, inner.itemsize, rng), fill=0x7F)
            told = sizes.array()
            frame = rng.integers(0, 256, frame_bytes(sizes, inner.itemsize), np.uint8).view(inner)
            enter.run(x.ctypes.data, frame.ctypes.data, told.ctypes.data)
            images = frame_views(frame, sizes)[1]
            assert (images == (quantise(x) if quantise else x)).all(), (n, c, h, w)
            if not quantise:
                before = flat.copy()
                x[...] = 0
                leave.run(frame.ctypes.data, x.ctypes.data, told.ctypes.data)
                assert (flat == before).all(), (n, c, h, w)


def test_rows_that_are_one(level: str) -> None:
    target = resolve(level, llvm.host())
    enter, leave = (move(kind, 1, target, build) for kind in ("enter", "leave"))
    rng = np.random.default_rng(0)
    for layout in LAYOUTS.values():
        for images, channels, rows, columns in SHAPES:
            in_memory, axes = layout(images, channels, rows, columns)
            x = rng.integers(-100, 100, in_memory).astype(np.int8).transpose(axes)
            steps = (x.strides[1], x.strides[0], *x.strides[2:])
            image_step = columns * (rows + 3)
            run = 5 + images * image_step + 2
            sizes = Sizes(
                channels, images, rows, columns, run, image_step, columns, 5, 2, 2, *steps, 7
            )
            assert (sizes.merged.rows == 1) == (rows == 1 or layout is not LAYOUTS["columns"])
            frames = rng.integers(-100, 100, (2, channels * run)).astype(np.int8)
            for frame, told in zip(frames, (sizes.array(), sizes.merged.array()), strict=True):
                enter.run(x.ctypes.data, frame.ctypes.data, told.ctypes.data)
                again = np.zeros_like(x)
                if again.strides == x.strides:
                    leave.run(frame.ctypes.data, again.ctypes.data, told.ctypes.data)
                    assert (again == x).all()
            assert (frames[0] == frames[1]).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["enter", "leave"])
def test_every_level_has_code(level: str, kind: Any) -> None:
    for plan in (plan_move(kind, "i8", named(level)), DriveRequest(named(level)).plan()):
        assert plan.symbol in llvm.to_text_apart(render(plan), plan.target, "assembly")


def test_only_bytes_are_quantised() -> None:
    target = named("x86-64")
    with pytest.raises(ValueError, match="enter a frame of int8 or uint8"):
        plan_move("leave", "i8", target, QUANTISED)
    with pytest.raises(ValueError, match='must be "float"'):
        plan_move("enter", "i8", target, Epilogue("int8", arithmetic="integer"))


def test_plans_have_a_text() -> None:
    assert "maddjit_enter_i8_int8_x86_64" in str(
        plan_move("enter", "i8", named("x86-64"), QUANTISED)
    )
