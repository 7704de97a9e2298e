"""PyTorch: dense layers become Strassen-Tile layers that train, or stay and say why."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.5", reason="PyTorch is not installed: nothing of it tested")

from torch import nn

from maddjit.integrations.torch import (
    Conversion,
    ReplacementError,
    StrassenTileConv1x1,
    StrassenTileLinear,
    compile_layers,
    convert,
)
from tests.integrations.torch.networks import One

pytestmark = pytest.mark.filterwarnings(  # of PyTorch about itself
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)

_start = torch.manual_seed(0)
X = torch.randn(40, 10, 3, generator=_start) @ torch.randn(3, 16, generator=_start)
X += 0.05 * torch.randn(X.shape, generator=_start)


def network() -> Any:
    torch.manual_seed(1)
    layers = nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8), nn.Linear(8, 4)
    return nn.Sequential(*layers).eval()


def error(one: Any, other: Any) -> float:
    """Return the squared error over the variance."""
    with torch.no_grad():
        rows = other.flatten(0, -2)
        return float(((one - other) ** 2).sum() / ((rows - rows.mean(0)) ** 2).sum())


def test_layers_are_taken_by_name_function_and_size() -> None:
    assert convert(network(), "2").converted == ("2",)
    assert convert(network(), ["0", "[2-3]"]).converted == ("0", "2", "3")
    assert convert(network()).converted == ("0", "2", "3")
    asked: list[str] = []

    def is_wide(layer: Any, name: str) -> bool:  # as torchao's filter_fn
        asked.append(name)
        return bool(layer.out_features > 4)

    assert convert(network(), is_wide).converted == ("0", "2")
    assert asked == ["0", "2", "3"]
    conversion = convert(network(), min_features=(8, 8))
    assert conversion.converted == ("0", "2")
    assert conversion.layers[2].why == "it has fewer than 8 inputs or 8 outputs"
    with pytest.raises(ValueError, match=r"has a name like 'fc'"):
        convert(network(), "fc")
    with pytest.raises(ValueError, match="passes the filter"):
        convert(network(), lambda layer, name: False)


def test_calibration_fits_and_measures() -> None:
    model = network()
    expected = model(X)
    conversion = convert(model, ["0", "2"], calibration=[X])
    assert conversion.module is model
    assert isinstance(model[0], StrassenTileLinear)
    assert isinstance(model[3], nn.Linear)
    assert error(model(X), expected) < 0.15
    for layer in conversion.layers:
        assert 0 < layer.error < 0.1
        assert (layer.rank, layer.n_rows) == (24, 400)
        assert layer.costs is not None
        assert layer.costs.core * 64 == layer.costs.dense * 24
        assert layer.costs.macs == layer.costs.encode + layer.costs.core + layer.costs.decode
    made = conversion.layers[0].costs
    assert made is not None
    assert made.parameters == sum(part.numel() for part in model[0].parameters())
    unfitted = convert(network(), ["0", "2"])
    assert error(unfitted.module(X), expected) > 0.2
    again = convert(network(), ["0", "2"], calibration=[X]).module
    assert torch.equal(again(X), model(X))


def test_layers_train() -> None:
    model = convert(network()).module.train()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(20):
        loss = (model(X) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_converted_networks_are_compiled() -> None:
    model = convert(network(), ["0", "2"], calibration=[X]).module
    compiled = compile_layers(model)
    assert error(compiled.module(X), model(X)) < 1e-10
    assert str(compiled) == "0  float32, clamped to [0, inf]\n2  float32"


def test_the_smallest_rank_within_the_error_is_taken() -> None:
    ranks = [32, 16, 49]
    loose = convert(network(), "0", rank=ranks, calibration=[X], max_error=0.5)
    tight = convert(network(), "0", rank=ranks, calibration=[X], max_error=1e-6)
    assert (loose.layers[0].rank, tight.layers[0].rank) == (16, 49)
    conversion = convert(network(), "[02]", rank=16, calibration=[X], max_error=1e-9)
    assert conversion.converted == ()
    assert "at rank 16 is above 1e-09" in conversion.layers[0].why
    assert conversion.layers[0].error > 1e-9


def test_layers_that_would_cost_too_much_stay() -> None:
    conversion = convert(network(), "[02]", max_macs=0.9)
    assert conversion.converted == ()
    assert "of its multiply-adds, which is above × 0.9" in conversion.layers[0].why
    conversion = convert(network(), "[02]", max_parameters=1.2)
    assert "of its parameters, which is above × 1.2" in conversion.layers[0].why
    wide = nn.Sequential(nn.Linear(256, 256))
    assert convert(wide, max_macs=0.6, max_parameters=1.6).converted == ("0",)


def test_a_layer_by_itself_is_returned_anew() -> None:
    dense = nn.Linear(16, 24, bias=False).double()
    for rows in (X, X[0], X.flatten(0, 1)):
        conversion = convert(dense, calibration=[rows.double()])
        assert isinstance(conversion, Conversion)
        assert isinstance(conversion.module, StrassenTileLinear)
        assert conversion.layers[0].name == ""
        assert conversion.module.values.dtype == torch.float64
        assert error(conversion.module(X.double()), dense(X.double())) < 0.05
    assert isinstance(dense, nn.Linear)
    assert "(itself)  16 → 24" in str(conversion)
    with pytest.raises(ValueError, match="does not pass the filter"):
        convert(dense, lambda layer, name: name != "")
    with pytest.raises(ValueError, match=r"the layer cannot be replaced: its weight is not finite"):
        convert(nn.Linear(16, 24, device="cpu").to(torch.float32).apply(_spoil))


def _spoil(layer: Any) -> None:
    nn.init.constant_(layer.weight, torch.nan)


def test_new_parameters_are_drawn_on_request() -> None:
    models = network(), network()
    one, other = (convert(model, "0", init="random", rank=9).module[0] for model in models)
    assert one.rank == 9
    assert not torch.equal(one.values, other.values)
    with pytest.raises(ValueError, match="starts from new parameters: leave out calibration"):
        convert(network(), init="random", calibration=[X])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_type_mode_hooks_and_attributes_stay(dtype: Any) -> None:
    model = network().to(dtype)
    model[0].train()
    model[0].weight.requires_grad_(False)
    model[0].note = "mine"
    seen: list[Any] = []
    handle = model[0].register_forward_hook(lambda _, __, y: seen.append(y))
    conversion = convert(model, "0")
    new = model[0]
    assert new.training
    assert not model[2].training
    assert new.note == "mine"
    assert new.values.dtype == new.bias.dtype == dtype
    trained = [name for name, part in new.named_parameters() if part.requires_grad]
    assert trained == ["bias"]
    assert model(X.to(dtype)).dtype == dtype
    assert len(seen) == 1
    handle.remove()
    model(X.to(dtype))
    assert len(seen) == 1
    assert "1 forward hook moved across" in conversion.layers[0].why


def test_shared_layers_stay_shared() -> None:
    shared = nn.Linear(16, 16)
    model = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared))
    conversion = convert(model, calibration=[X])
    assert conversion.converted == ("0",)
    assert model[0] is model[2][0]
    assert isinstance(model[0], StrassenTileLinear)
    assert conversion.layers[0].n_rows == 800


def test_parametrised_weights_are_taken_as_they_are() -> None:
    model = network()
    nn.utils.parametrizations.weight_norm(model[0])
    expected = model[0](X)
    conversion = convert(model, "0", calibration=[X])
    assert "parametrised weight made lasting" in conversion.layers[0].why
    assert error(model[0](X), expected) < 0.05


def test_layers_that_parents_read_and_subclasses_stay() -> None:
    class Lora(nn.Linear):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.ModuleDict({"encoder": encoder, "lora": Lora(16, 4), "fc": nn.Linear(16, 4)})
    conversion = convert(model)
    why = {layer.name: layer.why for layer in conversion.layers}
    assert conversion.converted == ("fc",)
    assert "takes its weight and multiplies by itself" in why["encoder.linear1"]
    assert "MultiheadAttention takes its weight" in why["encoder.self_attn.out_proj"]
    assert "Lora, which defines forward" in why["lora"]
    with pytest.raises(ValueError, match=r"lora cannot be replaced: it is of the class Lora"):
        convert(model, "lora")


def test_causal_layers_take_tiles_of_one_row() -> None:
    def decoder() -> Any:
        return nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)

    conversion = convert(decoder())
    assert conversion.converted == ()
    assert "attends causally, and tiles of several rows" in conversion.layers[-1].why
    assert convert(decoder(), tile=(1, 4, 4), rank=16, init="random").converted == (
        "linear1",
        "linear2",
    )
    model = nn.ModuleDict({"attention": nn.Identity(), "mlp": nn.Linear(16, 4)})
    model["attention"].is_causal = True
    assert "attention has is_causal=True" in convert(model).layers[0].why
    with pytest.raises(ValueError, match="causal=True needs tiles of one row"):
        convert(network(), causal=True)


def test_rows_of_a_batch_do_not_share_tiles() -> None:
    model = One(lambda m, x: m.others["head"](m.fc(x).mean(1)), head=None)
    model.others["head"] = model.head = nn.Linear(4, 3)
    conversion = convert(model, calibration=[X])
    assert conversion.converted == ("fc",)
    assert "rows of a batch would share tiles" in conversion.layers[1].why


def test_an_error_leaves_the_model_as_it_was() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.read = nn.Linear(16, 16), nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            return self.first(x) @ self.read.weight.T

    wrong: list[tuple[str, dict[str, Any]]] = [
        ("rank", {"rank": 3}),
        ("tile", {"tile": 5}),
        ("no rows reach 0, 2, 3", {"calibration": []}),
    ]
    for message, options in wrong:
        model = network()
        layers = list(model)
        with pytest.raises(ValueError, match=message):
            convert(model, **options)
        assert list(model) == layers
    model, spoilt = nn.Sequential(network()), X.clone()
    spoilt[1, 2, 3] = torch.nan
    wrong = [
        (r"0\.0: for tile=\(4, 4, 4\) the rank must be", {"rank": 3}),
        (r"0\.0: for tile=4 the rank must be", {"rank": 3, "calibration": [X]}),
        (r"0\.0: A_train must be finite", {"calibration": [spoilt]}),
    ]
    for message, options in wrong:
        with pytest.raises(ValueError, match=message):
            convert(model, **options)
    with pytest.raises(TypeError, match=r"0\.0: .*'sweeps'"):
        convert(model, calibration=[X], fit_options={"sweeps": 3})
    model[0][0].weight.data[1, 2] = torch.nan
    stays = convert(model).layers[0]
    assert (stays.name, stays.why) == ("0.0", "its weight is not finite")
    reader = Reader()
    assert convert(reader, calibration=[X]).converted == ("first",)
    assert isinstance(reader.read, nn.Linear)


def test_models_that_would_compute_something_else_are_refused() -> None:
    def use(model: One, x: Any) -> Any:
        return model.fc(x) * (2 if hasattr(model.fc, "weight") else 1)

    model = One(use)
    with pytest.raises(ReplacementError, match="replaced alone"):
        convert(model, calibration=[X])
    assert isinstance(model.fc, nn.Linear)
    assert convert(model, calibration=[X], check=False).converted == ("fc",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 0.1}, "max_error needs calibration"),
        ({"rank": [16, 24]}, "rank must be one number without max_error, not"),
        ({"max_macs": 0}, "max_macs must be above 0, not 0"),
        ({"max_rows": 0}, "max_rows must be 1 or more"),
        ({"random_state": -1}, "random_state must be"),
    ],
)
def test_options_that_contradict_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(network(), **options)


def test_models_on_no_device_and_compiled_ones_are_refused() -> None:
    with pytest.raises(TypeError, match="must be of floating point and on a device"):
        convert(network().to("meta"))
    with pytest.raises(ValueError, match="is compiled already"):
        convert(torch.compile(network()))
    with pytest.raises(ValueError, match="is not initialised"):
        convert(nn.Sequential(nn.LazyLinear(4)))


@pytest.mark.parametrize("calibration", [None, [X.view(4, 10, 10, 16).movedim(-1, 1)]])
def test_convolutions_share_tiles_of_pixels(calibration: Any) -> None:
    torch.manual_seed(2)
    images = X.view(4, 10, 10, 16).movedim(-1, 1)
    layers = nn.Conv2d(16, 24, 1, stride=(1, 2)), nn.ReLU(), nn.Conv2d(24, 8, 1, bias=False)
    model = nn.Sequential(*layers, nn.Conv2d(8, 8, 3)).to(memory_format=torch.channels_last)
    expected = model(images)
    conversion = convert(model, calibration=calibration, rank=49)
    assert conversion.converted == ("0", "2")
    for layer in conversion.layers if calibration else ():
        assert layer.error < 1e-6
    assert isinstance(model[0], StrassenTileConv1x1)
    assert model[0].stride == (1, 2)
    assert error(model(images), expected) < 1e-6
    compiled = compile_layers(model)
    assert str(compiled) == "0  float32, clamped to [0, inf]\n2  float32"
    for x in (images, images.contiguous(), images[1]):
        assert error(compiled.module(x), model(x)) < 1e-10
        assert compiled.module[0](x).stride() == model[0](x).stride()
    alone, together = compiled.module[0](images[:1]), compiled.module[0](images)
    assert torch.equal(alone, together[:1])


def test_patches_of_a_grid_share_tiles() -> None:
    model = network()
    expected = model(X)
    conversion = convert(model, ["0", "2"], calibration=[X], rows="patches", grid=(3, 3))
    assert [layer.error < 0.2 for layer in conversion.layers] == [True, True]
    assert model[0].grid == (3, 3)
    assert error(model(X), expected) < 0.2
    compiled = compile_layers(model).module
    assert error(compiled(X), model(X)) < 1e-10
    with pytest.raises(ValueError, match="the patches of a grid of 3 × 3"):
        compiled(X[:, :8])


def test_windows_of_long_sequences_are_sampled() -> None:
    long = X.view(1, 400, 16).expand(3, -1, -1)
    model = network()
    conversion = convert(model, "0", calibration=[long, X], max_rows=640)
    assert conversion.layers[0].n_rows <= 640
    assert conversion.layers[0].error < 0.2


def test_the_report_is_a_table() -> None:
    lines = str(convert(network(), calibration=[X], min_features=8)).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert lines[1].startswith("0            16 → 24  24    0.0")
    assert "384 → 384 + 144 + 576 (× 2.88)" in lines[1]
    assert lines[3].endswith("stays: it has fewer than 8 inputs or 8 outputs")
    assert lines[4].startswith("2 converted")
