"""scikit-learn: regressors, classifiers and transformers whose product is a compiled operator."""

from __future__ import annotations

from importlib import import_module

from maddjit.integrations.extras import missing

try:
    import_module("sklearn.frozen")
except ImportError as error:
    raise missing("scikit-learn 1.6 or newer", "sklearn") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.sklearn.classifier import MaddnessClassifier
from maddjit.integrations.sklearn.regressor import MaddnessRegressor
from maddjit.integrations.sklearn.replacing import speed_up
from maddjit.integrations.sklearn.transformer import MaddnessTransformer

__all__ = [
    "MaddnessClassifier",
    "MaddnessRegressor",
    "MaddnessTransformer",
    "ReplacementError",
    "speed_up",
]
