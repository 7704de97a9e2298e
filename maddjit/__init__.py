"""maddjit: approximate ``A @ B`` for a fixed B by compiled hash trees and look-up tables."""

from maddjit import reference
from maddjit.compiler.native import NativeCodeError
from maddjit.compiler.signature import Choices
from maddjit.compiler.target import TargetError
from maddjit.epilogue import Epilogue
from maddjit.fit_report import FitReport
from maddjit.learning.fit import AccuracyWarning, fit
from maddjit.models import LowRankCore, MaddnessModel
from maddjit.operator import CompiledOperator
from maddjit.pipeline import compile, emit
from maddjit.selection import Selection, select
from maddjit.storage import ModelFileError, load, save

__version__ = "0.1.0"

__all__ = [
    "AccuracyWarning",
    "Choices",
    "CompiledOperator",
    "Epilogue",
    "FitReport",
    "LowRankCore",
    "MaddnessModel",
    "ModelFileError",
    "NativeCodeError",
    "Selection",
    "TargetError",
    "compile",
    "emit",
    "fit",
    "load",
    "reference",
    "save",
    "select",
]
