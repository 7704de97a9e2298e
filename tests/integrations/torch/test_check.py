"""PyTorch: outputs are compared with those of exact products, before anything is fitted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

from maddjit.integrations.torch import ReplacementError
from tests.integrations.torch.networks import One, X, replaced

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


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
