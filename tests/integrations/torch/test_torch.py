"""PyTorch: the custom ops under its own checks, layers replaced, exported, and fine-tuned."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

import maddjit
from maddjit.integrations.torch import (
    MaddnessConv1x1,
    MaddnessLinear,
    fine_tune,
    ops,
    replace_linear,
    requantise,
)

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The .grad attribute"
)


def rows(n: int, seed: int = 0, n_features: int = 32) -> Any:
    """Return rows of three dimensions."""
    mixing = np.random.default_rng(99).standard_normal((3, n_features))
    z = np.random.default_rng(seed).standard_normal((n, 3))
    return torch.from_numpy((z @ mixing).astype(np.float32))


@pytest.fixture(scope="module")
def layer() -> Any:
    torch.manual_seed(0)
    linear = nn.Linear(32, 6)
    weight, bias = linear.weight.detach(), linear.bias.detach()
    model = maddjit.fit(rows(1500).numpy(), weight.T.numpy(), 8, bias=bias.numpy())
    return MaddnessLinear(model, weight)


@pytest.mark.parametrize("shape", [(5, 32), (2, 3, 32), (32,), (0, 32)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_forward_is_the_operator(layer: Any, shape: tuple[int, ...], dtype: str) -> None:
    x = rows(30)[: max(1, int(np.prod(shape[:-1])))].to(getattr(torch, dtype))
    x = x.flatten()[: int(np.prod(shape))].reshape(shape)
    expected = maddjit.reference.apply(layer.fitted, x.reshape(-1, 32).double().numpy())
    found = layer(x)
    assert found.dtype == x.dtype
    assert found.shape == (*shape[:-1], 6)
    assert torch.equal(found.reshape(-1, 6), torch.from_numpy(expected).to(x.dtype))


def test_opcheck(layer: Any) -> None:
    for shape in ((4, 32), (2, 3, 32)):
        x = rows(6)[: int(np.prod(shape[:-1]))].reshape(shape).requires_grad_()
        torch.library.opcheck(ops.product, (x, layer.weight, layer.packed, layer.key))
        torch.library.opcheck(ops.product_backward, (torch.ones(*shape[:-1], 6), layer.weight))
        tuned = copy.deepcopy(layer)
        tuned.fine_tune()
        torch.library.opcheck(
            ops.look_up,
            (x, tuned.tables, tuned.base, layer.weight, layer.packed, layer.key),
        )
        grad, codes = torch.ones(*shape[:-1], 6), torch.zeros(*shape[:-1], 8, dtype=torch.uint8)
        torch.library.opcheck(
            ops.look_up_backward, (grad, codes, tuned.tables.detach(), layer.weight)
        )


def test_gradients(layer: Any) -> None:
    x = rows(7).reshape(7, 1, 32).requires_grad_()
    grad = torch.randn(7, 1, 6)
    layer(x).backward(grad)
    assert torch.allclose(x.grad, grad @ layer.weight)
    tuned = copy.deepcopy(layer)
    tuned.fine_tune()
    x.grad = None
    y = tuned(x)
    assert torch.allclose(y, layer(x), atol=1e-5)
    y.backward(grad)
    assert torch.allclose(x.grad, grad @ layer.weight)
    codes = maddjit.reference.encode(layer.fitted, x.detach().reshape(7, 32).numpy())
    expected = np.zeros(tuned.tables.shape, np.float32)
    for row, gradient in zip(codes, grad.reshape(7, 6).numpy(), strict=True):
        expected[np.arange(8), row] += gradient
    assert np.allclose(tuned.tables.grad, expected, atol=1e-6)
    assert torch.allclose(tuned.base.grad, grad.sum((0, 1)))


def network() -> Any:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 24), nn.Linear(24, 6))


def test_export_and_compile() -> None:
    model = network()
    replace_linear(model, [rows(1500)], n_codebooks=8)
    x = rows(9, seed=5)
    expected = model(x)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (rows(4),), dynamic_shapes=({0: batch},))
    assert torch.equal(exported.module()(x), expected)
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    ops._operators.clear()  # as in another process
    assert torch.equal(torch.export.load(file).module()(x), expected)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), expected)
    fine_tune(model)
    x.requires_grad_()
    torch.compile(model, backend="aot_eager", fullgraph=True)(x).sum().backward()
    found = x.grad.clone()
    x.grad = None
    model(x).sum().backward()
    assert torch.allclose(found, x.grad)


def test_layers_are_chosen_by_name() -> None:
    model = network()
    kept = model[0]
    batches = [(rows(800),), (rows(800, seed=1),)]
    report = replace_linear(model, batches, pattern=["2", "3*"], n_codebooks=12)
    assert report.replaced == ("2", "3")
    assert model[0] is kept
    assert isinstance(model[2], MaddnessLinear)
    assert "12 codebooks" in str(report)
    assert all(layer.nmse < 0.3 for layer in report.layers)
    with pytest.raises(ValueError, match="name like 'head'"):
        replace_linear(network(), batches, pattern="head")
    with pytest.raises(ValueError, match=r"put it into an nn\.Sequential"):
        replace_linear(nn.Linear(32, 2), batches)
    with pytest.raises(ValueError, match="no rows reach 0"):
        replace_linear(network(), [])
    with pytest.raises(ValueError, match="for a budget"):
        replace_linear(network(), batches, n_codebooks=[4, 8])


def test_a_budget_leaves_layers_that_are_faster_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(32, 2))
    report = replace_linear(model, [rows(400)], budget=0.0, n_codebooks=[2])
    assert report.replaced == ()
    assert type(model[0]) is nn.Linear
    assert "0: stays" not in str(report)
    assert "stays: " in str(report)


def test_a_budget_takes_look_ups_where_they_are_fastest() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 400))  # too few inputs for tiles to be tried
    report = replace_linear(model, [rows(1000, n_features=60)], budget=0.5, n_codebooks=[2])
    (layer,) = report.layers
    if layer.replaced:  # speed decides
        assert layer.nmse < 0.6
        assert isinstance(model[0], MaddnessLinear)
    else:
        assert "is the fastest within 0.5" in layer.why


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions(stride: int, layout: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(32, 6, 1, stride=stride), nn.Conv2d(6, 3, 3))
    images = (
        rows(6 * 16 * 16).reshape(6, 16, 16, 32).movedim(-1, 1).contiguous(memory_format=layout)
    )
    exact = model[0](images)
    report = replace_linear(model, [images], n_codebooks=16)
    assert report.replaced == ("0",)
    assert isinstance(model[0], MaddnessConv1x1)
    found = model[0](images)
    assert found.shape == exact.shape
    assert ((found - exact) ** 2).mean() < 0.1 * exact.var()
    assert model[0](images[0]).shape == exact[0].shape
    exported = torch.export.export(model, (images,))
    assert torch.equal(exported.module()(images), model(images))


def test_fine_tuning_learns_and_outlasts_rounding() -> None:
    model = network()
    x = rows(1500)
    with torch.no_grad():
        wanted = 1.5 * model(x) + 0.2
    replace_linear(model, [x], n_codebooks=8)

    def loss() -> Any:
        return ((model(x) - wanted) ** 2).mean()

    before = loss().item()
    parameters = fine_tune(model)
    assert loss().item() == pytest.approx(before, rel=1e-4)
    optimiser = torch.optim.Adam(parameters, 0.003)
    for _ in range(80):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    tuned = loss().item()
    requantise(model)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert loss().item() < 0.3 * before
    assert loss().item() < 1.1 * tuned
    layers = [each for each in model.modules() if isinstance(each, MaddnessLinear)]
    assert layers
    assert all(each.fitted.bias is not None for each in layers)


def test_state_and_copies(layer: Any) -> None:
    x = rows(5)
    other = maddjit.fit(rows(500, seed=3).numpy(), layer.weight.T.numpy(), 4)
    fresh = MaddnessLinear(other, torch.zeros(6, 32))
    fresh.load_state_dict(layer.state_dict())
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for again in (fresh, copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert torch.equal(again(x), layer(x))
    assert "codebooks=8" in repr(layer)


def test_a_state_that_does_not_fit_leaves_the_layer_as_it_is(layer: Any) -> None:
    x, good = rows(5), layer.state_dict()
    damaged = good["packed"].clone()
    damaged[: len(damaged) // 2] = 0
    for state, message in (
        (good | {"packed": damaged}, "the layer: packed: this is not a sound model"),
        (good | {"weight": torch.zeros(5, 32)}, r"weight must have shape \(6, 32\), is \(5, 32\)"),
    ):
        other = copy.deepcopy(layer)
        expected = other(x)
        with pytest.raises(RuntimeError, match=message):
            other.load_state_dict(state)
        assert torch.equal(other(x), expected)
        assert all(torch.equal(part, good[name]) for name, part in other.state_dict().items())
    fewer = maddjit.fit(rows(500).numpy(), layer.weight.T.numpy(), 4)
    states = [MaddnessLinear(fewer, layer.weight), copy.deepcopy(layer)]
    for each in states:
        each.fine_tune()
    with pytest.raises(RuntimeError, match="tables must have shape"):
        states[1].load_state_dict(states[0].state_dict())
    again = copy.deepcopy(layer)
    again.fine_tune()
    again.load_state_dict(states[1].state_dict())
    assert torch.equal(again(x), states[1](x))


def test_rows_of_integers_are_refused(layer: Any) -> None:
    tuned = copy.deepcopy(layer)
    tuned.fine_tune()
    for each in (layer, tuned):
        with pytest.raises(TypeError, match=r"must be of floating point.*torch\.int8"):
            each(torch.ones(2, 32, dtype=torch.int8))


class ByKeyword(nn.Module):
    """Calls its layer with a named argument."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(32, 6)

    def forward(self, x: Any) -> Any:
        return self.head(input=x)


def test_a_layer_called_by_keyword() -> None:
    torch.manual_seed(0)
    model = ByKeyword()
    assert replace_linear(model, [rows(600)]).replaced == ("head",)
    assert torch.equal(model(rows(5)), model.head(rows(5)))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_layers_whose_weights_others_take_stay() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(32, 6)).eval()
    x = rows(600).reshape(60, 10, 32)
    with torch.no_grad():
        before = model[0](x)
        report = replace_linear(model, [x], n_codebooks=8)
        assert torch.equal(model[0](x), before)
        mask = torch.zeros(60, 10, dtype=torch.bool)
        assert model[0](x, src_key_padding_mask=mask).shape == before.shape
    assert report.replaced == ("1",)
    assert [each.name for each in report.layers][:3] == [
        "0.layers.0.self_attn.out_proj",
        "0.layers.0.linear1",
        "0.layers.0.linear2",
    ]
    assert "stays: MultiheadAttention takes its weight" in str(report)
    assert "stays: TransformerEncoderLayer takes its weight" in str(report)
    with pytest.raises(ValueError, match=r"0\.layers\.0\.linear1 cannot be replaced: Transformer"):
        replace_linear(model, [x], pattern="0.layers.0.linear1")
    assert replace_linear(model, [x], pattern="*linear1").replaced == ()


def test_what_cannot_be_tuned(layer: Any) -> None:
    weight = layer.weight
    core = maddjit.fit(rows(500).numpy(), weight.T.numpy(), 4, core_rank=2)
    with pytest.raises(ValueError, match="exact core"):
        MaddnessLinear(core, weight).fine_tune()
    with pytest.raises(ValueError, match="no replaced layers"):
        fine_tune(network())
    with pytest.raises(ValueError, match=r"weight must have shape \(6, 32\)"):
        MaddnessLinear(core, weight.T)


def test_a_shared_layer_is_replaced_everywhere() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(32, 32)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    report = replace_linear(model, [rows(600)])
    assert report.replaced == ("0",)
    assert model[0] is model[2]
    assert isinstance(model[2], MaddnessLinear)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert replace_linear(model, [rows(600)], pattern="2").replaced == ("2",)
    assert model[0] is model[2]
    assert isinstance(model[0], MaddnessLinear)
