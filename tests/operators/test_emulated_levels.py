"""Kernels of every feature level on any CPU: their shuffles replaced by what those do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from maddjit import reference
from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler import llvm
from maddjit.compiler.network.planner import NETWORK_SYMBOL, plan_network
from maddjit.compiler.render import render, render_network
from maddjit.compiler.request import Request
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.target import LEVELS, Target
from maddjit.models import schemes
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import Network
from maddjit.operators.kernel import Kernel
from maddjit.operators.maddness import CompiledOperator
from maddjit.operators.network import NetworkOperator
from maddjit.operators.network_code import CompiledNetwork
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.winners import WinnerOperator
from maddjit.reference import network as network_reference
from maddjit.reference import strassen_tile as tile_reference
from tests.conftest import same_bits
from tests.emulation import emulate, emulated
from tests.operators.test_strassen_tile import some_model
from tests.random_models import random_model, rows_for, with_short_list
from tests.random_networks import chain, residual


def build(request: Request) -> Kernel[Any]:
    plan = request.plan()
    ir = emulate(render(plan))
    code = llvm.to_object(ir, plan.target)
    loaded = llvm.load(code, plan.symbol, plan.target, plan.sequences_symbol)
    return Kernel(plan, len(code), loaded, {})


def test_an_intrinsic_that_is_not_emulated_is_named() -> None:
    for name in ("llvm.x86.avx2.psad.bw", "llvm.aarch64.neon.tbl1.v16i8"):
        with pytest.raises(AssertionError, match=f"SEMANTICS lacks {name}$"):
            emulate(f"declare <4 x i64> @{name}(<32 x i8>, <32 x i8>)\n")
    assert emulate("declare i64 @llvm.ctpop.i64(i64)\n")


def operator(
    model: MaddnessModel,
    level: str,
    dtype: str = "float32",
    choices: Choices = RULES,
    epilogue: Epilogue | None = None,
) -> CompiledOperator:
    signature = Signature(dtype, epilogue=epilogue or Epilogue())
    request = Request(model, emulated(level), signature, choices=choices)
    return CompiledOperator(request, build)


def assert_same(op: CompiledOperator, model: MaddnessModel, A: NDArray[Any]) -> None:
    assert same_bits(op.encode(A), reference.encode(model, A))
    assert same_bits(op.sums(A), reference.sums(model, A))
    expected = reference.apply(model, A)
    assert same_bits(op(A), expected)
    columns = np.empty(expected.shape, np.float32, order="F")
    op(A, out=columns)
    assert same_bits(np.ascontiguousarray(columns), expected)


@pytest.mark.quick(6)
@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 256])
@pytest.mark.parametrize("order", ["C", "F"])
def test_levels(level: str, n_prototypes: int, order: Any) -> None:
    model = random_model(
        n_prototypes, n_features=40, n_codebooks=10, n_prototypes=n_prototypes, n_outputs=83
    )
    assert_same(
        operator(model, level), model, np.asarray(rows_for(model, 75, "float32", 1), order=order)
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("level", ["x86-64-v4", "x86-64-v4-vbmi"])
@pytest.mark.parametrize("accumulate", ["exact", "average"])
def test_wide_vectors_of_float64(level: str, accumulate: Any) -> None:
    model = random_model(
        9, n_features=40, n_codebooks=16, n_prototypes=64, n_outputs=150, accumulate=accumulate
    )
    A = rows_for(model, 50, "float64", 2)
    assert_same(operator(model, level, "float64"), model, A)
    assert_same(operator(model, level, "float64"), model, np.asfortranarray(A))


@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
@pytest.mark.parametrize(("n_outputs", "k"), [(20, 1), (300, 1), (300, 4)])
def test_winners(level: str, n_outputs: int, k: int) -> None:
    model = random_model(
        1, n_features=70, n_codebooks=10, n_prototypes=16, n_outputs=n_outputs, largest=3
    )
    model = with_short_list(model, k, 60)
    signature = Signature(result="winners", k=k)
    op = WinnerOperator(Request(model, emulated(level), signature, coverage=0.5), build)
    A = np.random.default_rng(0).standard_normal((75, 70)).astype(np.float32)
    assert same_bits(op(A), reference.settle(model, A, 0.5).indices)


@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
def test_tiles(level: str) -> None:
    model = some_model(schemes.winograd(), 70, 150)
    op = TileOperator(Request(model, emulated(level), Signature()), build)
    A = np.random.default_rng(0).standard_normal((131, 70)).astype(np.float32)
    away = np.abs(op(A) - tile_reference.multiply(model, A))
    assert (away <= tile_reference.error_bound(model, A)).all()


def build_network(network: Network, target: Target) -> CompiledNetwork:
    first, *others = map(emulate, render_network(plan_network(network, target)))
    code = llvm.to_object(first, target, linked=others)
    loaded = llvm.load(code, NETWORK_SYMBOL, target, f"{NETWORK_SYMBOL}_about")
    return CompiledNetwork(loaded, len(code), {})


@pytest.mark.parametrize("level", [name for name in LEVELS if name.startswith("x86")])
def test_networks(level: str) -> None:
    for network in (chain(0), residual(0)):
        op = NetworkOperator(network, None, 1, build_network, emulated(level))
        images = np.random.default_rng(0).standard_normal((9, *network.input_shape))
        given = images.astype(np.float32)
        assert same_bits(op(given), network_reference.run(network, given))
