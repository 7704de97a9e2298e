"""Convolutions by look-ups in PyTorch: bits of the reference, and gradients by their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from maddjit.integrations.torch import LookUpConv2d, Scale
from maddjit.integrations.torch import look_up_trees as trees
from maddjit.integrations.torch.look_up_planes import Requantised, ending_of
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.models.requantising import Requantising
from maddjit.models.window import Window
from maddjit.reference.convolution import convolve

WINDOWS = [
    Window((3, 3), padding=(1, 1, 1, 1)),
    Window((3, 3), (2, 2), (1, 1, 1, 1)),
    Window((1, 1)),
    Window((2, 3), (1, 2), (0, 1, 2, 0), (2, 1)),
]


def layer_of(
    window: Window, *, channels: int = 3, C: int = 4, K: int = 8, M: int = 5, **options: Any
) -> LookUpConv2d:
    """Return a layer drawn at random, whose outputs fill their range."""
    rng = np.random.default_rng(C + K)
    n_features, depth = channels * window.n_taps, K.bit_length() - 1
    product = MaddnessModel(
        HashTrees(
            rng.integers(0, n_features, (C, depth)),
            rng.integers(-100, 100, (C, K - 1)),
            n_features,
        ),
        tables=rng.integers(0, 256, (C, K, M)),
        scale=rng.uniform(0.002, 0.004, M),
        offset=-rng.uniform(0.4, 0.5, M) * C / 2,
    )
    options = {"input": Scale(0.02, -128), "output": Scale(0.01, -128), **options}
    return LookUpConv2d(ConvolutionModel((product,), window), **options)


def planes(*shape: int, seed: int = 0) -> Any:
    """Return int8 numbers."""
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("group", [1, 3, 4])
@pytest.mark.parametrize("relu", [True, False])
def test_outputs_are_those_of_the_reference(window: Window, group: int, relu: bool) -> None:
    output = Scale(0.01, -128) if relu else Scale(0.02, 7)
    layer = layer_of(window, byte_group=group, relu=relu, output=output)
    for seed in range(3):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        q = planes(2, 3, 6, 7, seed=seed)
        y = layer.eval()(torch.from_numpy(q).float())
        wanted = convolve(layer.model, q, layer.epilogue, layer.fill)
        assert wanted.std() > 10
        assert np.array_equal(y.detach().numpy(), wanted)
        assert torch.equal(layer.train()(torch.from_numpy(q).float()), y)


def test_entries_of_a_group_add_up_to_a_byte() -> None:
    layer = layer_of(WINDOWS[0], C=7, byte_group=3)
    tables = layer.model.products[0].tables
    most = np.add.reduceat(tables.max(axis=1).astype(int), [0, 3, 6], axis=0)
    assert 200 < most.max() <= 255


def test_entries_that_are_too_low_are_raised() -> None:
    """A unit of the sums is not above one of the outputs, so that `Requantising` can express it."""
    layer = layer_of(WINDOWS[0], output=Scale(0.001, -128))
    q = planes(2, 3, 6, 7)
    before = layer(torch.from_numpy(q).float())
    assert np.array_equal(
        before.detach().numpy(), convolve(layer.model, q, layer.epilogue, layer.fill)
    )
    tables = layer.tables.detach().clone()
    layer.project()
    assert (layer.tables >= tables).all()
    assert (layer.tables > tables).any()
    assert torch.equal(layer.tables.amax(1), tables.amax(1))
    assert torch.equal(layer(torch.from_numpy(q).float()), before)


@pytest.mark.parametrize("seed", range(20))
def test_endings_are_those_of_models(seed: int) -> None:
    rng = np.random.default_rng(seed)
    C = int(rng.choice([3, 130]))
    model = MaddnessModel(
        HashTrees(np.zeros((C, 2), int), np.zeros((C, 3)), 1),
        tables=rng.integers(0, 256, (C, 4, 6)),
        scale=rng.uniform(0, 1, 6) * 10.0 ** rng.integers(-4, 0),
        offset=rng.normal(size=6) * 20,
    )
    layer = layer_of(WINDOWS[0])
    epilogue = layer.epilogue
    largest = int(model.tables.max(axis=1).astype(int).sum(axis=0).max())
    arrays = torch.tensor(model.scale), torch.tensor(model.offset)
    try:
        wanted = Requantising.of(model, epilogue)
    except ValueError:
        with pytest.raises(ValueError, match="more than 16 bits"):
            ending_of(*arrays, largest, epilogue.step, -128, -128)
        return
    ending = ending_of(*arrays, largest, epilogue.step, -128, -128)
    assert np.array_equal(ending.multiplier.numpy(), wanted.multiplier)
    assert np.array_equal(ending.addend.numpy(), wanted.addend)
    assert ending[2:] == (wanted.shift, wanted.least, wanted.most)
    sums = np.random.default_rng(0).integers(0, largest + 1, (50, 6)).astype(np.int32)
    found = Requantised.apply(
        torch.from_numpy(sums.T).double(), torch.zeros(6), arrays[0], epilogue.step, ending
    )
    assert np.array_equal(found.numpy().T, wanted(sums))


def explicit(taps: Any, thresholds: Any, levels: Any, temperature: float) -> Any:
    """Return sums (M, R) with everything stored: paths, one-hot vectors, products."""
    n_codebooks, depth, n_rows = taps.shape
    soft = torch.ones(n_codebooks, 1, n_rows, dtype=taps.dtype)
    hard = soft.clone()
    for level in range(depth):
        nodes = thresholds[:, (1 << level) - 1 : (2 << level) - 1, None]
        h = taps[:, level, None] - nodes
        right = (1 + torch.tanh(h / temperature)) / 2
        soft = torch.stack((soft * (1 - right), soft * right), 2).flatten(1, 2)
        went = (taps[:, level, None] >= nodes).to(taps.dtype)
        hard = torch.stack((hard * (1 - went), hard * went), 2).flatten(1, 2)
    leaves = soft + (hard - soft).detach()
    entries = levels + (levels.round() - levels).detach()
    return torch.einsum("ckr,ckm->mr", leaves, entries)


@pytest.mark.parametrize("K", [2, 16, 32])
@pytest.mark.parametrize("together", [1, 1 << 20])
def test_gradients_are_those_of_the_definition(K: int, together: int, monkeypatch: Any) -> None:
    """They equal those of a graph that stores everything and detaches what is straight through."""
    monkeypatch.setattr(trees, "TOGETHER", together)
    torch.manual_seed(K)
    depth = K.bit_length() - 1
    taps = torch.randint(-20, 20, (3, depth, 40)).double().requires_grad_()
    thresholds = torch.randint(-10, 10, (3, K - 1)).double().requires_grad_()
    levels = (torch.rand(3, K, 6, dtype=torch.float64) * 255).requires_grad_()
    temperature = torch.tensor(5.0, dtype=torch.float64)
    weight = torch.randn(6, 40, dtype=torch.float64)
    found = trees.LookUpSums.apply(taps, thresholds, thresholds, levels, temperature, None)
    wanted = explicit(taps, thresholds, levels, 5.0)
    assert torch.equal(found.detach(), wanted.detach().round())
    parts = taps, thresholds, levels
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), parts),
        torch.autograd.grad((wanted * weight).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_gradients_of_paths_are_finite_differences() -> None:
    """Where the walk is smooth, its gradients are those of the expected value."""
    torch.manual_seed(0)
    taps, thresholds = torch.randn(2, 3, 5, dtype=torch.float64), torch.randn(2, 7).double()
    values, temperature = torch.randn(2, 8, 5).double(), torch.tensor(0.7, dtype=torch.float64)

    def expected(taps: Any, thresholds: Any) -> Any:
        soft = torch.ones(2, 1, 5, dtype=taps.dtype)
        for level in range(3):
            h = taps[:, level, None] - thresholds[:, (1 << level) - 1 : (2 << level) - 1, None]
            right = (1 + torch.tanh(h / temperature)) / 2
            soft = torch.stack((soft * (1 - right), soft * right), 2).flatten(1, 2)
        return (soft * values).sum()

    of_taps, of_nodes = trees.walk(taps, thresholds, values, temperature)
    for part, found in (taps, of_taps), (thresholds, -of_nodes.sum(2)):
        for place in np.ndindex(*part.shape):
            kept, change = part[place].clone(), 1e-6
            part[place] = kept + change
            above = expected(taps, thresholds)
            part[place] = kept - change
            below = expected(taps, thresholds)
            part[place] = kept
            assert abs((above - below) / (2 * change) - found[place]) < 1e-8


def test_gradients_of_a_layer() -> None:
    """Windows, scales and requantising are smooth but for rounding: they match a plain graph."""
    window = WINDOWS[1]
    layer = layer_of(window, temperature=20.0).double()
    q = torch.from_numpy(planes(2, 3, 6, 7)).double().requires_grad_()
    y = layer(q)
    weight = torch.randn(y.shape, dtype=torch.float64)
    parts = q, layer.thresholds, layer.tables, layer.bias
    found = torch.autograd.grad((y * weight).sum(), parts)
    padded = torch.nn.functional.pad(q, (1, 1, 1, 1), value=-128)
    columns = torch.nn.functional.unfold(padded, (3, 3), stride=2)  # (N, D, Ho · Wo)
    taps = columns.permute(1, 2, 0).flatten(1)[layer.split_dims]
    step = layer.output.step
    low = layer.tables.detach().amin(1)
    scale = ((layer.tables.detach().amax(1) - low).amax(0) / 255).float().double()
    levels = (layer.tables - low[:, None]) / scale
    marks = layer.thresholds / layer.input.step - 128
    sums = explicit(taps, marks, levels, 20.0)
    plain = sums * (scale / step)[:, None] + ((layer.bias + low.sum(0)) / step - 128)[:, None]
    plain = plain.view(5, *y.shape[2:], 2).permute(3, 0, 1, 2)
    assert (plain - y).clamp(min=-128 - 1).abs().max() < 260
    inside = (plain.detach() >= -128.5) & (plain.detach() <= 127.5)
    assert 0.2 < inside.double().mean() < 0.95
    wanted = torch.autograd.grad((plain * weight * inside).sum(), parts)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_state_makes_the_same_layer() -> None:
    layer, other = layer_of(WINDOWS[0]), layer_of(WINDOWS[0])
    with torch.no_grad():
        layer.tables.mul_(0.9)
        layer.thresholds.add_(0.3)
        layer.temperature.fill_(3)
    q = torch.from_numpy(planes(2, 3, 5, 5)).float()
    assert not torch.equal(layer(q), other(q))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(q), other(q))
    assert float(other.temperature) == 3


def test_models_that_do_not_train_are_refused() -> None:
    model = layer_of(WINDOWS[0]).model
    with pytest.raises(ValueError, match="one group"):
        LookUpConv2d(ConvolutionModel(model.products * 2, model.window), Scale(1, 0), Scale(1, 0))
