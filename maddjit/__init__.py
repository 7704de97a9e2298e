"""maddjit: approximate ``A @ B`` for a fixed B by compiled hash trees and look-up tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from maddjit import native, reference
from maddjit.building import emit
from maddjit.compiler.native import NativeCodeError
from maddjit.compiler.signature import Choices
from maddjit.compiler.target import TargetError
from maddjit.epilogue import Epilogue
from maddjit.exporting import Exported, export
from maddjit.fit_report import FitReport
from maddjit.frontier import Selection
from maddjit.imports import from_arrays, from_halutmatmul
from maddjit.learning.calibration import calibrate
from maddjit.learning.fit import AccuracyWarning, fit
from maddjit.learning.strassen_tile import fit_strassen_tile
from maddjit.linking import LinkError
from maddjit.models import LowRankCore, MaddnessModel
from maddjit.operator import CompiledOperator
from maddjit.pictures import plot
from maddjit.pipeline import compile
from maddjit.schemes import BilinearScheme
from maddjit.selection import select
from maddjit.short_list import CoverageError, ShortList
from maddjit.storage import ModelFileError, load, save
from maddjit.tile_models import StrassenTileModel, TileReport
from maddjit.tile_operator import TileOperator, TileOperatorReport
from maddjit.version import __version__
from maddjit.watching import DriftWarning
from maddjit.winners import WinnerOperator

__all__ = [
    "AccuracyWarning",
    "BilinearScheme",
    "Choices",
    "CompiledOperator",
    "CoverageError",
    "DriftWarning",
    "Epilogue",
    "Exported",
    "FitReport",
    "LinkError",
    "LowRankCore",
    "MaddnessModel",
    "ModelFileError",
    "NativeCodeError",
    "Selection",
    "ShortList",
    "StrassenTileModel",
    "TargetError",
    "TileOperator",
    "TileOperatorReport",
    "TileReport",
    "WinnerOperator",
    "__version__",
    "calibrate",
    "compile",
    "emit",
    "export",
    "fit",
    "fit_strassen_tile",
    "from_arrays",
    "from_halutmatmul",
    "load",
    "native",
    "plot",
    "reference",
    "save",
    "select",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load an integration when asked for: `maddjit.torch` is `maddjit.integrations.torch`."""
        if name in ("dask", "onnx", "sklearn", "torch"):
            return import_module(f"maddjit.integrations.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
