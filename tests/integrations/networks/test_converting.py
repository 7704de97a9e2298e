"""From graphs to networks: 8 bits within their bound, look-ups, choices, and reports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maddjit.integrations.networks.activations import calibrated, step_of, tied
from maddjit.integrations.networks.building import Task, built, candidates_of, look_up_step
from maddjit.integrations.networks.choosing import Option, loss_of, path_of
from maddjit.integrations.networks.converting import Options, as_calibration, converted
from maddjit.integrations.networks.drawing import Drawing
from maddjit.integrations.networks.eight_bits import rounded
from maddjit.integrations.networks.evaluating import outputs, values
from maddjit.integrations.networks.folding import folded
from maddjit.integrations.networks.look_ups import Places
from maddjit.models.layers import SUM_LIMIT
from maddjit.models.network import Add, Dense, Exact, LookUp, Planes
from maddjit.models.window import Window
from maddjit.reference.convolution import convolve
from tests.integrations.networks.helping import IMAGES, SAME, bound, rng, run, small_graph

LEVEL = "x86-64-v3"


def test_eight_bits_are_within_their_bound() -> None:
    graph = small_graph()
    options = Options(held_out=0, ranges="minmax")
    made = converted(graph, IMAGES, options, LEVEL)
    found, expected = run(made.network, IMAGES), outputs(graph, IMAGES)
    largest = [float(np.abs(value).max()) for value in values(graph, IMAGES)]
    planes = [step.planes for step in made.network.steps]
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= bound(graph, planes, largest)
    assert np.mean((found - expected) ** 2) < 0.002 * expected.var()
    assert made.report.loss == made.report.exact_loss
    assert not made.report.is_held_out


def test_ranges() -> None:
    graph = small_graph()
    planes = calibrated(graph, IMAGES, "minmax", 0)
    by_name = {node.name: own for node, own in zip(graph.nodes, planes, strict=True)}
    assert by_name["image"].zero_point not in (-128, 127)
    for name in ("one", "two", "sum", "deep", "mean"):
        assert by_name[name].zero_point == -128
    joined = [by_name[name] for name in ("pool", "side", "join", "sum")]
    assert len({(own.step, own.zero_point) for own in joined}) == 1
    assert by_name["mean"].step < by_name["deep"].step
    narrow = calibrated(graph, IMAGES, 99.0, 0)
    assert narrow[0].step < planes[0].step
    errors = {}
    for ranges in ("minmax", "mse"):
        own = calibrated(graph, IMAGES, ranges, 0)[0]  # type: ignore[arg-type]
        stored = np.clip(np.rint(IMAGES / own.step) + own.zero_point, -128, 127)
        errors[ranges] = np.mean(((stored - own.zero_point) * own.step - IMAGES) ** 2)
    assert errors["mse"] <= errors["minmax"]


def test_tied_nodes() -> None:
    graph = small_graph()
    groups = dict(zip([node.name for node in graph.nodes], tied(graph), strict=True))
    assert groups["pool"] == groups["sum"] == groups["side"] == groups["join"]
    assert len({groups[name] for name in ("one", "two", "sum", "deep", "mean")}) == 5


def test_steps() -> None:
    assert step_of(0.0, 0.0) == (1.0, -128)
    assert step_of(0.0, 255.0) == (1.0, -128)
    assert step_of(-255.0, 0.0) == (1.0, 127)
    step, zero_point = step_of(-1.0, 1.0)
    assert step == float(np.float32(2 / 255))
    assert zero_point in (-1, 0)


def test_sums_stay_below_their_limit() -> None:
    """Very many weights of one size get fewer bits."""
    planes = Planes(2000, 1, 1, 1.0, -128)
    weights, steps = rounded(np.ones((1, 2000, 1, 1)), planes)
    assert 255 * np.abs(weights.astype(int)).sum() < SUM_LIMIT
    np.testing.assert_allclose(weights * steps, 1, rtol=0.02)
    with pytest.raises(ValueError, match="too many"):
        rounded(np.ones((1, 200_000)), planes)


def test_look_ups_in_their_place() -> None:
    """The values of a built network are those of the definition, and tables aim at the exact."""
    graph = small_graph()
    task = Task.of(
        graph, IMAGES, 50, candidates_of(graph), n_patches=1500, ranges="mse", random_state=0
    )
    made = built(task, {2: 16, 5: 4}, keep=True)
    for number in (2, 5):
        step = made.network.steps[number]
        assert isinstance(step.layer, LookUp)
        assert step.planes is not None
        source = step.inputs[0] - 1
        given, zero_point = made.values[source], task.planes[source].zero_point
        expected = convolve(step.layer.model, given, step.layer.epilogue, fill=zero_point)
        assert (made.values[number] == expected).all()
        error = made.errors[number]
        assert error is not None
        assert 0 < error < 1
    assert (run(made.network, IMAGES) == made.outputs).all()
    better, error = look_up_step(task, 2, 32, made.values[1])
    assert better.layer is not made.network.steps[2].layer
    assert error is not None
    assert error < (made.errors[2] or 0)


def test_places() -> None:
    places = Places.drawn(5, 8, (4, 3), 30, 0)
    assert places.n_learned == 30
    assert (places.image[:30] < 5).all()
    assert len(places.image) == 33
    assert (places.image[30:] >= 5).all()
    assert (np.diff(places.image) >= 0).all()
    assert len(set(zip(places.image, places.row, places.column, strict=True))) == 33
    x = rng.integers(-128, 128, (8, 2, 8, 6), dtype=np.int8)
    window = Window((3, 3), (2, 2), (1, 1, 1, 1))
    every = window.patches(x, 7).reshape(8, 4, 3, -1)
    found = places.patches(x, window, 7)
    assert (found == every[places.image, places.row, places.column]).all()


def test_codebooks_by_name() -> None:
    graph = small_graph()
    options = Options(codebooks={"t*": 1, "deep": None, "side": 0.5}, n_patches=1000)
    made = converted(graph, IMAGES, options, LEVEL)
    kinds = {line.name: (line.kind, line.n_codebooks) for line in made.report.layers}
    assert kinds["two"] == ("look-ups", 8)
    assert kinds["side"] == ("look-ups", 4)
    assert kinds["one"] == kinds["deep"] == kinds["head"] == ("exact", 0)
    with pytest.raises(ValueError, match=r"'three', only one, two, side, deep"):
        converted(graph, IMAGES, Options(codebooks={"three": 1}), LEVEL)
    every = Options(codebooks=0.5, n_patches=500)
    names = [line.name for line in converted(graph, IMAGES, every, LEVEL).report.layers]
    assert names == [node.name for node in graph.nodes]


def test_choices_within_limits() -> None:
    graph = small_graph()
    images = np.concatenate([IMAGES, IMAGES[::-1, :, ::-1]])
    base = Options(n_patches=1000, multiples=(0.5, 1), layers=["two", "side"])
    strict = converted(graph, images, replace(base, max_loss=0.0), LEVEL)
    free = converted(graph, images, replace(base, max_loss=1.0), LEVEL)
    assert strict.report.loss <= max(0.0, strict.report.exact_loss)
    assert free.report.nanoseconds <= strict.report.nanoseconds
    assert free.report.nanoseconds < free.report.exact_nanoseconds
    assert free.report.is_held_out
    assert free.report.n_images == 30
    assert set(free.report.options) <= {"two", "side"}
    timed = replace(base, max_time=free.report.nanoseconds * 1.01)
    assert converted(graph, images, timed, LEVEL).report.nanoseconds <= timed.max_time  # type: ignore[operator]
    with pytest.raises(ValueError, match="the fastest network"):
        converted(graph, images, replace(base, max_time=1.0), LEVEL)
    told = str(free.report)
    assert "share of other winners" in told
    assert "two alone" in told


def test_paths_take_the_best_bargain_first() -> None:
    options = [Option(1, 8, 0.1, 50), Option(1, 16, 0.01, 60), Option(2, 8, 0.02, 10)]
    path = path_of({1: 100, 2: 100}, options, 0.001)
    assert path == [{}, {2: 8}, {1: 16, 2: 8}, {1: 8, 2: 8}]
    assert path_of({1: 100}, [], 0.001) == [{}]


def test_losses() -> None:
    exact = np.array([[0.0, 1.0], [2.0, 1.0]], np.float32)
    assert loss_of(exact[:, ::-1], exact, None) == 1.0
    assert loss_of(np.array([[0, 9], [1, 2]]), exact, None) == 0.5
    assert loss_of(exact[:, :1] + 1, exact[:, :1], None) == 1.0
    planes = Planes(2, 1, 1, 0.5, 4)
    assert loss_of(exact / 0.5 + 4, exact, planes) == 0.0


def test_planes_as_outputs() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "layer"
    x = draw.convolution(draw.image, rng.standard_normal((4, 3, 3, 3)), None, SAME)
    graph = folded(draw.finish(draw.max_pool(x, Window((2, 2), (2, 2)))))
    made = converted(graph, IMAGES, Options(ranges="minmax"), LEVEL)
    planes = made.network.steps[-1].planes
    assert planes is not None
    found = (run(made.network, IMAGES).astype(np.float64) - planes.zero_point) * planes.step
    expected = outputs(graph, IMAGES)
    assert found.shape == expected.shape
    assert np.mean((found - expected) ** 2) < 0.001 * expected.var()
    assert "squared error" in made.report.metric


def test_last_layers() -> None:
    """A sum, a clamp or a mean at the end gives float32 outputs by an exact layer."""
    for ending in ("sum", "clamp", "mean", "linear"):
        draw = Drawing((3, 8, 8))
        draw.name = ending
        mean = draw.flatten(draw.global_average(draw.image))
        x = draw.linear(mean, rng.standard_normal((4, 3)), np.ones(4))
        if ending == "sum":
            x = draw.sum(x, draw.linear(mean, rng.standard_normal((4, 3)), None))
        elif ending == "clamp":
            x = draw.clamp(x, 0.9, 1.1)
        graph = folded(draw.finish(mean if ending == "mean" else x))
        made = converted(graph, IMAGES, Options(held_out=0, ranges="minmax"), LEVEL)
        last = made.network.steps[-1]
        assert last.planes is None
        assert isinstance(last.layer, Dense if ending == "linear" else Exact)
        found, expected = run(made.network, IMAGES), outputs(graph, IMAGES)
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_clamp_behind_a_sum() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "sum"
    x = draw.clamp(draw.sum(draw.image, draw.image), -0.5, np.inf)
    graph = folded(draw.finish(x))
    made = converted(graph, IMAGES, Options(ranges="minmax"), LEVEL)
    layer, planes = made.network.steps[-1].layer, made.network.steps[-1].planes
    assert isinstance(layer, Add)
    assert planes is not None
    assert abs((layer.least - planes.zero_point) * planes.step + 0.5) <= planes.step


def test_a_clamp_of_a_sum_that_is_joined_with_larger_planes() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "sum"
    clamped = draw.clamp(draw.sum(draw.image, draw.image), 0.0, 1.0)
    x = draw.join([clamped, draw.affine(draw.image, 40.0, 0.0)], 1)
    made = converted(folded(draw.finish(x)), IMAGES, Options(ranges="minmax"), LEVEL)
    planes = made.network.steps[-1].planes
    assert planes is not None
    q = run(made.network, IMAGES)[:, :3].astype(np.float64)
    assert abs((q.max() - planes.zero_point) * planes.step - 1) <= planes.step


def test_graphs_that_give_no_numbers() -> None:
    draw = Drawing((3, 8, 8))
    draw.name = "wide"
    x = draw.affine(draw.affine(draw.image, 1e30, 0.0), 1e30, 0.0)
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="wide: it gives NaN"):
        converted(draw.finish(x), IMAGES, Options(), LEVEL)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"codebooks": 0}, "above 0"),
        ({"codebooks": {"one": float("nan")}}, "above 0"),
        ({"multiples": (1, -1)}, "above 0"),
        ({"codebooks": 1, "max_loss": 0.1}, "not both"),
        ({"held_out": 1.0}, "held_out"),
        ({"max_loss": -0.1}, "max_loss"),
        ({"max_time": float("nan")}, "max_time"),
        ({"ranges": "best"}, "ranges"),
        ({"ranges": 40}, "ranges"),
        ({"n_patches": 0}, "n_patches"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_bad_options(options: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, TypeError), match=why):
        Options(**options)


def test_bad_calibration() -> None:
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        as_calibration(IMAGES[0])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        as_calibration(IMAGES[:0])
    with pytest.raises(ValueError, match="finite"):
        as_calibration(np.full_like(IMAGES, np.inf))
    with pytest.raises(TypeError, match="real numbers"):
        as_calibration(IMAGES.astype(complex))
    with pytest.raises(TypeError, match="leave out labels"):
        as_calibration([(IMAGES, np.zeros(60))])
    assert as_calibration(IMAGES[:2].tolist()).shape == (2, 3, 8, 8)
    assert as_calibration(IMAGES.astype(np.float64)).dtype == np.float32
    assert as_calibration(np.zeros((1, 1, 2, 2), np.uint8)).dtype == np.uint8
    with pytest.raises(ValueError, match="too few to choose by"):
        converted(small_graph(), IMAGES, Options(max_loss=0.1), LEVEL)


def test_constant_images() -> None:
    """Without any range there is a step, and outputs are right."""
    graph, images = small_graph(), np.zeros((4, 3, 8, 8), np.float32)
    made = converted(graph, images, Options(), LEVEL)
    np.testing.assert_allclose(run(made.network, images), outputs(graph, images), atol=0.05)


def test_batches_and_interrupts() -> None:
    batches = [IMAGES[:20], IMAGES[20:]]
    assert (as_calibration(iter(batches)) == IMAGES).all()
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        as_calibration([IMAGES[0, 0], IMAGES[1, 0]])
    images = np.concatenate([IMAGES, IMAGES])
    calls: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> bool:
        calls.append((done, total))
        return False

    options = Options(max_loss=0.5, n_patches=300, progress=stop)
    report = converted(small_graph(), images, options, LEVEL).report
    assert len(calls) <= 2
    assert sum(map(len, report.options.values())) <= 1


def test_depthwise_layers_stay_exact_unless_named() -> None:
    options = Options(codebooks=1, n_patches=300)
    kinds = {
        line.name: line.kind
        for line in converted(small_graph(), IMAGES, options, LEVEL).report.layers
    }
    assert kinds["deep"] == "exact"
    assert kinds["two"] == "look-ups"
    named = Options(codebooks={"deep": 1}, n_patches=300)
    kinds = {
        line.name: line.kind
        for line in converted(small_graph(), IMAGES, named, LEVEL).report.layers
    }
    assert kinds["deep"] == "look-ups"
