"""PyTorch: modules as graphs of exact layers, and as networks over planes of int8."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn
from torch.nn import functional

from maddjit.integrations.networks.evaluating import outputs
from maddjit.integrations.networks.graph import Convolution
from maddjit.integrations.torch import UnsupportedLayerError, compile_network, convert_network
from maddjit.integrations.torch.network_graph import drawn, graph_of
from tests.integrations.networks.helping import run

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)

SHAPE = (3, 12, 12)
LEVEL = "x86-64-v3"


class Residual(nn.Module):
    """Sums, concatenations, functions, a layer that is called twice, and writes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.again = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        x = self.relu(self.norm(self.first(x)))
        out = self.norm(self.again(x))
        out += x
        x = self.relu(out)
        x = torch.cat([functional.max_pool2d(x, 3, 1, 1), functional.relu6(self.again(x))], 1)
        x = functional.avg_pool2d(x, 2)
        x = functional.adaptive_avg_pool2d(x, (1, 1))
        return self.head(x.view(x.size(0), -1))


class Overwritten(nn.Module):
    """What is written to in place is seen by all who have it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        z = self.relu(y)
        return self.layer(z) + y


class Copied(nn.Module):
    """Copies stay as they are when the tensor is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3)

    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        before, padded = y.clone(), functional.pad(y, (1, 1, 1, 1))
        z = functional.relu(y, True)
        z = z * z.shape[1] + functional.relu6(before, inplace=True) + y
        return z + self.layer(padded)


class Permuted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4 * 36, 3)

    def forward(self, x: Any) -> Any:
        x = functional.max_pool2d(self.layer((x - 0.5) / 2), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.head(functional.dropout(x.clamp(min=0), training=self.training))


def plain() -> Any:
    """Padding, strides, uneven kernels, batch-norm of rows, dropout and two linear layers."""
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(3, 4, 3, 2),
        nn.ReLU6(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(36, 6),
        nn.BatchNorm1d(6),
        nn.Hardtanh(),
        nn.Dropout(),
        nn.Linear(6, 3),
    )


def depthwise() -> Any:
    return nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 6, (3, 5), padding="same", groups=3),
        nn.Hardtanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.Identity(),
    )


NETWORKS: dict[str, Any] = {
    "plain": plain,
    "depthwise": depthwise,
    "residual": Residual,
    "overwritten": Overwritten,
    "copied": Copied,
    "permuted": Permuted,
}


def made(name: str) -> Any:
    """Return a module with random weights and statistics."""
    torch.manual_seed(1)
    module = NETWORKS[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1)
            nn.init.normal_(part.bias)
    return module.eval()


def images(n: int = 60) -> Any:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, *SHAPE, generator=generator)


@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_compute_what_modules_compute(name: str) -> None:
    """Folding costs no more than rounding of float64."""
    module, x = made(name).double(), images(5).double()
    with torch.no_grad():
        expected = module(x).numpy()
    for graph in (drawn(module, SHAPE), graph_of(module, SHAPE)):
        found = outputs(graph, x.numpy())
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-13 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_eight_bits(name: str) -> None:
    """Exact layers lose what 8 bits lose. Modules stay as they are, their mode included."""
    module, x = made(name).train(), images()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    made_ = convert_network(module, x, ranges="minmax", target=LEVEL)
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    network, found = made_.network, run(made_.network, x.numpy())
    with torch.no_grad():
        expected = module.eval()(x).numpy()
    planes = network.steps[-1].planes
    if planes is not None:
        found = (found.astype(np.float64) - planes.zero_point) * planes.step
    assert found.shape == expected.shape
    assert np.mean((found - expected) ** 2) < 0.005 * expected.var()


def test_batch_norms_and_clamps_are_folded() -> None:
    module = made("residual")
    graph = graph_of(module, SHAPE)
    kinds = [type(node.operation).__name__ for node in graph.nodes]
    assert kinds == [
        *("Image", "Convolution", "Convolution", "Sum", "Pool", "Convolution", "Join"),
        *("Pool", "Pool", "Convolution"),
    ]
    operation = graph.nodes[1].operation
    assert isinstance(operation, Convolution)
    assert (operation.low, operation.high) == (0.0, np.inf)
    norm = module.norm
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double().numpy()
    weights = module.first.weight.detach().double().numpy() * scale[:, None, None, None]
    np.testing.assert_allclose(operation.weights, weights, rtol=1e-6)


def test_look_ups_and_names() -> None:
    """A layer that is called twice becomes two, and goes by one name."""
    module = made("residual")
    made_ = convert_network(module, images(80), codebooks={"again": 2}, target=LEVEL, n_patches=500)
    names = [(line.name, line.n_codebooks) for line in made_.report.layers if line.n_codebooks]
    assert names == [("again", 8), ("again", 8)]
    assert all(line.error is not None for line in made_.report.layers if line.n_codebooks)


def test_uint8_images() -> None:
    """They are what the module gets as floating-point numbers."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).eval()
    x = torch.randint(0, 256, (40, *SHAPE), dtype=torch.uint8)
    made_ = convert_network(module, x, ranges="minmax", target=LEVEL)
    with torch.no_grad():
        expected = module(x.float()).numpy()
    found = run(made_.network, x.numpy())
    assert np.mean((found - expected) ** 2) < 0.001 * expected.var()


def test_sizes() -> None:
    module, x = Sizes(False).double(), images(3).double()
    with torch.no_grad():
        expected = module(x).numpy()
    found = outputs(graph_of(module, SHAPE), x.numpy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


class Deciding(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


class Two(nn.Module):
    def forward(self, x: Any, y: Any) -> Any:
        return x + y


class Product(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * x.mean((2, 3), keepdim=True)


class Pair(nn.Module):
    def forward(self, x: Any) -> Any:
        return x, x


class Sizes(nn.Module):
    """Computes with the sizes of an image, or also with the number of images."""

    def __init__(self, with_images: bool) -> None:
        super().__init__()
        self.with_images, self.head = with_images, nn.Linear(432, 3)

    def forward(self, x: Any) -> Any:
        n, channels, height, width = x.shape[0], x.shape[1], x.size(2), x.size(-1)
        if self.with_images:
            return x.reshape(n * channels, height * width)
        return self.head(x.reshape(n, channels * height * width))


def hooked() -> Any:
    layer = nn.Conv2d(3, 3, 1)
    layer.register_forward_hook(lambda *_: None)
    return nn.Sequential(layer)


def test_modules_of_jit_are_refused() -> None:
    module = torch.jit.script(nn.Conv2d(3, 4, 3))
    with pytest.raises(UnsupportedLayerError, match=r"modules of torch\.jit"):
        graph_of(module, SHAPE)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Deciding(), "cannot trace Deciding"),
        (Two(), "one input"),
        (Product(), "mul: a product of two tensors"),
        (Pair(), "single tensor"),
        (Sizes(True), "mul: mul is called in a way"),
        (hooked(), "0: layers with hooks"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()), "1: a layer of class SiLU is not supported"),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 3)), "0: a layer of class ConvTranspose2d"),
        (nn.Sequential(nn.Conv2d(4, 4, 3)), "0: weights of shape"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), "padding_mode"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(10, 4)), "1: a linear layer takes flattened"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(5)), "unequal sizes"),
        (nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), "count the padding"),
        (nn.Sequential(nn.Conv2d(3, 4, 20)), "too small"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_not_supported_is_named(module: Any, why: str) -> None:
    with pytest.raises(UnsupportedLayerError, match=why):
        graph_of(module, SHAPE)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the exporter about its own folding
@pytest.mark.parametrize("name", ["plain", "residual", "depthwise"])
def test_onnx_gives_the_same_graph(name: str) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import onnx

    from maddjit.integrations.onnx.network_graph import graph_of as graph_of_model

    module, file = made(name), io.BytesIO()
    axes = {"images": {0: "n"}}
    torch.onnx.export(
        *(module, (images(1),), file), input_names=["images"], dynamic_axes=axes, dynamo=False
    )
    ours = graph_of(module, SHAPE)
    theirs = graph_of_model(onnx.load_from_string(file.getvalue()), SHAPE)
    kinds = [[type(node.operation) for node in graph.nodes] for graph in (ours, theirs)]
    assert kinds[0] == kinds[1]
    for one, other in zip(ours.nodes, theirs.nodes, strict=True):
        assert (one.shape, one.inputs) == (other.shape, other.inputs)
        if isinstance(one.operation, Convolution):
            assert isinstance(other.operation, Convolution)
            assert one.operation.window == other.operation.window
            np.testing.assert_allclose(
                one.operation.weights, other.operation.weights, rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(one.operation.bias, other.operation.bias, atol=1e-5)


def test_compiled_networks() -> None:
    pytest.importorskip("maddjit.operators.network", reason="networks are not compiled yet")
    module, x = made("residual"), images(80)
    compiled = compile_network(module, x, codebooks={"again": 1}, n_patches=500)
    assert (compiled(x.numpy()) == run(compiled.network, x.numpy())).all()
    assert str(compiled) == str(compiled.report)
