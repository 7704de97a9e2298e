"""The face of the package: names, parameters and modules that users write are there to stay."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.compiler.target import Target
from tests.random_models import random_model

KERNEL = "dtype order epilogue precision coverage"
MODEL = "bias random_state progress"
PARAMETERS = {
    "compile": f"fitted target result k threads residual tune choices quantise {KERNEL}",
    "emit": f"fitted target stage result out_order {KERNEL}",
    "export": "fitted directory name target system result k out_order residual choices quantise "
    f"compiler {KERNEL}",
    "fit": "A_train B n_codebooks n_prototypes encoder method objective core_rank accumulate "
    f"table_scale byte_group prototypes n_candidates penalty validation time_limit on_interrupt "
    f"{MODEL}",
    "fit_strassen_tile": "B rank tile A_train scheme rows tile_rows regularisation max_iterations "
    f"validation_fraction {MODEL}",
    "fit_convolution": "planes weights n_codebooks stride padding dilation groups fill quantise "
    f"n_patches validation time_limit options {MODEL}",
    "select": "A_train B budget metric k validation targets n_codebooks n_prototypes core_ranks "
    f"tile_ranks others n_timed threads time_limit folder {MODEL}",
    "calibrate": "model A B k bias replace_bias random_state",
    "load": "path mapped",
    "save": "model path provenance",
    "plot": "model A codebook figure",
    "native.load": "path name",
    "reference.settle": "model A coverage",
    "CompiledOperator.__call__": "self A out threads",
    "WinnerOperator.__call__": "self A threads",
    "TileOperator.__call__": "self A out threads residual",
    "ConvolutionOperator.__call__": "self x out threads",
    "convolution_reference.convolve": "model x epilogue fill",
}
"""The parameters of public functions and operators, in any order."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_functions_take_the_parameters_that_they_took(name: str) -> None:
    found: Any = maddjit
    for part in name.split("."):
        found = getattr(found, part)
    assert set(inspect.signature(found).parameters) == set(PARAMETERS[name].split())


def test_modules_are_imported_by_their_public_names() -> None:
    code = (
        "import maddjit.native, maddjit.storage\n"
        "from maddjit import convolution_reference, reference, tile_reference\n"
        "from maddjit.convolution_reference import convolve\n"
        "from maddjit.native import NativeOperator, load\n"
        "from maddjit.reference import Settled, apply, settle\n"
        "from maddjit.schemes import BilinearScheme, generic, strassen\n"
        "from maddjit.storage import from_bytes, provenance_of, to_bytes\n"
        "from maddjit.tile_reference import error_bound, multiply\n"
        "from maddjit.candidates import Candidate\n"
        "from maddjit.kernel import OperatorReport\n"
        "from maddjit.watching import Audit, ListLengths\n"
        "assert maddjit.kernel.OperatorReport is OperatorReport\n"
        "assert maddjit.native.load is load\n"
        "assert maddjit.tile_reference.multiply is multiply\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_public_names_are_there() -> None:
    assert all(hasattr(maddjit, name) for name in maddjit.__all__)
    modules = ("native", "reference", "schemes", "storage", "tile_reference")
    assert all(isinstance(getattr(maddjit, name), ModuleType) for name in modules)
    assert not hasattr(maddjit, "nothing")


def test_operators_have_the_numbers_that_guides_name() -> None:
    op = maddjit.compile(
        random_model(0, n_features=12, n_codebooks=6, n_prototypes=16, n_outputs=10)
    )
    plan, report = op.plan, op.report
    assert (plan.sum_bits, plan.group) == (report.sum_bits, report.group)
    assert plan.table_bytes == report.table_bytes > 0
    assert plan.workspace_bytes > plan.row_block > 0
    assert isinstance(op.target, Target)
    assert op.target.name == report.target
    assert op.sums(np.zeros((3, 12), np.float32)).shape == (3, 10)
