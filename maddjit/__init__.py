"""maddjit: approximate ``A @ B`` for a fixed B by compiled hash trees and look-up tables."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from maddjit import reference
from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.llvm import NativeCodeError
from maddjit.compiler.signature import Choices
from maddjit.compiler.target import TargetError
from maddjit.exporting import native
from maddjit.exporting.export import Exported, export
from maddjit.exporting.linking import LinkError
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.convolution import fit_convolution
from maddjit.learning.elsewhere import from_arrays, from_halutmatmul
from maddjit.learning.fit import fit
from maddjit.learning.strassen_tile.fit import fit_strassen_tile
from maddjit.learning.winners.calibration import calibrate
from maddjit.looking import pictures as pictures  # registers how models are drawn
from maddjit.models import schemes, storage
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.core import LowRankCore
from maddjit.models.drawing import plot
from maddjit.models.encoders import AdditiveCodes, HashTrees, Projection
from maddjit.models.fit_report import FitReport
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import Network
from maddjit.models.schemes import BilinearScheme
from maddjit.models.short_list import CoverageError, ShortList
from maddjit.models.storage import ModelFileError, load, save
from maddjit.models.strassen_tile import StrassenTileModel, TileReport
from maddjit.models.window import Window
from maddjit.operators import report as _report
from maddjit.operators import watching
from maddjit.operators.convolution import ConvolutionOperator
from maddjit.operators.maddness import CompiledOperator
from maddjit.operators.network import NetworkOperator
from maddjit.operators.report import ConvolutionReport, TileOperatorReport
from maddjit.operators.strassen_tile import TileOperator
from maddjit.operators.watching import DriftWarning
from maddjit.operators.winners import WinnerOperator
from maddjit.pipeline import compile, emit
from maddjit.reference import convolution as convolution_reference
from maddjit.reference import network as network_reference
from maddjit.reference import strassen_tile as tile_reference
from maddjit.selection import candidates
from maddjit.selection.found import Selection
from maddjit.selection.selection import select
from maddjit.version import __version__

__all__ = [
    "AccuracyWarning",
    "AdditiveCodes",
    "BilinearScheme",
    "Choices",
    "CompiledOperator",
    "ConvolutionModel",
    "ConvolutionOperator",
    "ConvolutionReport",
    "CoverageError",
    "DriftWarning",
    "Epilogue",
    "Exported",
    "FitReport",
    "HashTrees",
    "LinkError",
    "LowRankCore",
    "MaddnessModel",
    "ModelFileError",
    "NativeCodeError",
    "Network",
    "NetworkOperator",
    "Projection",
    "Selection",
    "ShortList",
    "StrassenTileModel",
    "TargetError",
    "TileOperator",
    "TileOperatorReport",
    "TileReport",
    "Window",
    "WinnerOperator",
    "__version__",
    "calibrate",
    "compile",
    "convolution_reference",
    "emit",
    "export",
    "fit",
    "fit_convolution",
    "fit_strassen_tile",
    "from_arrays",
    "from_halutmatmul",
    "load",
    "native",
    "network_reference",
    "plot",
    "reference",
    "save",
    "schemes",
    "select",
    "storage",
    "tile_reference",
]

# Modules that are imported by names shorter than their paths, such as `import maddjit.native`.
# The last three hold types of results, documented under these names before there were rooms.
_NAMED = {
    "native": native,
    "schemes": schemes,
    "storage": storage,
    "convolution_reference": convolution_reference,
    "network_reference": network_reference,
    "tile_reference": tile_reference,
    "candidates": candidates,
    "kernel": _report,
    "watching": watching,
}
for _name, _module in _NAMED.items():
    globals()[_name] = sys.modules[f"maddjit.{_name}"] = _module

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load an integration when asked for, such as `maddjit.torch`."""
        if name in ("dask", "onnx", "sklearn", "torch"):
            return import_module(f"maddjit.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
