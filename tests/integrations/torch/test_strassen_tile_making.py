"""PyTorch: layers by Strassen-Tile from dense layers, by schemes or fitted, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn
from torch.nn.utils import parametrizations, prune

import maddjit
from maddjit.integrations.torch import StrassenTileConv1x1, StrassenTileLinear
from maddjit.models import schemes

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def dense_of(D: int = 18, M: int = 10, **options: Any) -> Any:
    torch.manual_seed(0)
    return nn.Linear(D, M, **options)


def few_directions(*shape: int) -> Any:
    """Return rows that vary in few directions, alike within a sequence."""
    torch.manual_seed(1)
    slow = torch.randn(*shape[:-2], 1, 5) + 0.3 * torch.randn(*shape[:-1], 5)
    return slow @ torch.randn(5, shape[-1])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("tile", "rank", "scheme"),
    [(2, 7, None), (4, 49, None), (3, 23, None), (4, 24, schemes.plain(1, 3, 4)), (2, 8, None)],
)
def test_exact_schemes_keep_the_function(tile: int, rank: int, scheme: Any, tied: bool) -> None:
    dense = dense_of(dtype=torch.float64)
    layer = StrassenTileLinear.from_linear(dense, tile=tile, rank=rank, scheme=scheme, tied=tied)
    x = torch.randn(2, 9, 18, dtype=torch.float64)
    assert torch.allclose(layer(x), dense(x), rtol=0, atol=1e-13)
    again = layer.to_dense()
    assert isinstance(again, nn.Linear)
    assert torch.allclose(again.weight, dense.weight, rtol=0, atol=1e-13)
    assert torch.equal(again.bias, dense.bias)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dense_layers_of_exact_starts(dtype: Any) -> None:
    torch.manual_seed(0)
    layer = StrassenTileLinear(18, 10, rank=52, init="strassen", dtype=dtype)
    x = torch.randn(9, 18, dtype=dtype)
    dense = layer.to_dense()
    assert dense.weight.dtype == dtype
    error = (dense.float()(x.float()) - layer.float()(x.float())).abs().max()
    assert error < 100 * torch.finfo(dtype).eps
    layer.values.data[3] += 0.1
    with pytest.raises(ValueError, match="no dense layer computes the same"):
        layer.to_dense()


def test_layers_that_are_not_dense() -> None:
    for options in ({}, {"init": "random"}, {"init": "strassen", "rank": 48}, {"tied": True}):
        layer = StrassenTileLinear(18, 10, **options)
        with pytest.raises(ValueError, match="Only factors of an exact scheme"):
            layer.to_dense()
    one_row = StrassenTileLinear(18, 10, tile=(1, 4, 4), init="random")
    x = torch.randn(9, 18)
    assert torch.allclose(one_row.to_dense()(x), one_row(x), atol=1e-5)


def test_an_approximate_scheme_encodes_the_weight() -> None:
    dense = dense_of(16, 12)
    scheme = schemes.generic(32)
    layer = StrassenTileLinear.from_linear(dense, scheme=scheme)
    model = maddjit.fit_strassen_tile(
        dense.weight.detach().numpy().T, scheme=scheme, bias=dense.bias.detach().numpy()
    )
    x = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)
    own = x.reshape(8, 4, 16).swapaxes(0, 1).reshape(32, 16)  # neighbours in blocks' places
    wanted = maddjit.tile_reference.multiply(model, own)
    wanted = wanted.reshape(4, 8, 12).swapaxes(0, 1).reshape(32, 12)
    assert np.abs(layer(torch.from_numpy(x)).detach().numpy() - wanted).max() < 1e-4
    assert torch.allclose(layer.encode.norm(dim=1), torch.ones(32))


def test_calibrated_layers_are_near_the_dense_one() -> None:
    dense = dense_of(16, 12)
    rows = few_directions(40, 12, 16)
    layer = StrassenTileLinear.from_linear(dense, rank=24, calibration=rows, max_iterations=3)
    fresh = rows[:5] + 0
    spread = dense(rows).var()
    error = (layer(fresh) - dense(fresh)).square().mean() / spread
    white = StrassenTileLinear.from_linear(dense, rank=24)
    assert error < 0.1
    assert error < 0.3 * (white(fresh) - dense(fresh)).square().mean() / spread
    images = few_directions(20, 13, 16)
    patches = StrassenTileLinear.from_linear(
        dense, rank=24, calibration=images, rows="patches", grid=(3, 4), max_iterations=3
    )
    assert patches.tile == (4, 4, 4)
    assert (patches(images) - dense(images)).square().mean() < 0.1 * dense(images).var()
    bare = dense_of(16, 12, bias=False)
    calibrated = StrassenTileLinear.from_linear(bare, calibration=rows.numpy(), max_iterations=0)
    assert calibrated.bias is not None
    with pytest.raises(ValueError, match="tied"):
        StrassenTileLinear.from_linear(dense, calibration=rows, tied=True)
    with pytest.raises(ValueError, match="whole sequences"):
        StrassenTileLinear.from_linear(dense, calibration=rows[0, 0])


def test_what_is_kept_of_the_dense_layer() -> None:
    dense = dense_of(dtype=torch.float64).eval()
    dense.weight.requires_grad_(False)
    options: Any = {"tile": 2, "rank": 7, "recompute": True}
    layer = StrassenTileLinear.from_linear(dense, **options)
    assert layer.values.dtype == torch.float64
    assert not layer.training
    assert layer.recompute
    assert layer.bias.requires_grad
    assert not any(p.requires_grad for name, p in layer.named_parameters() if name != "bias")
    assert StrassenTileLinear.from_linear(dense_of(bias=False), **options).bias is None
    assert layer.to_dense().weight.requires_grad == dense.weight.requires_grad
    tied = StrassenTileLinear.from_linear(dense_of(), tied=True, **options)
    assert torch.equal(tied.weight, dense_of().weight)


def test_weights_of_other_kinds() -> None:
    x = torch.randn(4, 18)
    options: Any = {"tile": 2, "rank": 7}
    parametrised = parametrizations.weight_norm(dense_of())
    layer = StrassenTileLinear.from_linear(parametrised, **options)
    assert torch.allclose(layer(x), parametrised(x), atol=1e-5)
    embedding = nn.Embedding(10, 18)
    head = dense_of()
    head.weight = embedding.weight
    layer = StrassenTileLinear.from_linear(head, **options)
    layer.values.data.zero_()
    assert embedding.weight.abs().max() > 0

    class Other(nn.Linear):
        def forward(self, input: Any) -> Any:
            return super().forward(input) ** 2

    infinite = dense_of()
    infinite.weight.data[0, 0] = torch.inf
    pruned = prune.l1_unstructured(dense_of(), "weight", 0.5)
    for wrong, message in (
        (Other(18, 10), "defines forward by itself"),
        (infinite, "not finite"),
        (pruned, "hooks compute its weight"),
        (nn.LazyLinear(10), "not initialised"),
    ):
        with pytest.raises(ValueError, match=message):
            StrassenTileLinear.from_linear(wrong, **options)
    for wrong in (nn.Conv2d(18, 10, 1), nn.Linear(18, 10, device="meta"), layer):
        with pytest.raises(TypeError, match="the layer must be"):
            StrassenTileLinear.from_linear(wrong, **options)
    with pytest.raises(ValueError, match="the rank must be"):
        StrassenTileLinear.from_linear(dense_of(), tile=2, rank=3)


@pytest.mark.parametrize("bias", [False, True])
def test_convolutions(bias: bool) -> None:
    torch.manual_seed(0)
    dense = nn.Conv2d(6, 5, 1, stride=2, bias=bias)
    images = torch.randn(3, 6, 7, 9)
    layer = StrassenTileConv1x1.from_conv(dense, tile=2, rank=7)
    assert layer.stride == (2, 2)
    assert torch.allclose(layer(images), dense(images), atol=1e-5)
    again = layer.to_conv()
    assert (again.weight.shape, again.stride) == (dense.weight.shape, dense.stride)
    assert torch.allclose(again(images), dense(images), atol=1e-5)
    alike = few_directions(20, 63, 6).transpose(1, 2).reshape(20, 6, 7, 9)
    fitted = StrassenTileConv1x1.from_conv(dense, calibration=alike, max_iterations=3)
    assert (fitted(alike) - dense(alike)).square().mean() < 0.1 * dense(alike).var()
    for wrong in (nn.Conv2d(6, 6, 1, groups=2), nn.Conv2d(6, 5, 1, padding=1), nn.Conv2d(6, 5, 3)):
        with pytest.raises(ValueError, match="in one group and unpadded"):
            StrassenTileConv1x1.from_conv(wrong)
    with pytest.raises(ValueError, match=r"\(N, D, H, W\)"):
        StrassenTileConv1x1.from_conv(dense, calibration=images[0])
