"""Plans as text: a line for each record, short enough to read, with nothing that is long."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.outline import outline, outlined
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import named
from maddjit.compiler.workspace import Workspace
from tests.random_models import random_model, with_short_list


@dataclass(frozen=True)
class Inner:
    size: int
    lines: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    many: tuple[Inner, ...]
    absent: Inner | None = None


@dataclass(frozen=True)
class Whole:
    size: int
    part: Outer
    workspace: Workspace
    missing: Outer | None = None
    constants: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


def test_records_have_lines_and_long_tuples_are_cut() -> None:
    part = Outer("x", Inner(1), (Inner(2, tuple(range(100))), Inner(3, (4, 5))))
    whole = Whole(7, part, Workspace().add(codes=65, best=4), constants=(("tables", bytes(9)),))
    assert outline(whole) == [
        ("size", "7"),
        ("part", "name=x"),
        ("part.inner", "size=1"),
        ("part.many[0]", "size=2, lines=(0, 1, 2, …, 99)"),
        ("part.many[1]", "size=3, lines=(4, 5)"),
        ("workspace", "132 bytes, from: codes 0, best 128"),
        ("constants", "bytes: tables 9"),
    ]
    assert outlined(whole).splitlines()[1] == "part          name=x"


@pytest.mark.parametrize("result", ["outputs", "codes", "argmax", "winners"])
def test_plans_print_part_by_part(result: str) -> None:
    plain = random_model(0, n_features=90, n_codebooks=70, n_prototypes=16, n_outputs=400)
    model = with_short_list(plain, 1, 5)
    plan = make_plan(model, named("x86-64-v3"), Signature(result=result))  # type: ignore[arg-type]
    lines = str(plan).splitlines()
    assert lines[0].split() == ["symbol", plan.symbol]
    assert lines[1].split() == ["target", "x86-64-v3"]
    names = [line.split()[0] for line in lines]
    assert len(names) == len(set(names)) < 60
    assert ("settle" in names) == (result == "winners")
    assert ("scan.tiles[0]" in names) == (result != "codes")
    assert max(map(len, lines)) < 400
