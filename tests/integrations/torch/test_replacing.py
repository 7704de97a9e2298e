"""PyTorch: what a replaced layer keeps of the one it replaces, and what is refused by name."""

from __future__ import annotations

import copy
import dataclasses
import functools
import io
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn
from torch.nn.utils import parametrizations, prune

from maddjit.integrations.torch import (
    MaddnessConv1x1,
    MaddnessLinear,
    ReplacementError,
    Report,
    fine_tune,
    replace_linear,
)
from maddjit.integrations.torch.layers import candidates
from maddjit.integrations.torch.rows import Watch
from maddjit.learning.accuracy import AccuracyWarning

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)
X = torch.randn(400, 3, generator=torch.manual_seed(0)) @ torch.randn(3, 16)


def network() -> Any:
    """Return layers of 16 → 8 and 8 → 4, in evaluation mode."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def replaced(model: Any, batches: Any = None, **options: Any) -> Report:
    return replace_linear(model, batches or [X], n_codebooks=4, **options)


def error(model: Any, exact: Any) -> float:
    """Return the squared error over the variance."""
    with torch.no_grad():
        return float(((model(X) - exact) ** 2).mean() / exact.var())


class One(nn.Module):
    """One layer, and whatever is done with it."""

    def __init__(self, use: Any, **others: Any) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc, self.use, self.others, self.calls = nn.Linear(16, 4), use, others, 0
        self.register_buffer("counter", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.use(self, x)


# Hooks.


def test_hooks_move_across_and_rows_are_sampled_behind_them() -> None:
    model, log = network(), []
    handles = [
        model[0].register_forward_pre_hook(lambda layer, x: (3 * x[0],)),
        model[0].register_forward_pre_hook(lambda layer, x, k: ((x[0] + 1,), k), with_kwargs=True),
        model[0].register_forward_hook(lambda layer, x, k, y: y - 5, with_kwargs=True),
        model[0].register_forward_hook(lambda *_: log.append("always"), always_call=True),
        model[0].register_full_backward_pre_hook(lambda *_: log.append("before")),
        model[0].register_full_backward_hook(lambda *_: log.append("behind")),
    ]
    exact = model(X).detach()
    report = replaced(model)
    assert isinstance(model[0], MaddnessLinear)
    assert "2 forward pre-hooks moved across; 2 forward hooks moved across" in str(report)
    assert "1 backward pre-hook moved across; 1 backward hook moved across" in str(report)
    assert error(model, exact) < 0.1  # 1 or more where hooks are lost or rows not seen behind them
    log.clear()
    model(X.clone().requires_grad_()).sum().backward()
    assert log == ["always", "before", "behind"]
    with torch.no_grad():
        hooked = model[0](X)
        for handle in handles:
            handle.remove()
        assert torch.equal(hooked, model[0](3 * X + 1) - 5)
        assert not torch.equal(hooked, model[0](X))


def test_own_parameters_buffers_and_attributes_move_across() -> None:
    model = network()
    layer = model[0]
    layer.register_buffer("scale", torch.full((16,), 2.0), persistent=False)
    layer.register_parameter("shift", nn.Parameter(torch.ones(16)))
    layer.label = "first"
    layer.register_forward_pre_hook(lambda layer, x: (x[0] * layer.scale + layer.shift,))
    exact = model(X).detach()
    assert "scale, shift moved across" in str(replaced(model))
    assert error(model, exact) < 0.1
    assert model[0].shift is layer.shift
    assert model[0].label == "first"
    assert "0.shift" in model.state_dict()
    assert "0.scale" not in model.state_dict()


# Layers that stay.


class Lora(nn.Linear):
    """Adds something of its own."""

    def forward(self, input: Any) -> Any:
        return 2 * super().forward(input)


def patched(layer: Any) -> None:
    layer.forward = functools.partial(nn.functional.linear, weight=2 * layer.weight)


def pruned(layer: Any) -> None:
    prune.l1_unstructured(layer, "bias", 0.5)


def held(layer: Any) -> None:
    layer.inner = nn.ReLU()


def infinite(layer: Any) -> None:
    layer.weight.data[0, 0] = torch.inf


def taken(layer: Any) -> None:
    layer.register_buffer("tables", torch.ones(3))


STAYS = {
    "hooks compute its weight; make it lasting first.*remove_weight_norm": nn.utils.weight_norm,
    "hooks compute its weight; make": nn.utils.spectral_norm,
    "hooks compute its bias; make it lasting first.*prune.remove": pruned,
    "of the class Lora, which defines forward by itself": lambda layer: Lora(16, 8),
    "its own forward stands in the place of its class's": patched,
    "hooks of its state": lambda layer: layer.register_state_dict_pre_hook(print) and None,
    "use register_full_backward_hook": lambda layer: layer.register_backward_hook(print) and None,
    "it holds modules: inner": held,
    "its weight is not finite": infinite,
    "attributes that a replacement needs itself: tables": taken,
}


@pytest.mark.parametrize("why", STAYS)
def test_layers_that_stay_are_named(why: str) -> None:
    model = network()
    model[0] = STAYS[why](model[0]) or model[0]
    layer = model[0]
    with pytest.raises(ValueError, match=f"0 cannot be replaced: .*{why}"):
        replaced(model, pattern=["0", "2"])
    assert model[0] is layer
    assert replaced(model, pattern="0*").replaced == ()


def test_the_report_says_why_a_layer_stays_beside_those_that_are_replaced() -> None:
    model = network()
    model[0] = Lora(16, 8)
    report = replaced(model)
    assert report.replaced == ("2",)
    assert "16 → 8  stays: it is of the class Lora" in str(report)


def elsewhere(model: One, x: Any) -> Any:
    return model.others["layers"][0](x)


def functional(model: One, x: Any) -> Any:
    return nn.functional.linear(x, model.fc.weight, model.fc.bias)


def changing(model: One, x: Any) -> Any:
    model.fc.weight.data.fill_(x.mean())
    return model.fc(x)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (elsewhere, "called by another way than as a submodule"),
        (functional, "no rows reach fc"),
        (changing, "its weight or bias changes from call to call"),
    ],
)
def test_layers_whose_calls_a_replacement_would_miss_stay(use: Any, why: str) -> None:
    model = One(use)
    model.others["layers"] = [model.fc]
    with pytest.raises(ValueError, match=why):
        replaced(model, [X[:200], X[200:]], pattern="fc")
    assert type(model.fc) is nn.Linear


def test_a_layer_that_only_some_batches_reach_stays_if_none_does() -> None:
    class Mixture(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(16, 4) for _ in range(2))

        def forward(self, x: Any, i: int) -> Any:
            return self.experts[i](x)

    report = replaced(Mixture(), [(X, 0), (X, 0)])
    assert report.replaced == ("experts.0",)
    assert "experts.1  16 → 4  stays: no rows reach it" in str(report)


# Comparing with exact products, before anything is fitted.


@dataclasses.dataclass
class Output:
    """As libraries return them."""

    logits: Any
    more: Any = None


def doubled(model: One, x: Any) -> Any:
    y = model.fc(x)
    return y if type(model.fc) is nn.Linear else 2 * y


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda y: y, "output"),
        (lambda y: (None, {"logits": y.to(torch.bfloat16)}), r"output\[1\]\['logits'\]"),
        (lambda y: Output(y), r"output\.logits"),
        (lambda y: [torch.distributions.Normal(y, 1.0)], r"output\[0\]\.loc"),
        (lambda y: y.sum().item(), "output"),
    ],
)
def test_other_outputs_are_refused(wrap: Any, place: str) -> None:
    model = One(lambda model, x: wrap(doubled(model, x)))
    layer, before = model.fc, model(X)
    with pytest.raises(ReplacementError, match=f"{place} differs from .*with fc replaced alone"):
        replaced(model)
    assert model.fc is layer
    assert repr(model(X)) == repr(before)
    assert not layer._forward_pre_hooks


def test_an_error_with_exact_products_leaves_the_model_as_it_was() -> None:
    model = One(lambda model, x: model.fc.reset_parameters and model.fc(x))
    layer = model.fc
    with pytest.raises(AttributeError, match="reset_parameters") as caught:
        replaced(model)
    assert "exact products in the places of 1 layers" in caught.value.__notes__[0]
    assert model.fc is layer


def test_a_fit_that_fails_leaves_all_layers_as_they_were() -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.index_fill(0, torch.tensor([0]), torch.nan)

    model = nn.Sequential(nn.Linear(16, 8), Broken(), nn.Linear(8, 4))
    layers = list(model)
    with pytest.raises(ValueError, match="must be finite"):
        replaced(model)
    assert all(one is other for one, other in zip(model, layers, strict=True))


def test_answers_that_differ_from_run_to_run_are_not_compared() -> None:
    model = One(lambda model, x: {"sum": model.fc(x) + model.calls})
    with pytest.raises(ValueError, match=r"two runs .* differ in output\['sum'\].*check=False"):
        replaced(model)
    assert replaced(model, check=False).replaced == ("fc",)


def test_random_numbers_buffers_inputs_and_modes_are_as_after_one_run() -> None:
    def use(model: One, x: Any) -> Any:
        model.counter += 1
        x.mul_(2)
        return nn.functional.dropout(model.fc(x), 0.5) + model.counter

    model = nn.Sequential(One(use), nn.Dropout(), nn.Linear(4, 3))
    model[1].eval()
    torch.manual_seed(5)
    for _ in range(3):
        torch.nn.functional.dropout(torch.ones(400, 4), 0.5)
    expected = torch.get_rng_state()
    torch.manual_seed(5)
    assert replaced(model, [X.clone() for _ in range(3)]).replaced == ("0.fc", "2")
    assert model[0].counter == 3
    assert torch.equal(torch.get_rng_state(), expected)
    modes = [(name, module.training) for name, module in model.named_modules()]
    assert modes == [("", True), ("0", True), ("0.fc", True), ("1", False), ("2", True)]


# Parametrisations, subclasses, ties.


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrisations_are_made_lasting(norm: Any) -> None:
    model = network()
    norm(model[0])
    exact, weight = model(X).detach(), model[0].weight.detach()
    assert "parametrised weight made lasting" in str(replaced(model))
    assert error(model, exact) < 0.1
    assert torch.equal(model[0].weight, weight)
    assert sorted(model[0].state_dict()) == ["bias", "packed", "weight"]


def test_a_subclass_that_adds_nothing_is_replaced() -> None:
    class Initialised(nn.Linear):
        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            nn.init.xavier_uniform_(self.weight)

    model = nn.Sequential(Initialised(16, 4))
    assert "was of the class Initialised" in str(replaced(model))
    assert isinstance(model[0], MaddnessLinear)


def test_tied_weights_are_parted_and_the_report_says_so() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 16)
            self.head = nn.Linear(16, 9, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: Any) -> Any:
            return {"logits": self.head(self.embedding(tokens) + self.embedding(tokens.flip(1)))}

    model = Language()
    tied = model.embedding.weight
    report = replaced(model, [{"tokens": torch.randint(9, (20, 30))}])
    assert "no longer tied to embedding.weight" in str(report)
    assert model.embedding.weight is tied
    assert torch.equal(model.head.weight, tied)
    assert model.head.weight.data_ptr() != tied.data_ptr()
    assert model.head.bias is None


# What is refused before.


def test_what_cannot_be_replaced_in_place_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"put it into an nn\.Sequential, .* take \[0\] of that"):
        replaced(nn.Linear(16, 4), pattern="0")
    lazy = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(ValueError, match="0 is not initialised: call the model once"):
        replaced(lazy)
    lazy(X)
    assert replaced(lazy).replaced == ("0",)
    with pytest.raises(ValueError, match=r"like '0'; 0 is a maddjit\..*MaddnessLinear"):
        replaced(lazy, pattern="0")
    for compiled in (torch.compile(network(), backend="eager"), network()):
        if type(compiled) is nn.Sequential:
            compiled[2].compile(backend="eager")
        with pytest.raises(ValueError, match="replace layers first, then call"):
            replaced(compiled)
    with pytest.raises(TypeError, match=r"too many positional arguments.* labels must be left out"):
        replaced(network(), [[X, torch.zeros(400)]])
    with pytest.raises(TypeError, match="0 must be of floating point and on the CPU"):
        replaced(network().to("meta"))


# Attributes.


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


def saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


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
    layer._buffers["weight"] = layer._parameters.pop("weight").data  # as they were pickled
    del layer._parameters["bias"]
    again = saved(layer)
    assert torch.equal(again(X), model[0](X))
    assert again.bias.isnan().all()
    assert again.load_state_dict(model[0].state_dict()).missing_keys == []
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
    watched = candidates(model, None)[0]
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


def test_an_error_of_few_rows_is_not_passed_off_as_held_out() -> None:
    model = network()
    with pytest.warns(AccuracyWarning, match="too few rows reach 0, 2 to keep some back"):
        report = replaced(model, max_rows=19)
    assert all("measured on the rows learned from" in layer.why for layer in report.layers)
    with pytest.raises(ValueError, match="max_rows must be 1 or more, not 0"):
        replaced(network(), max_rows=0)


def test_replacements_are_traced_by_fx() -> None:
    model = network()
    replaced(model)
    assert torch.equal(torch.fx.symbolic_trace(model)(X), model(X))
