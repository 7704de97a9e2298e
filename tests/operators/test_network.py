"""Compiled networks equal their definition bit for bit, at every level and size."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler import llvm
from maddjit.compiler.network import planner, settings
from maddjit.compiler.network.planner import NETWORK_SYMBOL, plan_network
from maddjit.compiler.render import render_network
from maddjit.compiler.target import Target, named
from maddjit.models.network import AveragePool, Exact, MaxPool, Network, Planes
from maddjit.models.window import Window
from maddjit.operators.network import NetworkOperator
from maddjit.operators.network_code import CompiledNetwork
from maddjit.reference.network import run
from tests.operators.test_memory import between_guards
from tests.random_networks import SAME, Making, chain, residual


def images_for(network: Network, n_images: int, seed: int = 0) -> NDArray[Any]:
    rng, shape = np.random.default_rng(seed), (n_images, *network.input_shape)
    if network.dtype == np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(np.float32)


def assert_same(op: NetworkOperator, n_images: int, **options: Any) -> None:
    images = images_for(op.network, n_images)
    expected, found = run(op.network, images), op(images, **options)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert (found == expected).all()


@pytest.mark.parametrize("make", [chain, residual])
def test_bits(level: str, make: Any) -> None:
    op = maddjit.compile(make(0), level)
    for n_images in (0, 1, 5, 64, 65):
        assert_same(op, n_images)


@pytest.mark.quick(4)
@pytest.mark.parametrize("seed", range(12))
def test_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(int(n) for n in rng.integers(1, 10, 2))
    dtype = ("float32", "uint8")[seed % 2]
    for network in (chain(seed, dtype, size), residual(seed, size)):  # type: ignore[arg-type]
        assert_same(maddjit.compile(network), 5)


def test_images_with_odd_numbers() -> None:
    op = maddjit.compile(chain(3))
    images = images_for(op.network, 6)
    images[0, 0, 0, :4] = np.nan, np.inf, -np.inf, -0.0
    images[1:3] *= np.float32(1e30)
    assert (op(images) == run(op.network, images)).all()


def test_the_workspace_may_hold_anything() -> None:
    op = maddjit.compile(residual(1))
    rng = np.random.default_rng(0)
    for _ in range(3):
        memory = op._workspace()
        memory[:] = rng.integers(0, 256, memory.size)
        op._spare.append(memory)
        assert_same(op, 9)


def test_threads() -> None:
    op = maddjit.compile(chain(1), threads=2)
    for n_images in (1, 2, 7, 200):
        assert_same(op, n_images)
        assert_same(op, n_images, threads=3)


def test_layouts_and_out() -> None:
    op = maddjit.compile(chain(2))
    images = images_for(op.network, 10)
    expected = run(op.network, images)
    for given in (np.asfortranarray(images), images[::2], images[::-1], images[:, :, ::-1]):
        assert (op(given) == run(op.network, given)).all()
    for out in (np.empty_like(expected), np.empty_like(expected, order="F")):
        assert op(images, out=out) is out
        assert (out == expected).all()
    with pytest.raises(ValueError, match="out must have shape"):
        op(images, out=expected[:3])
    with pytest.raises(TypeError, match="float32"):
        op(images.astype(np.float64))
    with pytest.raises(ValueError, match=r"\(N, 1, 8, 9\)"):
        op(images[..., 1:])


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("make", [chain, residual])
def test_guard_pages(level: str, make: Any, at_end: bool) -> None:
    op = maddjit.compile(make(4), level)
    for n_images in (1, 6):
        images = images_for(op.network, n_images)
        expected = run(op.network, images)
        with (
            between_guards(images.nbytes, at_end) as memory,
            between_guards(expected.nbytes, at_end) as results,
            between_guards(-(-op._workspace_bytes // 64) * 64, at_end) as workspace,
        ):
            given = memory.view(images.dtype).reshape(images.shape)
            given[...] = images
            out = results.view(expected.dtype).reshape(expected.shape)
            op._do(given, out, workspace, 0, op._n_operations)
            assert (out == expected).all()


def test_planes_as_the_result() -> None:
    made = Making(0, (2, 5, 7))
    made.look_up(SAME, 3, 4)
    assert_same(maddjit.compile(made.network()), 7)
    made.pool(MaxPool(Window((5, 7))))
    assert_same(maddjit.compile(made.network()), 7)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 4)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_windows(kernel: tuple[int, int], stride: tuple[int, int]) -> None:
    window = Window(kernel, stride, (kernel[0] - 1, 0, 1, kernel[1] // 2), (1, 2))
    for add in (
        lambda made: made.look_up(window, 4, 3, groups=2),
        lambda made: made.exact(window, 6, groups=2),
        lambda made: made.pool(MaxPool(window)),
        lambda made: made.pool(AveragePool(window)),
    ):
        made = Making(1, (2, 9, 8))
        add(made)
        assert_same(maddjit.compile(made.network()), 3)


def test_large_sums_of_few_bits() -> None:
    """Every tile of outputs, and sums as large as float32 holds them."""
    made = Making(5, (40, 3, 3), "uint8")
    given, window = made.planes(), SAME
    weights = np.full((13, 40, 3, 3), 127)
    weights[5:9] = -128
    layer = Exact(
        weights, np.full(13, 1e-4), np.zeros(13), window, 1, Epilogue("int8", step=1, zero_point=2)
    )
    made.add(layer, None, Planes(13, given.height, given.width, 1, 2))
    made.dense(11)
    assert_same(maddjit.compile(made.network()), 33)


def test_groups_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    network = chain(6)
    for most in (1, 5000, 10**9):
        monkeypatch.setattr(settings, "GROUP_BYTES", most)
        op = NetworkOperator(network, None, 1, built_apart)
        assert_same(op, 70)
    assert op.plan.images == settings.MOST_IMAGES


def built_apart(network: Network, target: Target) -> CompiledNetwork:
    """Compile a network without the cache."""
    first, *others = render_network(plan_network(network, target))
    code = llvm.to_object(first, target, linked=others)
    function = llvm.load(code, NETWORK_SYMBOL, target, f"{NETWORK_SYMBOL}_about")
    return CompiledNetwork(function, len(code), {})


def test_plain_products() -> None:
    """Targets without products of words multiply integers of 32 bits."""
    level = named("x86-64")
    target = replace(
        level, intrinsics=tuple(name for name in level.intrinsics if "pmadd" not in name)
    )
    assert target.whole_numbers is None
    op = NetworkOperator(residual(7), "x86-64", 1, lambda network, _: built_apart(network, target))
    assert_same(op, 5)


def test_pickles_and_reports() -> None:
    op = maddjit.compile(chain(0), threads=2)
    again = pickle.loads(pickle.dumps(op))
    assert_same(again, 3)
    assert repr(again) == repr(op)
    report = op.report
    assert [layer.kind for layer in report.layers] == [step.kind for step in op.network.steps]
    assert sum(layer.table_bytes for layer in report.layers) == report.table_bytes
    assert "look-ups" not in str(report)
    assert "C=6, K=16" in str(report)
    timed = op.profile(images_for(op.network, 2))
    assert abs(sum(layer.share for layer in timed) - 1) < 1e-9
    with pytest.raises(ValueError, match="needs images"):
        op.profile(images_for(op.network, 0))


def test_code_as_text() -> None:
    op = maddjit.compile(chain(0))
    assert op.ir().count("target triple") == 4
    assert f"define void @{NETWORK_SYMBOL}(" in op.ir("optimized")
    assert NETWORK_SYMBOL in op.asm()
    with pytest.raises(ValueError, match="stage must be"):
        op.ir("other")  # type: ignore[arg-type]
    assert str(op.plan).startswith("symbol")


def test_options() -> None:
    with pytest.raises(ValueError, match="no options"):
        maddjit.compile(chain(0), result="argmax")  # type: ignore[call-overload]


def test_plans_are_equal() -> None:
    target = named("x86-64-v3")
    assert repr(planner.plan_network(residual(0), target)) == repr(
        planner.plan_network(residual(0), target)
    )
