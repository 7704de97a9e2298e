"""Feature levels: detection, choice, and what each refuses."""

from __future__ import annotations

import pytest

from maddjit.compiler.target import (
    LEVELS,
    Host,
    TargetError,
    missing_features,
    named,
    resolve,
    runnable,
)

AVX2 = named("x86-64-v3").requires
AVX512 = named("x86-64-v4").requires
VBMI = named("x86-64-v4-vbmi").requires


def host(*features: str, cpu: str = "somecpu", triple: str = "x86_64-pc-linux-gnu") -> Host:
    return Host(triple, cpu, frozenset(features), 2**20)


@pytest.mark.parametrize(
    ("features", "best"),
    [((), "x86-64"), (AVX2, "x86-64-v3"), (AVX512, "x86-64-v4"), (VBMI, "x86-64-v4-vbmi")],
)
def test_best_level(features: frozenset[str], best: str) -> None:
    assert resolve(None, host(*features)).name == best
    assert resolve("host", host(*features)).name == best


def test_one_missing_feature_lowers_the_level() -> None:
    assert resolve(None, host(*(AVX512 - {"avx512dq"}))).name == "x86-64-v3"
    with pytest.raises(TargetError, match="'x86-64-v4' needs avx512dq, which this machine"):
        resolve("x86-64-v4", host(*(AVX512 - {"avx512dq"})))


def test_code_is_scheduled_for_the_host() -> None:
    target = resolve(None, host(*AVX2, cpu="znver3"))
    assert (target.tune, target.cpu, target.triple) == (
        "znver3",
        "x86-64-v3",
        "x86_64-pc-linux-gnu",
    )


def test_architectures() -> None:
    arm = host(triple="aarch64-unknown-linux-gnu")
    assert [level.name for level in runnable(arm)] == ["aarch64"]
    assert missing_features(named("x86-64-v3"), arm) == ["x86_64"]
    with pytest.raises(TargetError, match="no target for riscv64"):
        resolve(None, host(triple="riscv64-linux-gnu"))


def test_unknown_name() -> None:
    with pytest.raises(TargetError, match=f"the targets are {LEVELS[0]}"):
        named("sse9")
