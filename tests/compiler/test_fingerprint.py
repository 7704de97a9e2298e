"""The names of compiled plans: every number of every part of a plan changes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from maddjit.compiler.fingerprint import plan_key
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target, named
from maddjit.models.core import LowRankCore
from tests.random_models import random_model, with_short_list

SIZES = {"n_features": 70, "n_codebooks": 20, "n_prototypes": 16, "n_outputs": 90}


def plans() -> list[Plan]:
    """Return plans that have every part between them."""
    model = random_model(0, **SIZES)
    rng = np.random.default_rng(0)
    U = rng.standard_normal((70, 3)).astype(np.float32)
    core = LowRankCore(U, rng.standard_normal((3, 90)).astype(np.float32))
    level = named("x86-64-v4-vbmi")
    return [
        make_plan(replace(model, core=core), level, Signature()),
        make_plan(replace(model, core=core), level, Signature("int8", "F", out_order="F")),
        make_plan(model, level, Signature(result="argmax", k=2)),
        make_plan(with_short_list(model, 2, 5), level, Signature(result="winners", k=2)),
    ]


def changed(value: Any) -> Iterator[Any]:
    """Yield a value with one of its numbers, texts or flags changed, for each of them in turn."""
    if isinstance(value, Target):
        yield replace(value, vector_bytes=value.vector_bytes + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in changed(getattr(value, field.name)):
                yield with_field(value, field.name, other)
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            for other in changed(item):
                yield (*value[:i], other, *value[i + 1 :])
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float):
        yield 0.375
    elif isinstance(value, str):
        yield value + "x"
    elif isinstance(value, bytes):
        yield value + b"x"


def with_field(record: Any, name: str, value: Any) -> Any:
    """Return a record with another value of one field, which need not be a valid one."""
    other = object.__new__(type(record))
    for field in fields(record):
        object.__setattr__(other, field.name, getattr(record, field.name))
    object.__setattr__(other, name, value)
    return other


@pytest.mark.parametrize("i", range(4))
def test_names_depend_on_every_number_of_every_part(i: int) -> None:
    plan = plans()[i]
    own = {field.name for field in fields(plan)} - {"packed"}
    keys = [
        plan_key(with_field(plan, name, other))
        for name in own
        for other in changed(getattr(plan, name))
    ]
    assert len(keys) > 100
    assert plan_key(plan) not in keys
    assert len(set(keys)) == len(keys)


def test_names_do_not_depend_on_what_calls_hand_over() -> None:
    plan = plans()[3]
    assert plan.packed is not None
    assert plan_key(replace(plan, packed=plan.packed + 1)) == plan_key(plan)
