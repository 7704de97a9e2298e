"""PyTorch: layers by Strassen-Tile compute their definition, and so do their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

import maddjit
from maddjit.integrations.torch import StrassenTileConv1x1, StrassenTileLinear
from maddjit.integrations.torch import strassen_tile_product as product
from maddjit.integrations.torch.strassen_tile_rows import n_tiles, patch_of

SHAPES = [(10,), (1, 10), (3, 10), (2, 5, 10), (2, 3, 9, 10), (0, 10), (0, 5, 10), (2, 0, 10)]


@pytest.fixture(params=[False, True], ids=["whole", "chunks"])
def in_chunks(request: Any, monkeypatch: Any) -> bool:
    """Products of few tiles are made in chunks of two, or all together."""
    if request.param:
        monkeypatch.setattr(product, "_CHUNK_TILES", 2)
        monkeypatch.setattr(product, "_CHUNK_NUMBERS", 1)
    return bool(request.param)


def made(*sizes: int, **options: Any) -> Any:
    """Return a layer of double precision whose parameters are numbers of float32."""
    torch.manual_seed(0)
    return StrassenTileLinear(*sizes, **options).double()


def rows(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("tied", [False, True])
def test_forward_is_the_definition(shape: tuple[int, ...], tied: bool) -> None:
    layer = made(10, 7, rank=24, init="random", tied=tied)
    if tied:  # an encoded weight of double precision has no exact model
        layer.encode_weight.data = layer.encode_weight.data.round(decimals=2).float().double()
        layer.weight.data = torch.randint(-3, 4, layer.weight.shape).double()
    x = rows(*shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 7)
    if 0 in shape:
        return
    sequences = x.numpy().reshape(-1, *(shape[-2:] if len(shape) > 1 else (1, 10)))
    model = layer.fitted
    values = layer.encoded().detach().numpy()
    wanted = np.stack([maddjit.tile_reference.multiply(model, each) for each in sequences])
    rounded = np.abs(values - model.values).max() * 1e3
    assert np.abs(y.detach().numpy().reshape(wanted.shape) - wanted).max() <= 1e-12 + rounded


@pytest.mark.parametrize("tile", [1, 2, 3, (2, 16, 2), (1, 4, 4), (3, 2, 5)], ids=str)
def test_tiles_of_any_shape(tile: Any) -> None:
    layer = made(33, 17, tile=tile, rank=9, init="random", bias=False)
    x = rows(3, 8, 33)
    wanted = maddjit.tile_reference.multiply(layer.fitted, x.numpy())
    assert np.abs(layer(x).detach().numpy() - wanted).max() <= 1e-12


@pytest.mark.usefixtures("in_chunks")
@pytest.mark.parametrize("options", [{}, {"recompute": True}, {"tied": True}, {"bias": False}])
def test_gradients(options: dict[str, Any]) -> None:
    layer = made(5, 6, tile=2, rank=7, init="random", **options)
    names = [name for name, _ in layer.named_parameters()]
    x = rows(3, 5, 5).requires_grad_()

    def outputs(x: Any, *parameters: Any) -> Any:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, named, (x,))

    assert torch.autograd.gradcheck(outputs, (x, *layer.parameters()))
    assert torch.autograd.gradgradcheck(outputs, (x, *layer.parameters()))


@pytest.mark.parametrize("name", ["x", "encode", "values", "decode", "bias"])
def test_gradients_of_one_part_alone(name: str, monkeypatch: Any) -> None:
    layer = made(8, 8, rank=17, init="random")
    x = rows(2, 30, 8)
    parts = {"x": x, **dict(layer.named_parameters())}

    def gradient() -> Any:
        for each in parts.values():
            each.requires_grad_(each is parts[name])
            each.grad = None
        (layer(x) ** 2).sum().backward()
        return parts[name].grad

    wanted = gradient()
    monkeypatch.setattr(product, "_CHUNK_TILES", 4)
    monkeypatch.setattr(product, "_CHUNK_NUMBERS", 1)
    for layer.recompute in (False, True):
        assert torch.allclose(gradient(), wanted, rtol=1e-10, atol=1e-12)


def test_transforms_of_functions() -> None:
    layer = made(8, 8, rank=17, init="random", recompute=True)
    parameters = dict(layer.named_parameters())

    def loss(parameters: Any, x: Any) -> Any:
        return (torch.func.functional_call(layer, parameters, (x,)) ** 2).sum()

    x = rows(3, 6, 8)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    together = torch.func.grad(loss)(parameters, x)
    for name, gradients in each.items():
        assert torch.allclose(gradients.sum(0), together[name])


def test_what_the_backward_pass_keeps() -> None:
    """With recompute it is what a dense layer keeps, but for the r matrices."""
    D, length = 64, 8192

    def kept(layer: Any) -> int:
        seen: dict[int, int] = {}

        def see(x: Any) -> Any:
            seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        x = torch.randn(2, length, D, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(see, lambda x: x):
            layer(x)
        return sum(seen.values())

    dense = kept(torch.nn.Linear(D, D))
    assert kept(StrassenTileLinear(D, D, recompute=True)) <= 1.5 * dense
    ratio = kept(StrassenTileLinear(D, D)) / dense
    assert 2 < ratio < 3  # the input, and r/16 of the outputs


def test_sequences_do_not_depend_on_each_other() -> None:
    layer = made(12, 8, init="random")
    x = rows(5, 6, 12)
    alone = torch.cat([layer(each) for each in x.split(1)])
    assert torch.allclose(layer(x), alone, rtol=0, atol=1e-13)
    other = x.clone()
    other[3] = 1e6
    changed = (layer(other) != layer(x)).flatten(1).any(1)
    assert changed.tolist() == [False, False, False, True, False]


def test_rows_see_their_tile_alone() -> None:
    def seen_by(layer: Any, length: int) -> Any:
        x = rows(length, 8).requires_grad_()
        return torch.stack(
            [torch.autograd.grad(layer(x)[i].sum(), x)[0].abs().sum(-1) > 0 for i in range(length)]
        )

    tokens = seen_by(made(8, 8, init="random"), 10)
    place = torch.arange(10)
    assert torch.equal(tokens, place[:, None] // 4 == place // 4)
    patches = seen_by(made(8, 8, init="random", rows="patches", grid=(3, 3)), 10)
    tile = torch.tensor([-1, 0, 0, 1, 0, 0, 1, 2, 2, 3])  # the first is a class token
    assert torch.equal(patches, tile[:, None] == tile)
    causal = made(8, 8, tile=(1, 4, 4), rank=16, init="random", causal=True)
    assert torch.equal(seen_by(causal, 5), torch.eye(5, dtype=torch.bool))


@pytest.mark.parametrize(("n", "grid", "extra"), [(4, (3, 5), 0), (4, (4, 4), 3), (6, (5, 4), 1)])
def test_patches_are_tokens_in_another_order(n: int, grid: tuple[int, int], extra: int) -> None:
    options: Any = {"tile": (n, 2, 2), "rank": 9, "init": "random"}
    layer = made(6, 5, rows="patches", grid=grid, **options)
    length = extra + math.prod(grid)
    x = rows(2, length, 6)
    in_tiles = layer.to_tiles(x)
    assert in_tiles.shape[1] == n * n_tiles(length, n, grid)
    wanted = maddjit.tile_reference.multiply(layer.fitted, in_tiles.numpy())
    own = layer.from_tiles(torch.from_numpy(wanted), length)
    assert torch.allclose(layer(x), own, rtol=0, atol=1e-12)
    assert torch.equal(layer.from_tiles(in_tiles, length), x)
    assert patch_of(n)[0] * patch_of(n)[1] == n
    assert layer(x[:0]).shape == (0, length, 5)
    with pytest.raises(ValueError, match="the patches of a grid"):
        layer(x[:, : math.prod(grid) - 1])


@pytest.mark.parametrize("stride", [1, (2, 3)])
def test_convolutions_have_pixels_for_tokens(stride: Any) -> None:
    torch.manual_seed(0)
    layer = StrassenTileConv1x1(6, 5, stride=stride, init="random").double()
    images = rows(2, 6, 7, 9)
    kept = images[..., :: layer.stride[0], :: layer.stride[1]]
    grid: Any = tuple(kept.shape[2:])
    same = StrassenTileLinear(6, 5, init="random", rows="patches", grid=grid).double()
    same.load_state_dict(layer.state_dict())
    y = layer(images)
    wanted = same(kept.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(2, 5, *grid)
    assert torch.allclose(y, wanted, rtol=0, atol=1e-13)
    assert torch.equal(layer(images[0]), layer(images[:1])[0])
    dense = torch.nn.Conv2d(6, 5, 1, stride=stride).double()
    for x in (images, images.to(memory_format=torch.channels_last), images[0]):
        assert layer(x).stride() == dense(x).stride()
    assert layer(images[:0]).shape == dense(images[:0]).shape
    assert layer.macs(7, 9, 2).dense == 2 * math.prod(grid) * 30
    for wrong in (images[:, 1:], images[0, 0]):
        with pytest.raises(ValueError, match=r"shape \(N, 6, H, W\)"):
            layer(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_features": 0}, "number of inputs must be above 0"),
        ({"out_features": -1}, "number of outputs must be above 0"),
        ({"rank": 0}, "rank must be above 0"),
        ({"tile": 0}, "tile must be above 0"),
        ({"tile": (4, 4)}, "tile must be 3 whole numbers"),
        ({"init": "zeros"}, "init must be one of"),
        ({"rank": 7}, "takes any"),
        ({"rows": "rows"}, '"tokens" or "patches"'),
        ({"rows": "patches"}, "grid"),
        ({"grid": (2, 2)}, "grid"),
        ({"rows": "patches", "grid": (2, 0)}, "grid must be above 0"),
        ({"causal": True}, "a token would see later ones"),
    ],
)
def test_arguments_out_of_range(options: dict[str, Any], message: str) -> None:
    sizes = {"in_features": 8, "out_features": 8} | options
    with pytest.raises(ValueError, match=message):
        StrassenTileLinear(**sizes)


@pytest.mark.parametrize("options", [{"rank": 24.0}, {"tile": 2.5}, {"tied": 1}, {"causal": None}])
def test_arguments_of_other_types(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        StrassenTileLinear(8, 8, **options)


def test_input_of_another_width_or_type() -> None:
    layer = StrassenTileLinear(8, 8)
    for shape in ((), (3, 7), (7,)):
        with pytest.raises(ValueError, match=r"shape \(…, 8\)"):
            layer(torch.zeros(shape))
    with pytest.raises(TypeError, match="must have the type of the layer"):
        layer(torch.zeros(3, 8, dtype=torch.float64))
