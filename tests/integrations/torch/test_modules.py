"""PyTorch: a replacement has the attributes, dtypes and states of its layer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

from maddjit.integrations.torch import MaddnessConv1x1, fine_tune
from maddjit.integrations.torch.layers import matched_layers
from maddjit.integrations.torch.rows import Watch
from tests.integrations.torch.networks import One, X, network, replaced, saved

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_attributes_of_a_linear_layer_are_there(dtype: Any) -> None:
    model = network().to(dtype)
    layer, x = model[0], X.to(dtype)
    replaced(model, [x])
    new = model[0]
    assert (new.in_features, new.out_features) == (16, 8)
    for part, old in ((new.weight, layer.weight), (new.bias, layer.bias)):
        assert torch.equal(part, old)
        assert isinstance(part, nn.Parameter)
        assert not part.requires_grad
        assert part.dtype == dtype
    assert next(model.parameters()).dtype == model(x).dtype == dtype
    assert repr(new).startswith("MaddnessLinear(in_features=16, out_features=8, bias=True, codeb")
    for again in (copy.deepcopy(model), saved(model)):
        assert torch.equal(again(x), model(x))
        assert torch.equal(again[0].bias, layer.bias)


def test_attributes_and_layout_of_a_convolution_are_there() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 4, 1, stride=2, bias=False))
    images, layer = X.reshape(4, 10, 10, 16).movedim(-1, 1), model[0]
    replaced(model, [images])
    new = model[0]
    assert isinstance(new, MaddnessConv1x1)
    assert torch.equal(new.weight, layer.weight)
    assert new.bias is None
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"):
        assert getattr(new, name) == getattr(layer, name), name
    for name in ("groups", "padding_mode", "transposed", "output_padding"):
        assert getattr(new, name) == getattr(layer, name), name
    assert "MaddnessConv1x1(16, 4, kernel_size=(1, 1), stride=(2, 2), bias=False, " in repr(new)
    for x in (images, images.contiguous(), images[0]):
        assert new(x).stride() == layer(x).stride()


def test_states_of_earlier_versions_are_read() -> None:
    model = network()
    replaced(model)
    layer = copy.deepcopy(model[0])
    state = {name: part for name, part in layer.state_dict().items() if name != "bias"}
    model[0].load_state_dict(state)  # without a version, as of safetensors
    assert model[0].bias.isnan().all()
    assert torch.equal(model[0](X), layer(X))
    current = layer.state_dict()
    del current["bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*bias"):
        layer.load_state_dict(current)
    images = nn.Sequential(nn.Conv2d(16, 4, 1))
    replaced(images, [X.reshape(4, 10, 10, 16).movedim(-1, 1)])
    state = images[0].state_dict()
    assert images[0].load_state_dict(state | {"weight": state["weight"].flatten(1)})
    assert images[0].weight.shape == (4, 16, 1, 1)


def test_autocast_gives_its_own_type() -> None:
    def use(model: One, x: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model.fc(x)

    model = One(use)
    exact = model(X).detach()
    replaced(model)
    assert model(X).dtype == exact.dtype == torch.bfloat16
    assert torch.equal(model(X), model.fc(X).to(torch.bfloat16))


def test_rows_that_are_not_finite_are_not_looked_up() -> None:
    model = nn.Sequential(nn.Linear(16, 4))
    replaced(model)
    rows = X[:6].clone()
    rows[1, 2], rows[4, 0] = torch.nan, torch.inf
    for x in (rows, rows.half(), rows.view(2, 3, 16)):
        assert model(x).isnan().all(-1).flatten().nonzero().flatten().tolist() == [1, 4]
    assert model(rows[4]).isnan().all()
    kept = [0, 2, 3, 5]
    assert torch.equal(model(rows)[kept], model(X[:6])[kept])
    fine_tune(model)
    assert model(rows).isnan().all(-1).nonzero().flatten().tolist() == [1, 4]
    huge = 1e30 * X[:6]
    assert model(huge.double() * 1e200).isfinite().all()


def test_an_image_without_a_batch_is_sampled_place_by_place() -> None:
    image = X[:256].reshape(16, 16, 16).permute(2, 0, 1)  # as many places as channels
    model = nn.Sequential(nn.Conv2d(16, 3, 1))
    watched = matched_layers(model, None)[0]
    watch = Watch(watched.layer, 16, 1000, np.random.default_rng(0))
    watch(watched.layer, (image,), {})
    assert {tuple(row) for row in watch.rows} == {tuple(row) for row in X[:256].numpy()}
    assert replaced(model, [image]).layers[0].nmse < 0.1


def test_a_state_of_another_weight_is_refused_without_its_model() -> None:
    model, other = network(), network()
    replaced(model, pattern="2")
    state = {key: part for key, part in model.state_dict().items() if key != "2.packed"}
    model.load_state_dict(state, strict=False)
    nn.init.ones_(other[2].weight)
    with pytest.raises(RuntimeError, match="2: the state has another weight and no packed model"):
        model.load_state_dict(other.state_dict(), strict=False)


def test_replacements_on_no_device_are_shown() -> None:
    model = network()
    replaced(model, pattern="2")
    assert "on no device" in repr(model.to("meta"))


def test_replacements_are_traced_by_fx() -> None:
    model = network()
    replaced(model)
    assert torch.equal(torch.fx.symbolic_trace(model)(X), model(X))
