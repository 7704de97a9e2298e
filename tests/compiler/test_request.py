"""Requests: refused once and alike for every way to ask, completed for the model, and pickled."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.compiler import llvm
from maddjit.compiler.request import ask, ask_kernel, plan_of
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.target import BFLOAT16, ENVIRONMENT_VARIABLE, named
from tests.conftest import RUNNABLE
from tests.random_models import random_model, with_short_list


def look_ups() -> maddjit.MaddnessModel:
    return random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)


def winners(k: int = 2) -> maddjit.MaddnessModel:
    return with_short_list(look_ups(), k, 5)


def tiles() -> maddjit.StrassenTileModel:
    B = np.random.default_rng(3).standard_normal((12, 10)).astype(np.float32)
    return maddjit.fit_strassen_tile(B, tile=2)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (look_ups, {"result": "sums"}, "result must be"),
        (look_ups, {"k": 1}, 'k is for result="topk"'),
        (look_ups, {"dtype": "int32"}, "dtype must be one of"),
        (look_ups, {"order": "c"}, "order must be one of"),
        (look_ups, {"precision": "bfloat16"}, "precision and residual are for Strassen-Tile"),
        (look_ups, {"residual": True}, "precision and residual are for Strassen-Tile"),
        (look_ups, {"result": "argmax"}, r"no short list: maddjit\.calibrate\(model, A, B\) first"),
        (winners, {"result": "argmax"}, r"calibrated for k=2, not 1: .*\(model, A, B, k=1\)"),
        (winners, {"result": "topk", "k": 3}, "calibrated for k=2, not 3"),
        (winners, {"result": "argmax", "k": 2}, 'k is for result="topk"'),
        (winners, {"result": "topk", "epilogue": maddjit.Epilogue()}, "not for winners"),
        (winners, {"result": "topk", "coverage": 1.5}, "coverage must be above 0 and below 1"),
        (tiles, {"result": "argmax"}, "a Strassen-Tile model has outputs alone"),
        (tiles, {"k": 1}, "a Strassen-Tile model has outputs alone"),
        (
            tiles,
            {"residual": True, "epilogue": maddjit.Epilogue("int8", step=0.5)},
            "residual=True needs float32 outputs, not int8",
        ),
        (tiles, {"choices": Choices(lines=True)}, "row_block alone, not lines=True"),
        (look_ups, {"target": "sparc"}, "unknown target 'sparc'; the targets are x86-64,"),
    ],
)
def test_compile_and_export_refuse_alike(
    make: Any, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = make()
    with pytest.raises(ValueError, match=words) as compiled:
        maddjit.compile(model, **options)
    with pytest.raises(ValueError, match=words) as exported:
        maddjit.export(model, tmp_path / "none", **options)
    assert str(compiled.value) == str(exported.value)
    assert type(compiled.value) is type(exported.value)
    assert not (tmp_path / "none").exists()


def test_emit_refuses_what_a_model_has_not() -> None:
    with pytest.raises(ValueError, match="precision and residual are for Strassen-Tile"):
        maddjit.emit(look_ups(), "x86-64-v4", precision="bfloat16")
    with pytest.raises(ValueError, match="no short list"):
        maddjit.emit(look_ups(), "x86-64-v4", result="winners")
    with pytest.raises(maddjit.CoverageError, match="999 rows"):
        maddjit.emit(winners(), "x86-64-v4", result="winners")
    with pytest.raises(ValueError, match="stage must be"):
        maddjit.emit(look_ups(), "x86-64-v4", "object")  # type: ignore[arg-type]


@pytest.mark.parametrize("coverage", [None, "0.9"])
def test_a_coverage_is_a_number_whoever_asks(coverage: Any, tmp_path: Path) -> None:
    model, options = winners(1), {"result": "argmax", "coverage": coverage}
    with pytest.raises(TypeError, match="coverage must be a number"):
        maddjit.compile(model, **options)
    with pytest.raises(TypeError, match="coverage must be a number"):
        maddjit.export(model, tmp_path / "none", **options)
    with pytest.raises(TypeError, match="coverage must be a number"):
        maddjit.emit(model, "x86-64-v4", result="winners", coverage=coverage)


def test_all_ways_of_asking_lead_to_one_record() -> None:
    model = winners()
    run = ask(model, None, use="run", result="topk", coverage=0.5, dtype="int8", order="F")
    assert (run.what, run.coverage, run.choices, run.threads) == ("topk", 0.5, RULES, 1)
    assert run.signature == Signature("int8", "F", "winners", k=2)
    export = ask(
        model, "aarch64", use="export", result="topk", coverage=0.5, dtype="int8", order="F"
    )
    assert replace(export, target=run.target, level=None) == run
    kernel = ask_kernel(model, run.target, Signature("int8", "F", "winners"), coverage=0.5)
    assert kernel == run
    assert run.plan() == plan_of(model, run.target, run.signature)
    found = run.lists(run.plan())
    assert found
    assert found.margin == 5


def test_what_is_asked_of_each_kind() -> None:
    assert ask(look_ups(), None, use="run").what == "outputs"
    assert ask(look_ups(), None, use="run").lists(ask(look_ups(), None, use="run").plan()) is None
    assert ask(winners(1), None, use="run", result="argmax", coverage=0.5).what == "argmax"
    shown = ask(tiles(), "x86-64-v4", use="show", precision="bfloat16")
    assert BFLOAT16 in shown.target.requires
    assert shown.target == named("x86-64-v4").with_bfloat16()
    assert ask(shown.model, "x86-64-v4", use="export", precision="bfloat16").target.requires >= {
        BFLOAT16
    }


def test_a_pickled_request_looks_its_level_up_where_it_lands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    best, named_one = (
        ask(look_ups(), level, use="run", threads=2, choices=Choices(row_block=128))
        for level in (None, RUNNABLE[0])
    )
    assert best.target.name == RUNNABLE[-1]
    stored = pickle.dumps(best), pickle.dumps(named_one)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, RUNNABLE[0])
    for data in stored:
        again = pickle.loads(data)
        assert again.target.name == RUNNABLE[0]
        assert (again.threads, again.choices) == (2, Choices(row_block=128))
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert pickle.loads(stored[0]).target.name == RUNNABLE[-1]
    assert pickle.loads(stored[1]).target.name == RUNNABLE[0]


def test_a_pickled_request_is_refused_by_a_lesser_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    best = RUNNABLE[-1]
    data = pickle.dumps(ask(look_ups(), best, use="run"))
    host = llvm.host()
    lesser = replace(host, triple="riscv64-unknown-linux-gnu", cpu="lesser")
    monkeypatch.setattr(llvm, "host", lambda: lesser)
    with pytest.raises(maddjit.TargetError, match=f"target '{best}' needs .*lesser"):
        pickle.loads(data)


def test_operators_travel_as_their_requests() -> None:
    op = maddjit.compile(winners(), result="topk", coverage=0.5, threads=3)
    other = op.with_coverage(0.4)
    made, (request, _) = other.__reduce__()
    assert made is maddjit.WinnerOperator
    assert (request.what, request.coverage, request.threads) == ("topk", 0.4, 3)
    again = pickle.loads(pickle.dumps(other))
    assert again.coverage == 0.4
    assert again.plan == op.plan
