"""`select`: what is chosen, what is said about it, and that searches can be cut short and go on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import MaddnessModel, Selection
from maddjit.compiler.target import Host, named
from maddjit.learning.maddness.goals import leading_directions
from maddjit.selection import field, maddness, strassen_tile
from maddjit.selection.losses import Loss
from maddjit.selection.maddness import Sizes, quickest_model
from maddjit.selection.products import ExactProduct, LowRankProduct

RANK = 6
N_FEATURES, N_OUTPUTS = 32, 8
SMALL: dict[str, Any] = {
    "n_codebooks": [2, 4, 8, 16],
    "n_prototypes": [16],
    "core_ranks": [0, 2],
    "n_timed": 256,
}


def rows(n: int, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((n, RANK)) @ np.random.default_rng(98).standard_normal(
        (RANK, N_FEATURES)
    )
    return low.astype(np.float32)


B = np.random.default_rng(99).standard_normal((N_FEATURES, N_OUTPUTS)).astype(np.float32)
BIAS = np.arange(float(N_OUTPUTS))


def slow_clock(monkeypatch: pytest.MonkeyPatch, seconds: dict[type, float]) -> None:
    """Let candidates take what they are said to, by type, instead of measuring."""

    def fastest(runs: list[Any]) -> tuple[int, list[float]]:
        times = [seconds.get(type(run.func), 1.0) for run in runs]
        return int(np.argmin(times)), times

    monkeypatch.setattr(field, "fastest", fastest)


def found(budget: float = 0.2, n_rows: int = 800, **options: Any) -> Selection:
    return maddjit.select(rows(n_rows), B, budget, bias=BIAS, **(SMALL | options))


def nmse(operator: Any, A: NDArray[Any]) -> float:
    Y = A.astype(np.float64) @ B + BIAS
    return float(((operator(A) - Y) ** 2).mean() / Y.var())


def test_the_choice_is_inside_the_budget_on_rows_it_has_never_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """2000 more rows may show a loss that is somewhat larger: the halves have a hundred each."""
    slow_clock(monkeypatch, {maddjit.CompiledOperator: 0.1})
    selection = found(budget=0.2)
    assert selection.best.model is not None
    assert selection.best.loss <= 0.2
    assert selection.fresh_loss <= 0.2
    assert nmse(selection, rows(2000, seed=5)) <= 0.25
    assert np.array_equal(selection(rows(9)), selection.best.operator(rows(9)))


def test_the_exact_product_when_nothing_else_is_inside() -> None:
    selection = found(budget=0.0, n_codebooks=[2], core_ranks=[0])
    assert selection.best.name == "exact product"
    assert selection.fresh_loss == 0
    A = rows(50, seed=1)
    assert np.array_equal(selection(A), A @ B + BIAS.astype(np.float32))


def test_the_exact_product_when_nothing_else_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {ExactProduct: 0.1})
    assert found(budget=10.0).best.name == "exact product"


def test_low_rank_where_that_is_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of about rank 6: four directions of eight leave less than the budget, two do not."""
    noise = 0.3 * np.random.default_rng(1).standard_normal((800, N_FEATURES))
    slow_clock(monkeypatch, {LowRankProduct: 0.1})
    selection = maddjit.select(rows(800) + noise, B, 0.2, **(SMALL | {"core_ranks": [0]}))
    assert selection.best.name == "low rank 4"


def test_ways_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine:
        def __call__(self, A: NDArray[Any]) -> NDArray[Any]:
            return (A @ B + BIAS).astype(np.float32)

    slow_clock(monkeypatch, {Mine: 0.01})
    assert found(others={"mine": Mine()}).best.name == "mine"


def test_one_that_fails_on_fresh_rows_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Deceiver:
        """Right when it is timed and chosen, wrong when it is confirmed."""

        def __call__(self, A: NDArray[Any]) -> NDArray[Any]:
            calls.append(len(A))
            return (A @ B + BIAS).astype(np.float32) * (1 if len(calls) < 3 else 0)

    slow_clock(monkeypatch, {Deceiver: 0.01})
    selection = found(others={"deceiver": Deceiver()})
    assert selection.best.name != "deceiver"
    assert "rows that confirm" in selection.left_out["deceiver"]


def test_what_may_be_chosen_is_timed_again_in_the_same_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the slower way the product was slow, too: the machine was busy just then."""
    asked = []

    class Fast(ExactProduct):
        pass

    class Slow(ExactProduct):
        pass

    def fastest(runs: list[Any]) -> tuple[int, list[float]]:
        kinds = [type(run.func) for run in runs]
        asked.append(kinds)
        pairs = {Fast: [1.0, 0.1], Slow: [4.5, 0.3]}
        if len(kinds) == 2:
            return 1, pairs.get(kinds[1], [1.0, 1.0])
        return 0, [{Fast: 0.1, Slow: 0.3}.get(kind, 1.0) for kind in kinds]

    monkeypatch.setattr(field, "fastest", fastest)
    ways = {"fast": Fast(B, BIAS), "slow": Slow(B, BIAS)}
    selection = found(others=ways, n_codebooks=[2], core_ranks=[0])
    assert asked[-1][0] is ExactProduct
    assert selection.best.name == "fast"
    assert selection.best.speed_up == 10
    exact = next(c for c in selection.candidates if type(c.operator) is ExactProduct)
    assert all(c.nanoseconds == exact.nanoseconds / c.speed_up for c in selection.candidates)


def test_what_new_times_bring_forward_is_timed_again_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A candidate was far from the fastest, whose time turns out to have been a lucky one."""
    asked: list[set[type]] = []

    class Lucky(ExactProduct):
        pass

    class Beside(ExactProduct):
        pass

    class Far(ExactProduct):
        pass

    def fastest(runs: list[Any]) -> tuple[int, list[float]]:
        kinds = [type(run.func) for run in runs]
        asked.append(set(kinds))
        times = {Lucky: 0.1 if len(kinds) == 2 else 0.5, Far: 0.25, Beside: 0.2}
        if len(kinds) > 2:  # in the same turns
            times[Beside] = 0.5
        return 0, [times.get(kind, 1.0) for kind in kinds]

    monkeypatch.setattr(field, "fastest", fastest)
    ways = {"lucky": Lucky(B, BIAS), "far": Far(B, BIAS), "beside": Beside(B, BIAS)}
    selection = found(others=ways, n_codebooks=[2], core_ranks=[0])
    assert Far not in asked[-2]
    assert Far in asked[-1]
    assert selection.best.name == "far"


def test_agreement_and_own_metrics() -> None:
    labels = (rows(800) @ B).argmax(axis=1)

    def accuracy(Y: NDArray[Any], known: NDArray[Any]) -> float:
        return float(np.mean((Y - BIAS).argmax(axis=1) == known))

    own = found(budget=0.1, metric=accuracy, targets=labels)
    assert own.metric == "loss of accuracy"
    assert own.fresh_loss <= 0.1
    agreement = found(budget=0.1, metric="agreement")
    assert agreement.metric == "arg-max differs"
    assert agreement.fresh_loss <= 0.1


def test_losses_by_hand() -> None:
    exact = np.array([[0.0, 2.0], [4.0, 2.0]], np.float32)
    near = np.array([[0.0, 2.0], [1.0, 2.0]], np.float32)
    A, none = np.zeros((2, 3)), np.zeros(2)
    assert Loss("nmse", A, exact, none)(lambda A: near) == 9 / 4 / 2
    assert Loss("agreement", A, exact, none)(lambda A: near) == 0.5
    assert Loss(lambda Y, known: Y.sum() - known, A, exact, none, 1.0)(lambda A: near) == 3.0
    flat = np.ones((2, 2), np.float32)
    assert Loss("nmse", A, flat, none)(lambda A: flat) == 0
    assert Loss("nmse", A, flat, none)(lambda A: 2 * flat) == np.inf
    # A bias is no variance.
    moved = Loss("nmse", A, exact + np.float32([100, 0]), np.array([100, 0]))
    assert moved(lambda A: near + np.float32([100, 0])) == 9 / 4 / 2
    with pytest.raises(ValueError, match=r"must return \(2, 2\)"):
        moved(lambda A: near[:, 0])
    with pytest.raises(ValueError, match="not a number"):
        Loss(lambda Y, known: np.nan, A, exact, none)(lambda A: near)


def test_the_table_and_what_is_left_out() -> None:
    selection = found(core_ranks=[0, 8])
    text = str(selection)
    assert f"* {selection.best.name}" in text
    for each in set(selection.frontier) - {selection.best}:
        assert (f"– {each.name} " in text) == (each.loss > selection.budget)
    assert "left out: core=8: the product has rank 8" in text
    speeds = [c.speed_up for c in selection.candidates]
    assert speeds == sorted(speeds, reverse=True)
    losses = [c.loss for c in selection.frontier]
    assert losses == sorted(losses, reverse=True)


def test_a_time_limit_leaves_out_the_rest() -> None:
    selection = found(time_limit=0.0)
    assert [c.name for c in selection.candidates] == ["exact product"]
    reasons = {why for what, why in selection.left_out.items() if what != "tiles"}
    assert reasons == {"the time was over"}


def test_a_search_goes_on_where_it_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_clock(monkeypatch, {maddjit.CompiledOperator: 0.1})
    done: list[int] = []
    cut = found(folder=tmp_path, progress=lambda step, total: done.append(step) or len(done) < 5)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert kept
    assert "the time was over" in cut.left_out.values()

    fits = []
    fit = maddness.fit

    def counted(*args: Any, **options: Any) -> MaddnessModel:
        fits.append(args[2:4])
        return fit(*args, **options)

    monkeypatch.setattr(maddness, "fit", counted)
    found(folder=tmp_path)
    first = len(fits)
    assert {n: (tmp_path / n).stat().st_mtime_ns for n in kept} == kept
    found(folder=tmp_path)
    assert len(fits) == first
    found(folder=tmp_path, random_state=1, n_codebooks=[4], core_ranks=[0])
    assert len(fits) > first  # other rows, other models


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": -0.1}, "budget must not be negative"),
        ({"budget": np.nan}, "budget must not be negative"),
        ({"metric": "mse"}, "metric must be"),
        ({"targets": [1, 2]}, "targets must be those of 800 rows"),
        ({"validation": rows(5)}, "at least 20 rows"),
        ({"validation": np.zeros((50, 3))}, "of 32 columns"),
        ({"bias": [1.0]}, "must have shape"),
        ({"n_prototypes": [3]}, "power of two"),
        ({"n_codebooks": [0]}, "n_codebooks must be at least 1"),
        ({"n_codebooks": 0}, "n_codebooks must be at least 1"),
        ({"n_timed": 0}, "n_timed must be 1 or more, not 0"),
        ({"time_limit": -1}, "time_limit must be 0 seconds or more"),
        ({"random_state": -1}, "random_state must be"),
        ({"core_ranks": [65]}, "core_ranks must be from 0 to 64"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    budget = options.pop("budget", 0.1)
    with pytest.raises(ValueError, match=message):
        maddjit.select(rows(800), B, budget, **(SMALL | options))


def test_low_rank_product_is_the_best_one() -> None:
    """Its error on its own rows is the sum of the singular values that it leaves out."""
    A = rows(300) + np.random.default_rng(2).standard_normal((300, N_FEATURES))
    _, directions, _ = leading_directions(A, B, N_OUTPUTS)
    way = LowRankProduct(B, BIAS, A.mean(axis=0), directions[:3])
    centred = (A - A.mean(axis=0)) @ B.astype(np.float64)
    sizes = np.linalg.svd(centred, compute_uv=False)
    error = ((way(A) - (A @ B + BIAS)) ** 2).sum()
    # float32 rounds each of a few hundred additions by 2⁻²⁴; the error itself is of order 1.
    assert error == pytest.approx((sizes[3:] ** 2).sum(), rel=1e-3)


def test_one_output_and_more_codebooks_than_columns() -> None:
    selection = maddjit.select(rows(200), B[:, :1], 0.5, **(SMALL | {"n_codebooks": [4, 64]}))
    assert selection.left_out["low rank"] == "no size fits D and M"
    assert selection.left_out["C=[64]"] == "there are 32 columns"
    with pytest.raises(ValueError, match="no arg-max"):
        maddjit.select(rows(200), B[:, :1], 0.5, metric="agreement", **SMALL)


def test_whole_numbers_and_lists_are_taken_as_float32() -> None:
    selection = found()
    A = np.arange(2 * N_FEATURES).reshape(2, N_FEATURES)
    expected = selection(A.astype(np.float32))
    np.testing.assert_array_equal(selection(A), expected)
    np.testing.assert_array_equal(selection(A.tolist()), expected)


@pytest.mark.slow
def test_a_damaged_model_is_fitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {maddjit.CompiledOperator: 0.1})  # both searches try the same sizes
    found(folder=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    found(folder=tmp_path)
    for path in tmp_path.iterdir():
        maddjit.load(path)


def test_an_interrupt_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(maddness, "fit", interrupted)
    selection = found()
    assert selection.left_out["the rest"] == "interrupted"
    assert selection.best.model is None


def test_selections_travel() -> None:
    selection = found()
    again = pickle.loads(pickle.dumps(selection))
    assert str(again) == str(selection)
    A = rows(20, seed=3)
    np.testing.assert_array_equal(again(A), selection(A))


def test_the_plot_shows_frontier_budget_and_choice() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    selection = found()
    axes = selection.plot()
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {
        selection.best.name,
        "budget",
    }
    assert selection.plot(axes) is axes
    from matplotlib import pyplot

    pyplot.close(axes.figure)


@pytest.mark.parametrize("k", [1, 3])
def test_equal_items_are_equally_good_winners(k: int) -> None:
    """Columns in pairs, of which NumPy may name either; others are misses."""
    rng = np.random.default_rng(0)
    B = np.repeat(rng.standard_normal((8, 10)), 2, axis=1).astype(np.float32)
    B[:, 1::2] *= 1 + 2.0**-23  # a rounding apart
    A, none = rng.standard_normal((50, 8)).astype(np.float32), np.zeros(20)
    best = np.argsort(-(A @ B.astype(np.float64)), axis=1)
    twins = best[:, :k] ^ 1
    loss = Loss("topk", A, best[:, :k], none, right=B)
    assert loss(lambda A: best[:, :k]) == loss(lambda A: twins) == 0
    assert loss(lambda A: best[:, -k:]) == 1
    assert Loss("topk", A, best[:, :1], none)(lambda A: twins[:, :1]) == 1  # by indices
    outputs, swapped = A @ B, (A @ B).reshape(50, 10, 2)[..., ::-1].reshape(50, 20)
    assert Loss("agreement", A, outputs, none, right=B)(lambda A: swapped) == 0
    assert Loss("agreement", A, outputs, none, right=B)(lambda A: -outputs) == 1


@pytest.mark.parametrize(("metric", "k"), [("argmax", 1), ("topk", 3)])
def test_winners_are_exact_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, metric: Any, k: int
) -> None:
    """What is missed of 5000 more rows: the budget, and four standard deviations of its share."""
    slow_clock(monkeypatch, {maddjit.WinnerOperator: 0.1})
    selection = found(budget=0.05, n_rows=3000, metric=metric, k=k)
    assert isinstance(selection.best.operator, maddjit.WinnerOperator)
    A = rows(5000, seed=5)
    exact = np.argsort(-(A @ B + BIAS.astype(np.float32)), axis=1)[:, :k]
    named = selection(A)
    missed = 1 - (named[:, :, None] == exact[:, None]).any(axis=1).mean()
    assert missed <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 5000)
    assert "winners missed" in str(selection)


def test_no_guarantee_without_enough_rows_or_for_no_budget() -> None:
    for budget in (0.0, 0.001):
        selection = found(budget=budget, metric="argmax", n_codebooks=[4])
        assert selection.best.model is None
        exact = (rows(40) @ B + BIAS.astype(np.float32)).argmax(axis=1)
        if selection.best.name == "exact product":
            assert np.array_equal(selection(rows(40))[:, 0], exact)
        why = selection.left_out["MADDNESS K=16"]
        assert "coverage" in why


def test_larger_sizes_are_tried_until_they_are_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {maddjit.WinnerOperator: 0.1})
    selection = found(budget=0.1, n_rows=2000, metric="argmax", n_codebooks=[2, 3, 4, 5])
    assert "C=4 K=16 on they are slower" in selection.left_out["more of MADDNESS K=16"]


def test_k_is_for_the_largest_few() -> None:
    with pytest.raises(ValueError, match='k is for metric="topk"'):
        found(k=2)
    with pytest.raises(ValueError, match="k must be from 1 to 8"):
        found(metric="topk", k=9)
    with pytest.raises(ValueError, match="one output"):
        maddjit.select(rows(100), B[:, :1], 0.1, metric="argmax")


def wide(budget: float, **options: Any) -> Selection:
    rng = np.random.default_rng(1)
    A = rng.standard_normal((600, 64)).cumsum(axis=1).astype(np.float32)
    right = rng.standard_normal((64, 80)).astype(np.float32)
    settings: dict[str, Any] = {"n_codebooks": [4], "n_prototypes": [16], "core_ranks": [0]}
    return maddjit.select(A, right, budget, n_timed=64, **(settings | options))


def test_tiles_are_weighed_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {maddjit.TileOperator: 0.5})
    selection = wide(0.2, tile_ranks=(48,))
    tried = {c.name: c for c in selection.candidates}
    names = ("plain", "strassen", "strassen ⊗ strassen", "r=48")
    assert {f"tiles {name}" for name in names} <= set(tried)
    assert tried["tiles strassen"].loss < 1e-10
    assert 1e-10 < tried["tiles r=48"].loss < 0.2
    assert isinstance(tried["tiles r=48"].model, maddjit.StrassenTileModel)
    assert selection.best.name.startswith("tiles")
    assert "tiles r=48" not in {c.name for c in wide(0.2, tile_ranks=()).candidates}


def test_tiles_name_winners_too(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {})
    selection = wide(0.1, metric="argmax", tile_ranks=())
    (tiles,) = (c for c in selection.candidates if c.name == "tiles strassen")
    assert tiles.loss == 0


def test_tiles_have_limits() -> None:
    assert "tiles" in found(n_codebooks=[4]).left_out  # 32 × 8
    with pytest.raises(ValueError, match="tile_ranks must be"):
        found(tile_ranks=[7])


def test_what_cannot_be_the_fastest_is_not_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **options: Any) -> None:
        raise AssertionError("nothing is to be fitted")

    slow_clock(monkeypatch, {maddjit.CompiledOperator: 2.0})
    monkeypatch.setattr(maddness, "fit", refused)
    selection = found()
    assert selection.best.model is None
    why = "MADDNESS C=2 K=16 cannot be faster than a way inside the budget, so it was not fitted"
    assert selection.left_out["more of MADDNESS K=16"] == why


@pytest.mark.parametrize("core", [0, 2])
def test_the_quickest_model_of_some_sizes_has_them(core: int) -> None:
    model = quickest_model(Sizes(5, 64, core), N_FEATURES, N_OUTPUTS)
    assert model.tables.shape == (5, 64, N_OUTPUTS)
    assert model.n_features == N_FEATURES
    assert (model.core.rank if model.core else 0) == core
    assert model.tables.astype(int).max(axis=1).sum(axis=0).max() <= 255


@pytest.mark.parametrize(("budget", "whole"), [(1e-4, False), (0.2, True)])
def test_whole_fits_are_for_what_is_near_the_budget(
    monkeypatch: pytest.MonkeyPatch, budget: float, whole: bool
) -> None:
    asked = []
    fit = maddness.fit

    def counted(*args: Any, **options: Any) -> MaddnessModel:
        asked.append(options["progress"])
        return fit(*args, **options)

    slow_clock(monkeypatch, {maddjit.CompiledOperator: 0.1})
    monkeypatch.setattr(maddness, "fit", counted)
    selection = found(budget, n_codebooks=[2, 4], core_ranks=[0])
    assert (False in asked) == whole
    names = [c.name for c in selection.candidates if c.model]
    assert all(name.endswith("in haste") for name in names) != whole


def test_a_metric_of_the_caller_is_not_judged_in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch, {maddjit.CompiledOperator: 0.1})

    def worst(Y: NDArray[Any], targets: Any) -> float:
        return 0.0 if np.abs(Y).max() < 1e3 else -1.0

    selection = found(0.1, metric=worst, n_codebooks=[4], core_ranks=[0])
    assert selection.best.name == "MADDNESS C=4 K=16"


def test_bfloat16_is_weighed_where_the_chosen_level_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    features = named("x86-64-v4").requires | {"avx512bf16"}
    host = Host("x86_64-unknown-linux-gnu", "", features, 0)
    monkeypatch.setattr(strassen_tile.llvm, "host", lambda: host)
    for level, precisions in (
        ("", ("float32", "bfloat16")),
        ("x86-64-v4", ("float32", "bfloat16")),
        ("x86-64-v3", ("float32",)),
    ):
        monkeypatch.setenv("MADDJIT_TARGET", level)
        assert strassen_tile.precisions() == precisions
