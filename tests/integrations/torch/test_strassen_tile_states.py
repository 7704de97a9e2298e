"""PyTorch: layers by Strassen-Tile are modules like others: states, types, devices, compilers."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

from maddjit.integrations.torch import (
    StrassenTileConv1x1,
    StrassenTileLinear,
    TileMacs,
    parameter_groups,
)
from maddjit.integrations.torch import strassen_tile_product as product
from tests.integrations.torch.networks import saved

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def layer_of(**options: Any) -> Any:
    torch.manual_seed(0)
    return StrassenTileLinear(16, 8, **({"init": "random"} | options))


X = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("tied", [False, True])
def test_states(tied: bool) -> None:
    layer = layer_of(tied=tied)
    own = {"weight", "encode_weight"} if tied else {"values"}
    assert set(layer.state_dict()) == {"encode", "decode", "bias"} | own
    other = StrassenTileLinear(16, 8, tied=tied)
    other.load_state_dict(layer.state_dict())
    for again in (other, copy.deepcopy(layer), saved(layer)):
        assert torch.equal(again(X), layer(X))
        assert repr(again) == repr(layer)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))


def test_states_of_other_layers_are_refused() -> None:
    layer, before = layer_of(), layer_of()
    newer = layer.state_dict()
    newer._metadata[""]["version"] = 2
    for state, message in (
        (nn.Linear(16, 8).state_dict(), "the state of a dense layer"),
        (layer_of(tied=True).state_dict(), "tied=True"),
        (newer, "the state has the version 2"),
    ):
        with pytest.raises(RuntimeError, match=message):
            layer.load_state_dict(state)
    inside = nn.Sequential(layer)
    with pytest.raises(RuntimeError, match=r"0: this is the state of a dense layer"):
        inside.load_state_dict(nn.Sequential(nn.Linear(16, 8)).state_dict(), strict=False)
    assert torch.equal(layer(X), before(X))
    for state, message in (
        (StrassenTileLinear(16, 8, rank=32).state_dict(), "size mismatch for encode"),
        ({**before.state_dict(), "more": X}, "Unexpected key"),
        ({"encode": before.encode, "decode": before.decode}, "Missing key"),
    ):
        with pytest.raises(RuntimeError, match=message):
            layer.load_state_dict(state)


def test_texts() -> None:
    assert repr(StrassenTileLinear(16, 8)) == (
        "StrassenTileLinear(in_features=16, out_features=8, bias=True, tile=4 × 4 × 4, rank=24)"
    )
    layer = layer_of(tile=(1, 4, 4), bias=False, causal=True, tied=True, recompute=True)
    assert repr(layer).endswith(
        "bias=False, tile=1 × 4 × 4, rank=24, causal=True, tied=True, recompute=True)"
    )
    assert repr(layer_of(rows="patches", grid=(3, 5))).endswith("rank=24, grid=3 × 5)")
    assert repr(StrassenTileConv1x1(16, 8, stride=2)) == (
        "StrassenTileConv1x1(16, 8, kernel_size=(1, 1), stride=(2, 2), bias=True, "
        "tile=4 × 4 × 4, rank=24)"
    )


@pytest.mark.parametrize("init", ["scheme", "random", "strassen"])
@pytest.mark.parametrize("tied", [False, True])
def test_outputs_begin_with_the_variance_of_a_dense_layer(init: Any, tied: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(512, 256)
    for rank in (24, 49):
        layer = StrassenTileLinear(256, 128, rank=rank, init=init, tied=tied)
        assert abs(float(layer(x).var().detach()) * 3 - 1) < 0.15
        slack = 1.42 if rank == 49 else 1.001  # exact factors are scaled by powers of 2
        rows = layer.encode.detach().norm(dim=1)
        columns = layer.decode.detach().norm(dim=0) / (16 / rank) ** 0.5
        for norms in (rows, columns):
            assert 1 / slack < norms.min()
            assert norms.max() < slack


def test_starts_repeat_from_a_seed_and_products_may_be_added() -> None:
    exact = layer_of(rank=49, init="strassen", bias=False)
    wider = layer_of(rank=55, init="strassen", bias=False)
    assert wider.encoded()[49:].abs().max() == 0
    assert torch.equal(layer_of(rank=55, init="strassen", bias=False).encode, wider.encode)
    wider.encode.data[:49], wider.decode.data[:, :49] = exact.encode.data, exact.decode.data
    wider.values.data[:49] = exact.values.data
    assert torch.allclose(wider(X), exact(X), atol=1e-6)
    wider(X).square().sum().backward()
    assert wider.values.grad[49:].abs().min() > 0


def test_types() -> None:
    for dtype, error in ((torch.float64, 1e-6), (torch.float32, 0), (torch.bfloat16, 0.03)):
        layer = layer_of().to(dtype)
        y = layer(X.to(dtype))
        assert y.dtype == dtype
        y.float().sum().backward()
        assert (y.float() - layer_of()(X)).abs().max() <= error
    assert StrassenTileLinear(16, 8, dtype=torch.float64).fitted.values.dtype == "float32"
    half = layer_of().half()
    half.recompute = True
    y = half(X.half())
    y.sum().backward()
    assert y.dtype == half.values.grad.dtype == torch.float16
    assert (y.float() - layer_of()(X)).abs().max() <= 0.01


@pytest.mark.parametrize("recompute", [False, True])
def test_autocast(recompute: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(product, "_CHUNK_TILES", 2)
    monkeypatch.setattr(product, "_CHUNK_NUMBERS", 1)
    layer = layer_of(recompute=recompute)
    exact = layer(X)
    (wanted,) = torch.autograd.grad(exact.square().sum(), [layer.values])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(X)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert layer.values.grad.dtype == torch.float32
    assert (layer.values.grad - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize(
    "options",
    [
        {"recompute": True},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"tied": True, "tile": 3}, marks=pytest.mark.slow),
    ],
)
def test_compiled_whole(options: dict[str, Any]) -> None:
    layer = layer_of(**options)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for length in (10, 7, 12):
        x = torch.randn(2, length, 16)
        found = []
        for model in (layer, compiled):
            layer.zero_grad()
            y = model(x)
            y.sum().backward()
            found += [y.detach(), layer.encode.grad.clone()]
        assert torch.allclose(found[2], found[0], atol=1e-5)
        assert torch.allclose(found[3], found[1], atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"rows": "patches", "grid": (2, 3)}])
def test_exported(options: dict[str, Any]) -> None:
    layer = layer_of(recompute=True, **options).eval()
    sizes: Any = {0: torch.export.Dim("S")}
    if not options:
        sizes[1] = torch.export.Dim("T")
    program = torch.export.export(layer, (X,), dynamic_shapes=(sizes,))
    for number, length in [(1, 10), (3, 10)] if options else [(1, 1), (1, 4), (3, 7), (2, 12)]:
        x = torch.randn(number, length, 16)
        assert torch.allclose(program.module()(x), layer(x), atol=1e-6)


def test_layers_on_no_device() -> None:
    layer = StrassenTileLinear(16, 8, device="meta")
    assert layer(X.to("meta")).shape == (2, 10, 8)
    torch.manual_seed(0)
    filled = layer.to_empty(device="cpu")
    filled.reset_parameters()
    torch.manual_seed(0)
    assert torch.equal(filled(X), StrassenTileLinear(16, 8)(X))
    skipped = torch.nn.utils.skip_init(StrassenTileLinear, 16, 8)
    assert skipped.values.shape == filled.values.shape


def test_multiply_adds() -> None:
    layer = StrassenTileLinear(10, 7, rank=24)
    assert layer.macs(9, 2) == TileMacs(
        encode=6 * 24 * 16 * 3, core=6 * 24 * 3 * 2, decode=6 * 24 * 16 * 2, weight=0, dense=18 * 70
    )
    assert layer.macs(9).total == 3 * 24 * (16 * 3 + 3 * 2 + 16 * 2)
    assert layer_of(tied=True).macs(4).weight == 24 * 16 * 4 * 2
    patches = layer_of(rows="patches", grid=(3, 5))
    assert patches.macs(16).core == (1 + 2 * 3) * 24 * 4 * 2


def test_groups_of_parameters() -> None:
    layer, norm = layer_of(), nn.LayerNorm(8)
    tied = StrassenTileLinear(8, 8, tied=True)
    tied.encode_weight.requires_grad_(False)
    model = nn.Sequential(layer, norm, tied, layer, nn.Linear(8, 2))
    groups = parameter_groups(model, weight_decay=0.1, lr=1e-3, factor_lr=2.0)
    weights, factors, others = groups
    assert [p.shape for p in weights["params"]] == [(24, 4, 2), (8, 8), (2, 8)]
    assert [id(p) for p in factors["params"]] == [
        id(p) for p in (layer.encode, layer.decode, tied.encode, tied.decode)
    ]
    assert len(others["params"]) == 5
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0, 0.0]
    assert [group["lr"] for group in groups] == [1e-3, 2e-3, 1e-3]
    torch.optim.AdamW(groups).step()
    own = layer.parameter_groups()
    assert [group["name"] for group in own] == ["weights", "factors", "others"]
    assert "lr" not in own[0]
    with pytest.raises(ValueError, match="multiple of lr"):
        parameter_groups(layer, factor_lr=2.0)


def test_training_repeats_from_a_seed() -> None:
    def trained() -> Any:
        layer = layer_of(init="strassen", rank=24, recompute=True)
        optimiser = torch.optim.AdamW(layer.parameter_groups(lr=1e-2))
        torch.manual_seed(1)
        wanted = torch.randn(2, 10, 8)
        losses = []
        for _ in range(20):
            loss = (layer(X) - wanted).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.7 * losses[0]
        return losses

    assert trained() == trained()
