"""Learning convolutions: the patches that are drawn, groups, padding, quantising, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit.arrays.epilogue import Epilogue
from maddjit.learning import convolution
from maddjit.models.window import Window, same_padding, window_of

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((60, 4, 9, 8)).cumsum(axis=3).cumsum(axis=2)
WEIGHTS = RNG.standard_normal((6, 4, 3, 3))


def exact(
    window: Window, x: NDArray[Any], weights: NDArray[Any], groups: int = 1
) -> NDArray[np.float64]:
    """Return the convolution itself, (N, M, Ho, Wo)."""
    inputs, outputs = weights.shape[1], len(weights) // groups
    size = window.output_size(*x.shape[2:])
    parts = []
    for g in range(groups):
        patches = window.patches(x[:, g * inputs : (g + 1) * inputs])
        right = weights[g * outputs : (g + 1) * outputs].reshape(outputs, -1).T
        parts.append((patches @ right).reshape(len(x), *size, outputs))
    return np.concatenate(parts, axis=-1).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "window",
    [
        Window((3, 3), (1, 1), (1, 1, 1, 1)),
        Window((2, 3), (2, 1), (0, 1, 2, 0), (1, 2)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_patches_at(window: Window, dtype: Any) -> None:
    x = np.clip(4 * IMAGES[:12], -128, 127).astype(dtype)
    expected = window.patches(x[:, 1:3], 5)
    places = np.sort(np.random.default_rng(1).choice(len(expected), 50, replace=False))
    found = window.patches_at(x, places, slice(1, 3), 5)
    assert found.dtype == dtype
    assert (found == expected[places]).all()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, (2, 1)])
def test_models_approximate_the_convolution(groups: int, stride: Any) -> None:
    weights = WEIGHTS[:, : 4 // groups]
    bias = np.arange(6.0)
    model = maddjit.fit_convolution(
        IMAGES, weights, 8, stride=stride, padding=1, groups=groups, bias=bias
    )
    assert (model.groups, model.n_outputs, model.fill) == (groups, 6, 0)
    x = IMAGES.astype(np.float32)
    wanted = exact(model.window, IMAGES, weights, groups) + bias[:, None, None]
    y = maddjit.compile(model)(x)
    assert ((y - wanted) ** 2).mean() < 0.2 * wanted.var()
    assert (y == maddjit.convolution_reference.convolve(model, x)).all()
    assert all(product.report and product.report.held_out for product in model.products)
    assert ("average over 2 groups" in model.error) == (groups == 2)


def test_planes_of_bytes_and_their_fill() -> None:
    bytes_of = np.clip(IMAGES * 3 + 100, 0, 255).astype(np.uint8)
    model = maddjit.fit_convolution(bytes_of, WEIGHTS, padding=1, fill=100)
    assert model.products[0].n_codebooks == 4
    assert model.fill == 100
    op = maddjit.compile(model, dtype="uint8")
    expected = maddjit.convolution_reference.convolve(model, bytes_of)
    assert (op(bytes_of) == expected).all()


def test_quantised_planes() -> None:
    quantise = Epilogue("int8", step=0.2, zero_point=-5)
    bias = np.arange(6.0)
    model = maddjit.fit_convolution(IMAGES, WEIGHTS, 8, padding=1, bias=bias, quantise=quantise)
    assert model.fill == -5
    x = IMAGES.astype(np.float32)
    y = maddjit.compile(model, quantise=quantise)(x)
    assert (y == maddjit.convolution_reference.convolve(model, quantise(x))).all()
    wanted = exact(model.window, IMAGES, WEIGHTS) + bias[:, None, None]
    assert ((y - wanted) ** 2).mean() < 0.2 * wanted.var()


def test_only_what_is_drawn_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "planes.npy"
    shape = (40, 2, 200, 200)  # 1.6 million patches
    mapped = np.lib.format.open_memmap(path, "w+", np.int8, shape)
    mapped[...] = (
        np.random.default_rng(0).integers(-100, 100, (1, 2, 10, 10)).repeat(20, 2).repeat(20, 3)
    )
    del mapped
    monkeypatch.setattr(Window, "patches", None)
    built: list[int] = []
    original = Window.patches_at

    def counted(self: Window, planes: Any, places: Any, *rest: Any) -> Any:
        assert isinstance(planes.base, np.memmap)
        built.append(len(places))
        return original(self, planes, places, *rest)

    monkeypatch.setattr(Window, "patches_at", counted)
    model = maddjit.fit_convolution(
        np.load(path, mmap_mode="r"), WEIGHTS[:, :2], 3, padding=1, n_patches=500, method="paper"
    )
    assert built == [450, 50]
    assert model.products[0].report is not None
    assert model.products[0].report.n_rows == 50


def test_images_are_kept_back_whole() -> None:
    rng = np.random.default_rng(0)
    window = Window((3, 3))
    learned, kept = convolution._drawn(np.empty((20, 1, 9, 9)), window, 400, 0.25, rng)
    assert (len(learned), len(kept)) == (300, 100)
    assert not set(learned // 49) & set(kept // 49)
    assert len(set(kept // 49)) == 5
    learned, kept = convolution._drawn(np.empty((2, 1, 9, 9)), window, 1000, 0.25, rng)
    assert (len(learned), len(kept)) == (74, 24)
    assert not set(learned) & set(kept)


def test_other_planes_to_judge_by() -> None:
    other = IMAGES[:3] + 1
    model = maddjit.fit_convolution(IMAGES, WEIGHTS, 4, validation=other, method="paper")
    report = model.products[0].report
    assert report is not None
    assert report.held_out
    assert report.n_rows == 3 * 7 * 6


def test_progress_and_time() -> None:
    seen: list[tuple[int, int]] = []

    def shown(done: int, total: int) -> None:
        seen.append((done, total))

    maddjit.fit_convolution(
        IMAGES, WEIGHTS[:, :2], groups=2, progress=shown, method="paper", time_limit=30
    )
    totals = {total for _, total in seen}
    assert len(totals) == 1
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == totals.pop()


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (9, 12), (1, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (1, 1)])
def test_same_padding(size: Any, stride: Any, kernel: Any) -> None:
    for dilation in ((1, 1), (2, 1)):
        upper = same_padding("upper", kernel, stride, dilation, size)
        lower = same_padding("lower", kernel, stride, dilation, size)
        wanted = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
        for sides in (upper, lower):
            assert Window(kernel, stride, sides, dilation).output_size(*size) == wanted
        assert upper == (lower[1], lower[0], lower[3], lower[2])
        assert 0 <= upper[1] - upper[0] <= 1
        assert 0 <= upper[3] - upper[2] <= 1


def test_padding_in_words_and_numbers() -> None:
    for padding, sides in (
        (2, (2, 2, 2, 2)),
        ((1, 2), (1, 1, 2, 2)),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ("valid", (0, 0, 0, 0)),
        ("same", (0, 1, 0, 1)),
        ("same_upper", (0, 1, 0, 1)),
        ("same_lower", (1, 0, 1, 0)),
    ):
        assert window_of((3, 3), 2, padding, 1, (28, 28)).padding == sides


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"stride": 0}, ValueError, "stride"),
        ({"stride": 1.5}, TypeError, "stride must be a whole number"),
        ({"stride": (1, 2, 3)}, ValueError, "one or two"),
        ({"padding": (1, 2, 3)}, ValueError, "one, two or four"),
        ({"padding": "full"}, ValueError, "same_upper"),
        ({"padding": -1}, ValueError, "padding"),
        ({"dilation": 5}, ValueError, "too small"),
        ({"groups": 3}, ValueError, "groups must divide"),
        ({"groups": 2}, ValueError, "are for 8 channels"),
        ({"groups": 0}, ValueError, "groups must divide"),
        ({"bias": np.ones(5)}, ValueError, "bias"),
        ({"core_rank": 2}, TypeError, "no option 'core_rank'"),
        ({"n_patches": 0}, ValueError, "n_patches"),
        ({"validation": 1.0}, ValueError, "validation"),
        ({"validation": IMAGES[:, :2]}, ValueError, "validation must have 4 channels"),
        ({"quantise": Epilogue()}, ValueError, "quantise"),
        ({"quantise": Epilogue("int8", arithmetic="integer")}, ValueError, "quantise must be"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"n_codebooks": 100}, ValueError, "n_codebooks"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        maddjit.fit_convolution(IMAGES, WEIGHTS, **options)


def test_bad_planes() -> None:
    with pytest.raises(ValueError, match="4 non-empty axes"):
        maddjit.fit_convolution(IMAGES[0], WEIGHTS)
    with pytest.raises(ValueError, match="4 non-empty axes"):
        maddjit.fit_convolution(IMAGES[:0], WEIGHTS)
    with pytest.raises(TypeError, match="real numbers"):
        maddjit.fit_convolution(IMAGES.astype(complex), WEIGHTS)
    with pytest.raises(ValueError, match="weights must have 4"):
        maddjit.fit_convolution(IMAGES, WEIGHTS[0])
    for bad in (np.nan, np.inf):
        broken = IMAGES.copy()
        broken[7, 2, 4, 5] = bad
        with pytest.raises(ValueError, match="of image 7 sees is not"):
            maddjit.fit_convolution(broken, WEIGHTS)


def test_a_warning_names_the_line_of_the_caller() -> None:
    noise = np.random.default_rng(2).standard_normal((40, 4, 9, 8))
    with pytest.warns(maddjit.AccuracyWarning, match="should not be used") as caught:
        maddjit.fit_convolution(noise, WEIGHTS[:, :2], 1, groups=2)
    assert {each.filename for each in caught} == {__file__}
