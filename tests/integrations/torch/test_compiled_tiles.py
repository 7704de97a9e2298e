"""PyTorch: compiled Strassen-Tile layers are within the bound, fused, and batches do not matter."""

from __future__ import annotations

import contextlib
import copy
import operator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

import maddjit
from maddjit import TargetError, tile_reference
from maddjit.integrations.torch import StrassenTileConv1x1, StrassenTileLinear, compile_layers
from maddjit.integrations.torch.compiled_tiles import CompiledStrassenTile
from maddjit.integrations.torch.tile_ops import Ending
from tests.integrations.torch.networks import saved

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def layer(D: int, M: int, **options: Any) -> Any:
    torch.manual_seed(3)
    return StrassenTileLinear(D, M, init="random", **options)


class Block(nn.Module):
    """A block in the shape of a vision transformer's, with one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = layer(width, 3 * width), layer(width, width)
        self.mlp = nn.Sequential(
            layer(width, 2 * width), nn.ReLU6(), nn.Dropout(0.1), layer(2 * width, width)
        )
        self.drop = nn.Dropout(0.1)
        self.scale = width**-0.5

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        attention = (q @ k.transpose(-2, -1) * self.scale).softmax(-1)
        x = x + self.drop(self.proj(attention @ v))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Two blocks between a sum with positions and a dense head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = layer(12, 16)
        self.positions = nn.Parameter(torch.randn(1, 9, 16))
        self.blocks = nn.ModuleList([Block(16), Block(16)])
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any, head: bool = True) -> Any:
        y = self.embed(x) + self.positions
        for block in self.blocks:
            y = block(y)
        return self.head(y.mean(1)) if head else y


X = torch.randn(3, 9, 12, generator=torch.manual_seed(5))


def difference(one: Any, other: Any) -> float:
    with torch.no_grad():
        return float((one - other).abs().max())


@pytest.mark.parametrize("shape", [(48,), (1, 48), (7, 48), (3, 5, 48), (2, 3, 9, 48)])
@pytest.mark.parametrize("tile", [4, (1, 2, 2), (2, 4, 3)])
def test_outputs_are_within_the_bound(shape: tuple[int, ...], tile: Any) -> None:
    module = layer(48, 37, tile=tile, rank=20)
    compiled = compile_layers(module).module
    assert isinstance(compiled, CompiledStrassenTile)
    x = torch.randn(shape, generator=torch.manual_seed(1))
    rows = x.numpy() if x.dim() > 1 else x[None].numpy()
    y = compiled(x)
    assert y.shape == (*shape[:-1], 37)
    expected = tile_reference.multiply(module.fitted, rows).reshape(y.shape)
    bound = tile_reference.error_bound(module.fitted, rows).reshape(y.shape)
    assert (np.abs(y.numpy() - expected) <= bound).all()


def test_empty_batches_have_empty_outputs() -> None:
    compiled = compile_layers(layer(8, 6)).module
    for shape in ((0, 8), (0, 5, 8), (3, 0, 8)):
        assert compiled(torch.zeros(shape)).shape == (*shape[:-1], 6)


def test_a_network_is_compiled_and_fused() -> None:
    model = Transformer().eval()
    expected = model(X)
    compiled = compile_layers(model)
    for fused in (compiled.module, compile_layers(model, fuse=False).module):
        assert difference(fused(X), expected) < 1e-4
        assert difference(fused(X, head=False), model(X, head=False)) < 1e-4
    assert type(compiled.module) is Transformer  # its forward has an argument with a default
    assert isinstance(compiled.module.blocks[0], Block)
    assert {
        name.rpartition("blocks.0.")[2]: ending for name, ending in compiled.layers.items()
    } == {
        "embed": Ending(),
        **{"qkv": Ending(), "proj": Ending(residual=True)},
        **{"mlp.0": Ending(low=0, high=6), "mlp.3": Ending(residual=True)},
        **{f"blocks.1.{name}": Ending() for name in ("qkv",)},
        **{f"blocks.1.{name}": Ending(residual=True) for name in ("proj", "mlp.3")},
        "blocks.1.mlp.0": Ending(low=0, high=6),
    }
    assert "blocks.0.mlp.0  float32, clamped to [0, 6]" in str(compiled)
    assert torch.equal(model(X), expected)  # and it is as it was


def test_sequences_do_not_depend_on_the_batch() -> None:
    compiled = compile_layers(Transformer()).module.blocks
    x = torch.randn(5, 11, 16, generator=torch.manual_seed(2))
    for each in (compiled[0].qkv, compiled[1].mlp[0], layer_with_residual()):
        args = (x, x) if each.ending.residual else (x,)
        together = each(*args)
        for i in range(len(x)):
            assert torch.equal(each(*(part[i] for part in args)), together[i])


def layer_with_residual() -> Any:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = layer(16, 16)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.fc(x) + x)

    return compile_layers(Sum()).module.fc


def test_compiled_modules_travel() -> None:
    assert list(compile_layers(layer(16, 8)).module.state_dict()) == ["packed"]
    compiled = compile_layers(Transformer()).module
    expected = compiled(X)
    for again in (copy.deepcopy(compiled), saved(compiled)):
        assert torch.equal(again(X), expected)
    again.load_state_dict(compiled.state_dict())
    assert torch.equal(again(X), expected)
    exported = torch.export.export(compiled, (X,)).module()
    assert difference(exported(X), expected) < 1e-5


def test_compiled_modules_are_compiled_by_torch() -> None:
    compiled = compile_layers(nn.Sequential(layer(16, 8), nn.ReLU(), layer(8, 16))).module
    x = torch.randn(2, 5, 16)
    again = torch.compile(compiled, fullgraph=True, backend="eager")
    assert torch.equal(again(x), compiled(x))


def test_convolutions_have_the_attributes_of_dense_ones() -> None:
    compiled = compile_layers(StrassenTileConv1x1(16, 8, stride=2, init="random")).module
    dense = nn.Conv2d(16, 8, 1, stride=2)
    names = "in_channels out_channels kernel_size stride padding dilation groups padding_mode"
    assert all(getattr(compiled, name) == getattr(dense, name) for name in names.split())
    assert "(16, 8, kernel_size=(1, 1), stride=(2, 2), tile=4 × 4 × 4, rank=24, " in repr(compiled)


def test_states_of_other_layers_are_refused() -> None:
    one, other = compile_layers(layer(16, 8)).module, compile_layers(layer(8, 16)).module
    with pytest.raises(RuntimeError, match=r"packed holds \(8, 16, \(4, 4, 4\), 24\), and the"):
        one.load_state_dict(other.state_dict())
    with pytest.raises(RuntimeError, match="packed: "):
        one.load_state_dict({"packed": torch.zeros(7, dtype=torch.uint8)})
    module = layer(16, 8)
    nn.init.ones_(module.values)
    one.load_state_dict(compile_layers(module).module.state_dict())
    x = torch.randn(2, 4, 16)
    assert difference(one(x), module(x)) < 1e-4


def test_training_and_gradients_are_refused() -> None:
    compiled = compile_layers(layer(16, 8)).module
    with pytest.raises(RuntimeError, match="compiled layers are for inference"):
        compiled.train()(torch.zeros(2, 16))
    y = compiled.eval()(torch.zeros(2, 16, requires_grad=True))
    with pytest.raises(RuntimeError, match="has no gradient: train the module"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_outputs_have_the_type_of_the_input(dtype: Any) -> None:
    compiled = compile_layers(layer(16, 8)).module
    x = torch.randn(2, 5, 16).to(dtype)
    y = compiled(x)
    assert y.dtype == dtype
    assert torch.equal(y, compiled(x.float()).to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(x).dtype == (dtype if dtype == torch.float64 else torch.bfloat16)
    with pytest.raises(TypeError, match="must be of floating point"):
        compiled(x.int())
    with pytest.raises(ValueError, match=r"must have shape \(…, 16\), not \(2, 5, 8\)"):
        compiled(x[..., :8])


def test_rows_that_are_not_finite_spoil_their_tile_alone() -> None:
    compiled = compile_layers(nn.Sequential(layer(16, 8), nn.ReLU())).module
    x = torch.randn(3, 10, 16)
    bad = x.clone()
    bad[1, 5, 3], bad[2, 9, 0] = torch.nan, torch.inf
    spoilt = torch.zeros(3, 10, dtype=torch.bool)
    spoilt[1, 4:8] = spoilt[2, 8:] = True
    y = compiled(bad)
    assert y[spoilt].isnan().all()
    assert torch.equal(y[~spoilt], compiled(x)[~spoilt])
    fused, residual = layer_with_residual(), x.clone()
    residual[0, 2, 3] = torch.nan
    places = fused(x, residual, low=0.0).isnan().nonzero().tolist()
    assert places == [[0, 2, 3]]


def test_other_residuals_are_added_by_pytorch() -> None:
    fused = layer_with_residual()
    x = torch.randn(3, 5, 16)
    plain = CompiledStrassenTile(fused.fitted).eval()(x)
    for residual in (x[0], x[0, 0], 2.0, x.double()):
        assert torch.equal(fused(x, residual, low=0.0), torch.relu(plain + residual))
    assert torch.equal(fused(x), plain)  # what is fused stands in the call


class Sum(nn.Module):
    """A layer, a sum with a second input, and a clamp."""

    def __init__(self, way: Any) -> None:
        super().__init__()
        self.fc, self.way = layer(16, 16), way

    def forward(self, x: Any, other: Any) -> Any:
        return torch.relu(self.way(self.fc(x), other))


@pytest.mark.parametrize(
    ("way", "in_place"),
    [
        (operator.add, False),
        (lambda y, other: other + y, False),
        (lambda y, other: y.add(other), False),
        (operator.iadd, True),
        (lambda y, other: y.add_(other), True),
    ],
)
def test_sums_have_the_type_of_the_module(way: Any, in_place: bool) -> None:
    model = Sum(way).eval()
    compiled = compile_layers(model)
    assert compiled.layers == {"fc": Ending(low=0, residual=True)}
    plain, x = compile_layers(model.fc).module, torch.randn(3, 5, 16)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.int64):
        other = (4 * torch.randn(3, 5, 16)).to(dtype)
        y = compiled.module(x, other)
        assert y.dtype == model(x, other).dtype
        assert torch.equal(y, torch.relu(way(plain(x), other)))
    with pytest.raises(RuntimeError) if in_place else contextlib.nullcontext():
        assert compiled.module(x[:1], other).shape == other.shape
    far = x.double() + 2**30  # a sum in float32 would be that of another number
    assert torch.equal(compiled.module(x.double(), far), way(plain(x.double()), far))


class Wrapped(nn.Module):
    """A module, and what is done with it."""

    def __init__(self, inner: Any, use: Any) -> None:
        super().__init__()
        self.inner, self.use = inner, use

    def forward(self, x: Any) -> Any:
        return self.use(self.inner, x)

    def features(self, x: Any) -> Any:
        return self.inner(x)


def taps(layers: Any, x: Any) -> Any:
    seen = []
    for each in layers:
        x = each(x)
        seen.append(x)
    return torch.stack(seen)


def test_other_calls_of_fused_layers_are_as_before() -> None:
    x = torch.randn(2, 5, 16)
    block = Wrapped(layer(16, 16), lambda inner, x: inner(x))
    relu = Wrapped(block, lambda inner, x: torch.relu(inner(x)))
    sequence = nn.Sequential(layer(16, 16), nn.ReLU(), nn.Dropout(), layer(16, 16))
    for model in (
        nn.Sequential(relu, Wrapped(block, lambda inner, x: inner(x))),
        Wrapped(sequence, taps),
        Wrapped(sequence, lambda inner, x: inner[:1](x) * inner(x)),
        Wrapped(nn.Sequential(sequence, nn.ReLU()), lambda inner, x: inner[0][3](x) + inner(x)),
    ):
        model.eval()
        compiled = compile_layers(model).module
        assert difference(compiled(x), model(x)) < 1e-4
        assert difference(copy.deepcopy(compiled)(x), model(x)) < 1e-4
    compiled = compile_layers(relu).module
    assert compile_layers(relu).layers == {"inner.inner": Ending(low=0)}
    assert difference(compiled.features(x), relu.features(x)) < 1e-4
    compiled = compile_layers(sequence)
    assert compiled.layers["0"] == Ending(low=0)
    assert len(compiled.module) == 4
    assert type(compiled.module[:1]) is nn.Sequential
    assert difference(compiled.module[:1](x), sequence[:1](x)) < 1e-4
    compiled.module[1] = nn.Tanh()  # what was fused is so no longer
    sequence[1] = nn.Tanh()
    assert difference(compiled.module(x), sequence(x)) < 1e-4
    for each in (compiled.module, sequence):
        each.append(nn.Sigmoid())
    assert difference(compiled.module(x), sequence(x)) < 1e-4


class Noting(nn.Module):
    """A module whose forward keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.calls, self.seen = layer(16, 16), 0, []
        self.register_buffer("total", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.total += 1
        self.seen.append(x)
        self.last = self.fc(x)
        return torch.relu(self.last)


def test_modules_that_keep_what_they_saw_are_not_rewritten() -> None:
    model, x = nn.Sequential(Noting()), torch.randn(2, 5, 16)
    compiled = compile_layers(model)
    noting = compiled.module[0]
    assert compiled.layers == {"0.fc": Ending()}
    assert (noting.calls, float(noting.total), noting.seen) == (0, 0, [])
    assert not hasattr(noting, "last")
    compiled.module(x)
    assert (noting.calls, float(noting.total), len(noting.seen)) == (1, 1, 1)
    assert noting.last.min() < 0


def test_hooks_see_what_layers_return() -> None:
    seen: list[Any] = []
    model = nn.Sequential(layer(16, 8), nn.ReLU(), layer(8, 4), nn.ReLU())
    model[0].register_forward_hook(lambda _, __, y: seen.append(y))
    model[3].register_forward_hook(lambda _, __, y: seen.append(y))
    compiled = compile_layers(model)
    assert compiled.layers == {"0": Ending(), "2": Ending()}
    y = compiled.module(torch.randn(2, 5, 16))
    assert seen[0].min() < 0
    assert seen[1] is y


def test_shared_layers_stay_shared_and_open() -> None:
    shared = layer(16, 16)
    model = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared, nn.ReLU6()))
    compiled = compile_layers(model)
    assert compiled.module[0] is compiled.module[2][0]
    assert compiled.layers == {"0": Ending()}
    x = torch.randn(2, 5, 16)
    assert difference(compiled.module(x), model(x)) < 1e-4


def test_modules_without_such_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="has no Strassen-Tile layer"):
        compile_layers(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="is compiled already"):
        compile_layers(torch.compile(layer(16, 8)))
    with pytest.raises(TypeError, match="must be on the CPU, not on meta"):
        compile_layers(layer(16, 8).to("meta"))


def test_bfloat16_is_within_its_bound_or_refused() -> None:
    module = layer(48, 37)
    x = torch.randn(3, 9, 48)
    expected = tile_reference.multiply(module.fitted, x.numpy())
    bound = tile_reference.error_bound(module.fitted, x.numpy(), "bfloat16")
    try:
        compiled = compile_layers(module, precision="bfloat16").module
    except TargetError:  # as on a CPU with AVX2 alone
        with pytest.raises(TargetError, match="bf16"):
            maddjit.compile(module.fitted, precision="bfloat16")
        return
    assert (np.abs(compiled(x).numpy() - expected) <= bound).all()
