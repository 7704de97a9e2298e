"""The study of networks: layers, counts, runs that repeat, and the small form end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from benchmarks.suites.networks import making, running, tables, training  # noqa: E402
from benchmarks.suites.networks.data import made_up  # noqa: E402
from benchmarks.suites.networks.layers import (  # noqa: E402
    LowRankLinear,
    MonarchLinear,
    TwoOfFourLinear,
)
from benchmarks.suites.networks.methods import METHODS, Method, Run, small, subjects  # noqa: E402
from benchmarks.suites.networks.suite import SUITE, Limits  # noqa: E402
from tests.benchmarks.small import command  # noqa: E402
from tests.benchmarks.small import measured as small_run  # noqa: E402

LIMITS = Limits(epochs=1, batch=64, keep=False)
NAMED = {method.name: method for method in METHODS}


def test_two_of_four_neighbouring_weights_count() -> None:
    torch.manual_seed(0)
    layer = TwoOfFourLinear(8, 3, bias=False)
    weight = layer(torch.eye(8))
    fours = weight.T.reshape(-1, 4)
    assert ((fours != 0).sum(1) == 2).all()
    kept = layer.weight.reshape(-1, 4).abs().sort(1).values[:, 2:]
    assert torch.equal(fours.abs().sort(1).values[:, 2:], kept)
    layer(torch.ones(1, 8)).sum().backward()
    assert (layer.weight.grad != 0).all()  # gradients pass where weights are zeroed


def test_low_rank_of_all_directions_is_the_layer() -> None:
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(12, 8).double(), torch.randn(200, 12).double()
    made = LowRankLinear.from_linear(layer, 8, rows).double()
    # Its own parameters are float32.
    torch.testing.assert_close(made(rows), layer(rows), atol=1e-5, rtol=0)


def test_blocks_of_a_monarch_layer_have_the_rank_of_their_share() -> None:
    torch.manual_seed(0)
    layer = MonarchLinear(16, 16, 32).double()
    weight = layer(torch.eye(16).double()) - layer.bias
    for i in range(0, 16, 4):
        for j in range(0, 16, 4):
            assert torch.linalg.matrix_rank(weight[i : i + 4, j : j + 4]) == 2  # 32 of 16 blocks
    assert layer.macs() == 2 * 16 * 32 // 4


@pytest.mark.parametrize("kind", [LowRankLinear, MonarchLinear])
def test_outputs_begin_with_the_variance_of_dense_ones(kind: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 64)
    with torch.no_grad():
        of_dense = float(torch.nn.Linear(64, 64, bias=False)(x).var())
        assert float(kind(64, 64, 48)(x).var()) == pytest.approx(of_dense, rel=0.15)


def test_rivals_have_no_more_multiply_adds_than_tiles() -> None:
    data = made_up(8, 8)
    names = ("dense", "r24-random", "low-rank", "monarch", "dense-narrow", "dense-wide")
    found = {name: making.counts(making.network(NAMED[name], data)) for name in names}
    total = {name: tables.total(counts) for name, counts in found.items()}
    assert found["dense"]["macs"]["core"] * 24 == found["r24-random"]["macs"]["core"] * 64
    for rival in ("low-rank", "monarch", "dense-narrow"):
        assert 0.95 * total["r24-random"] < total[rival] < 1.01 * total["r24-random"]
    wide, tiles = (found[name]["parameters"] for name in ("dense-wide", "r24-random"))
    assert tiles < wide < 1.05 * tiles
    one = found["r24-random"]["macs"]
    assert one["encode"] == 4 * 16 * 24 * (3 * 128 + 256)  # of each token: r · D
    assert one["decode"] == 4 * 16 * 24 * (384 + 128 + 256 + 128)


def test_runs_have_names_of_their_own_and_the_first_seed_comes_first() -> None:
    found = list(subjects())
    assert len({one.name for one in found}) == len(found)
    seeds = [one.seed for one in found if isinstance(one, Run)]
    assert seeds == sorted(seeds)
    assert {one.name for one in small()} == SUITE.small.keys()


@pytest.mark.parametrize("method", ["dense", "r24-random", "low-rank-tuned"])
def test_training_repeats_from_its_seed(method: str) -> None:
    run = Run("made-up", replace(NAMED[method], width=32), 3)
    first, second = (running.measure(run, LIMITS) for _ in range(2))
    for key in ("loss", "accuracy", "gradient", "before", "parameters"):
        assert first[key] == second[key]
    other = running.measure(replace(run, seed=4), LIMITS)
    assert other["loss"] != first["loss"]


def test_the_rate_rises_and_falls() -> None:
    share = training._schedule(training.Recipe(4, 64, 1.0), 10)
    shares = [share(step) for step in range(40)]
    assert shares[9] == max(shares) == 1
    assert shares[0] == 0.1
    assert shares[-1] < 0.01
    assert shares[9:] == sorted(shares[9:], reverse=True)


def test_small_factors_biases_and_places_do_not_decay() -> None:
    net = making.network(replace(NAMED["r24-random"], width=32), made_up(8, 8))
    decaying, still = training.groups(net)
    assert still["weight_decay"] == 0
    shapes = {tuple(parameter.shape) for parameter in still["params"]}
    assert {(24, 16), (16, 24), (16, 32)} <= shapes
    n_parameters = sum(len(group["params"]) for group in (decaying, still))
    assert n_parameters == len(list(net.parameters()))


def test_a_network_that_diverges_ends_and_says_so() -> None:
    net = making.network(Method("dense", "dense", width=32), made_up(128, 8))
    net.head.weight.data[:] = float("nan")
    recipe = training.Recipe(3, 64, 1e-3)
    (epoch,) = training.train(net, made_up(128, 8), recipe, 0)
    assert epoch["loss"] != epoch["loss"]


def test_points_are_of_the_same_seeds() -> None:
    runs = [{"seed": s, "accuracy": [0.1, a]} for s, a in ((0, 0.8), (1, 0.9), (2, 0.5))]
    dense = [{"seed": s, "accuracy": [a]} for s, a in ((1, 0.88), (0, 0.81))]
    assert tables.apart(runs, dense) == pytest.approx([-1, 2])
    assert tables.signed([-1, 2]) == "+0.50 (−1.00 to +2.00)"
    assert tables.signed([-0.5]) == "−0.50"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    return *small_run("networks", folder), folder


def test_small_run_trains_each_kind(measured: tuple[dict[str, Any], str, Path]) -> None:
    results, text, _ = measured
    assert not results["failed"]
    if not torch.cuda.is_available():
        assert results["left_out"] == {"cuda/16384x4096x4096/bfloat16": "there is no CUDA device"}
    runs = {task["method"]: task for task in results["tasks"] if "method" in task}
    assert {run["kind"] for run in runs.values()} == {method.kind for method in METHODS}
    for run in runs.values():
        assert len(run["loss"]) == len(run["accuracy"]) == run["recipe"]["epochs"]
        assert run["where"].keys() >= {"cpu", "torch", "commit", "date"}
    assert runs["low-rank-tuned"]["before"] > 0.5  # it is nearly the dense one
    for words in ("| **r = 24, random** |", "| dense: 8-bit layers |", "forward and backward"):
        assert words in text


def test_a_second_run_goes_on_where_the_first_stopped(
    measured: tuple[dict[str, Any], str, Path],
) -> None:
    results, _, folder = measured
    path = folder / "part.json"
    missing = "made-up/monarch/0"
    kept = [task for task in results["tasks"] if task["name"] != missing]
    path.write_text(json.dumps(results | {"tasks": kept}))
    done = command("networks", "--small", "--only", "made-up", "--results", path)
    assert done.returncode == 0, done.stderr
    assert f"{missing} …" in done.stdout
    assert "made-up/dense/0 …" not in done.stdout
    again = json.loads(path.read_text())["tasks"]
    assert [task["name"] for task in again] == [task["name"] for task in kept] + [missing]
    assert again[:-1] == kept
    (first,) = (task for task in results["tasks"] if task["name"] == missing)
    assert again[-1]["loss"] == first["loss"]


def test_no_run_begins_when_the_time_is_over(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    done = command("networks", "--small", "--minutes", "1e-9", "--results", path)
    assert done.returncode == 0, done.stderr
    assert "the time is over before made-up/dense/0" in done.stdout
    assert not path.exists()
