"""The transformer for scikit-learn: linear maps such as PCA, looked up."""

from __future__ import annotations

from typing import Any, Self

from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA

from maddjit.integrations.sklearn.base import CompiledEstimator


class MaddnessTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CompiledEstimator):
    """A linear transformer whose outputs are looked up, and named as the estimator names them.

    Parameters
    ----------
    estimator : transformer, optional
        Anything whose `transform` is linear in X: `PCA` (the default), `TruncatedSVD`, random
        projections. An estimator in a `sklearn.frozen.FrozenEstimator` is not fitted again.
    n_codebooks, n_prototypes, method, core_rank, time_limit, threads, random_state
        As for `MaddnessRegressor`.

    Attributes
    ----------
    estimator_, operator_, centre_, offset_
        As for `MaddnessRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from maddjit.integrations.sklearn import MaddnessTransformer
    >>> X = load_digits().data
    >>> MaddnessTransformer(PCA(8), n_codebooks=32).fit(X).transform(X).shape
    (1797, 8)
    """

    _method = "transform"
    _default = PCA

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator, learn trees and tables from these rows, and compile them.

        Parameters, errors and warnings are those of `MaddnessRegressor.fit`. y is optional, and is
        passed to the estimator.
        """
        self._fit_product(X, y)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return looked-up outputs (N, M) of X's dtype.

        Raises
        ------
        TypeError, ValueError
            If X is not finite, or has another number of features.
        """
        return self._outputs(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names that the estimator gives its outputs, else the class's with a number."""
        try:
            names: NDArray[Any] = self.estimator_.get_feature_names_out(input_features)
        except AttributeError:
            names = super().get_feature_names_out(input_features)
        return names

    @property
    def _n_features_out(self) -> int:
        return int(self.operator_.model.n_outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
