"""Networks of look-ups in PyTorch: replacing, training that can be stopped, and export."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

from maddjit.integrations.torch import (
    Distillation,
    ExactConv2d,
    LookUpConv2d,
    LookUpNetwork,
    Progress,
    Schedule,
    distil,
    with_look_ups,
)
from maddjit.pipeline import compile as compile_model
from maddjit.reference.network import quantise, run


def images(count: int = 200) -> Any:
    """Return smooth images, whose patches a few codebooks can tell apart."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    return nn.functional.interpolate(coarse, (10, 10), mode="bilinear")


@pytest.fixture(scope="module")
def teacher() -> Any:
    torch.manual_seed(1)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(1, 6, 3, padding=1))
    net.add_module("relu1", nn.ReLU())
    net.add_module("second", nn.Conv2d(6, 8, 3, stride=2, padding=1))
    net.add_module("relu2", nn.ReLU())
    net.add_module("pool", nn.MaxPool2d(3, 2, padding=1))
    net.add_module("third", nn.Conv2d(8, 7, 2))
    net.add_module("flat", nn.Flatten())
    net.add_module("hidden", nn.Linear(28, 9))
    net.add_module("relu3", nn.ReLU())
    net.add_module("head", nn.Linear(9, 4))
    return net.eval()


@pytest.fixture(scope="module")
def replaced(teacher: Any) -> LookUpNetwork:
    books = {"second": 6, "third": 8}
    return with_look_ups(teacher, images(), books, byte_group=2, n_patches=2000, method="paper")


@pytest.fixture
def student(replaced: LookUpNetwork) -> LookUpNetwork:
    return copy.deepcopy(replaced)


def test_layers_are_replaced_as_asked(student: LookUpNetwork, teacher: Any) -> None:
    kinds = {name: type(layer) for name, layer in zip(student.names, student.layers, strict=True)}
    assert [name for name, kind in kinds.items() if kind is LookUpConv2d] == ["second", "third"]
    assert [name for name, kind in kinds.items() if kind is ExactConv2d] == ["first", "hidden"]
    assert [len(layer.tables) for layer in student.look_ups()] == [6, 8]
    assert [layer.relu for layer in student.look_ups()] == [True, False]
    exact = teacher(images())
    error = ((student(images()) - exact) ** 2).mean() / exact.var()
    assert error.item() < 0.2
    unreplaced = with_look_ups(teacher, images(), {})
    error = ((unreplaced(images()) - exact) ** 2).mean() / exact.var()
    assert error.item() < 0.002


def test_a_network_is_exported_bit_for_bit(student: LookUpNetwork) -> None:
    x = images(30)
    for _ in range(2):
        network = student.network((1, 10, 10))
        assert repr(network).endswith("1 Quantise, 2 Exact, 2 LookUp, 1 MaxPool, 1 Dense)")
        with torch.no_grad():
            found = student.eval()(x).numpy()
        assert found.std() > 0
        assert np.array_equal(found, run(network, x.numpy()))
        with torch.no_grad():
            for part in student.parameters():
                part.add_(0.02 * torch.randn_like(part))
    small = (255 * x).to(torch.uint8)
    scaled = LookUpNetwork(list(student.layers), type(student.images)(1, -128), student.names)
    network = scaled.network((1, 10, 10), "uint8")
    assert np.array_equal(scaled(small).detach().numpy(), run(network, small.numpy()))


def test_images_that_are_no_numbers(student: LookUpNetwork) -> None:
    """NaN is 127 in compiled networks and in their definition, infinities are 127 and −128."""
    x, network = images(3), student.network((1, 10, 10))
    x.view(-1)[::3] = torch.nan
    x.view(-1)[1::5] = torch.inf
    x.view(-1)[2::7] = -torch.inf
    stored = student.quantised(x).numpy()
    assert (stored.ravel()[::21] == 127).all()
    assert np.array_equal(stored, quantise(x.numpy(), network.planes(1)))
    with torch.no_grad():
        found = student.eval()(x).numpy()
    assert np.array_equal(found, compile_model(network)(x.numpy()))


def schedule(**options: Any) -> Schedule:
    return Schedule(**{"epochs": 3, "batch": 20, "rate": 2e-3, **options})


def jittered(x: Any, generator: Any) -> Any:
    return x + 0.02 * torch.randn(x.shape, generator=generator)


def test_training_brings_outputs_closer(student: LookUpNetwork, teacher: Any) -> None:
    labels = teacher(images()).argmax(1)
    before = nn.functional.cross_entropy(student(images()), labels).item()
    told: list[Progress] = []
    trained = distil(
        student, teacher, images(), labels, schedule(epochs=8), every=7, progress=told.append
    )
    assert trained is student
    assert not student.training
    assert [each.step for each in told] == [*range(7, 80, 7), 80]
    assert told[-1].loss < told[0].loss
    assert nn.functional.cross_entropy(student(images()), labels).item() < before
    assert np.array_equal(
        student(images()).detach().numpy(), run(student.network((1, 10, 10)), images().numpy())
    )


def test_training_goes_on_where_it_stopped(
    student: LookUpNetwork, teacher: Any, replaced: Any, tmp_path: Any
) -> None:
    """Stopped and gone on with or not, the seed decides all of it."""
    path = tmp_path / "state.pt"
    common: Any = {"augment": jittered, "every": 4}
    distil(student, teacher, images(), None, schedule(), **common)
    whole = {name: part.clone() for name, part in student.state_dict().items()}
    student.load_state_dict(replaced.state_dict())
    stopped = distil(
        student,
        teacher,
        images(),
        None,
        schedule(),
        checkpoint=path,
        progress=lambda told: told.step < 12,
        **common,
    )
    assert not all(torch.equal(stopped.state_dict()[name], part) for name, part in whole.items())
    student.load_state_dict(replaced.state_dict())
    distil(student, teacher, images(), None, schedule(), checkpoint=path, **common)
    for name, part in student.state_dict().items():
        assert torch.equal(part, whole[name]), name
    with pytest.raises(ValueError, match="the state is of the schedule"):
        distil(student, teacher, images(), None, schedule(seed=1), checkpoint=path)


def test_parts_that_stay_as_they_are(student: LookUpNetwork, teacher: Any) -> None:
    first = student.layers[0]
    assert isinstance(first, ExactConv2d)
    first.requires_grad_(False)
    kept = first.weight.clone(), student.layers[-1].weight.clone()
    training = Distillation(student, teacher, images(), None, schedule(exact_rate=0))
    start = student.look_ups()[0].thresholds.clone()
    training.advance()
    assert torch.equal(first.weight, kept[0])
    assert torch.equal(student.layers[-1].weight, kept[1])
    assert not torch.equal(student.look_ups()[0].thresholds, start)


def test_what_is_not_known_is_refused(teacher: Any) -> None:
    x = images(20)
    for layers, message in (
        ([nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(128, 2)], "Sigmoid"),
        ([nn.Conv2d(1, 2, 3, padding="same"), nn.Flatten(), nn.Linear(200, 2)], "by words"),
        ([nn.MaxPool2d(3, ceil_mode=True), nn.Flatten(), nn.Linear(16, 2)], "ceil_mode"),
        ([nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(9, 2)], "9 columns"),
        ([nn.Conv2d(1, 2, 3), nn.ReLU()], "the last layer must be linear"),
    ):
        with pytest.raises(ValueError, match=message):
            with_look_ups(nn.Sequential(*layers), x, {})
    with pytest.raises(ValueError, match="no convolution"):
        with_look_ups(teacher, x, {"fourth": 3})
    with pytest.raises(ValueError, match="fewer than a batch"):
        Distillation(with_look_ups(teacher, x, {}), teacher, x, None, schedule(batch=21))
