"""PyTorch: which layers are replaced, what a replacement keeps of its layer, what is refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn
from torch.nn.utils import parametrizations, prune

from maddjit.integrations.torch import MaddnessLinear
from maddjit.learning.accuracy import AccuracyWarning
from tests.integrations.torch.networks import One, X, error, network, replaced

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


# Hooks and what else a layer owns.


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


def test_an_error_of_few_rows_is_not_passed_off_as_held_out() -> None:
    model = network()
    with pytest.warns(AccuracyWarning, match="too few rows reach 0, 2 to keep some back"):
        report = replaced(model, max_rows=19)
    assert all("measured on the rows learned from" in layer.why for layer in report.layers)
    with pytest.raises(ValueError, match="max_rows must be 1 or more, not 0"):
        replaced(network(), max_rows=0)
