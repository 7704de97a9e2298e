"""`fit_convolution`: from planes and weights to a convolution by look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import (
    as_array,
    as_bias,
    as_training_matrix,
    as_whole,
    check_random_state,
)
from maddjit.arrays.epilogue import Epilogue
from maddjit.learning.fit import fit
from maddjit.learning.progress import Progress, now, steps
from maddjit.learning.task import LEAST_TO_SPLIT
from maddjit.models.convolution import ConvolutionModel, as_tables
from maddjit.models.maddness import MaddnessModel
from maddjit.models.window import Window, window_of

_LEAST_IMAGES = 10
"""Images that must be there to keep some back whole; of fewer, patches are kept back."""

_OPTIONS = (
    "n_prototypes",
    "method",
    "objective",
    "accumulate",
    "table_scale",
    "byte_group",
    "prototypes",
    "n_candidates",
    "penalty",
    "on_interrupt",
)
"""The options of `maddjit.fit` that are passed on. A convolution has no exact core."""


def fit_convolution(
    planes: ArrayLike,
    weights: ArrayLike,
    n_codebooks: int | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: ArrayLike | None = None,
    fill: int = 0,
    quantise: Epilogue | None = None,
    n_patches: int = 20000,
    validation: float | ArrayLike = 0.1,
    random_state: int = 0,
    time_limit: float | None = None,
    progress: Progress = False,
    **options: Any,
) -> ConvolutionModel:
    """Learn hash trees and look-up tables that approximate a convolution.

    The patches that the kernel sees are the rows of A of a product, which `maddjit.fit` learns.
    They are drawn at random, and only those that are drawn are built. Planes may have any number of
    patches, and may be mapped into memory (``np.load(..., mmap_mode="r")``).

    Parameters
    ----------
    planes : (N, C, H, W) array_like
        Planes like those that will be convolved, in the numbers that they will have then: int8 and
        uint8 planes are learned as they are.
    weights : (M, C / groups, kh, kw) array_like
        The kernel, as PyTorch and ONNX have it.
    n_codebooks : int, optional
        Codebooks of each group; by default one for each of its planes. `maddjit.fit` says more.
    stride, dilation : int or (int, int)
        For rows and columns.
    padding : int, (int, int), (int, int, int, int) or {"valid", "same", "same_upper", "same_lower"}
        What is added on all sides; above and below, left and right; or above, below, left and
        right. "valid" adds nothing. "same" and "same_upper" are SAME of TensorFlow and SAME_UPPER
        of ONNX, "same_lower" is SAME_LOWER. With a stride they depend on the size of the planes,
        and are those for the planes given here.
    groups : int
        Groups of planes that are convolved apart, each by a product of its own.
    bias : (M,) array_like, optional
        Added to the outputs.
    fill : int
        What stands outside of the planes. For int8 and uint8 that is their zero point.
    quantise : Epilogue, optional
        How float32 planes become int8 or uint8 before they are compared. The model is then about
        those numbers, with weights and bias changed accordingly, and its fill is the zero point.
        Give the same to `maddjit.compile`.
    n_patches : int
        The patches to learn from and to judge by, at most.
    validation : float or (N', C, H', W') array_like
        The share of patches to keep back for the report, or other planes for it. If there are ten
        images or more, images are kept back whole.
    random_state : int
        Seed of all that is drawn at random.
    time_limit : float, optional
        About how many seconds all groups may take together.
    progress : bool or callable
        As for `maddjit.fit`; the steps are those of all groups.
    **options
        Passed on to `maddjit.fit`: n_prototypes, method, objective, accumulate, table_scale,
        byte_group, prototypes, n_candidates, penalty and on_interrupt.

    Returns
    -------
    ConvolutionModel
        Its products have reports with the error on the patches kept back; `model.error` is that
        error in words.

    Raises
    ------
    ValueError
        If shapes do not fit, groups do not divide the planes or the outputs, planes are smaller
        than the kernel or hold NaN or infinities, or an option is out of range.
    TypeError
        If an array does not hold numbers, or an option is unknown.

    Warns
    -----
    AccuracyWarning
        As `maddjit.fit`.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> rng = np.random.default_rng(0)
    >>> images = rng.standard_normal((20, 2, 8, 8)).cumsum(axis=3)
    >>> weights = rng.standard_normal((4, 2, 3, 3))
    >>> model = maddjit.fit_convolution(images, weights, 6, padding=1)
    >>> op = maddjit.compile(model)
    >>> op(images.astype(np.float32)).shape
    (20, 4, 8, 8)
    """
    start = now()
    _check_options(options)
    w = as_training_matrix("weights", weights, ndim=4)
    x = _as_planes("planes", planes)
    window = window_of(w.shape[2:], stride, padding, dilation, x.shape[2:])
    inputs, outputs = _group_sizes(x.shape[1], w.shape, as_whole("groups", groups))
    right, added = _in_numbers(w, as_bias(bias, len(w)), quantise)
    seen = _Seen(window, as_whole("fill", fill) if quantise is None else 0, quantise)
    check_random_state(random_state)
    rng = np.random.default_rng(random_state)
    if np.ndim(validation) == 0:
        learned, kept_back = _drawn(x, window, n_patches, float(validation), rng)  # type: ignore[arg-type]
        judged = x
    else:
        learned, _ = _drawn(x, window, n_patches, 0, rng)
        judged = _as_planes("validation", validation, x.shape[1])
        kept_back, _ = _drawn(judged, window, n_patches, 0, rng)
    products: list[MaddnessModel] = []
    with steps(progress is True, groups, "maddjit.fit_convolution") as advance:
        for g in range(groups):
            channels = slice(g * inputs, (g + 1) * inputs)
            own = slice(g * outputs, (g + 1) * outputs)
            product = fit(
                seen.patches("planes", x, learned, channels),
                as_tables(right[own]),
                inputs if n_codebooks is None else n_codebooks,
                bias=added[own],
                validation=seen.patches("planes", judged, kept_back, channels)
                if len(kept_back)
                else 0,
                random_state=random_state,
                time_limit=_share(time_limit, start, groups - g),
                progress=_part(progress, g, groups),
                **options,
            )
            products.append(product)
            advance()
    return ConvolutionModel(tuple(products), window, seen.fill)


@dataclass(frozen=True)
class _Seen:
    """What a window sees of planes, once they are quantised.

    0 is quantised to the zero point, which is the fill then.
    """

    window: Window
    outside: int
    quantise: Epilogue | None

    @property
    def fill(self) -> int:
        """What stands outside of the planes once they are quantised."""
        return self.outside if self.quantise is None else self.quantise.zero_point

    def patches(
        self, name: str, planes: NDArray[Any], places: NDArray[np.int64], channels: slice
    ) -> NDArray[Any]:
        """Return some patches of some channels, as `Window.patches_at` does.

        Raises
        ------
        ValueError
            If one holds NaN or an infinity.
        """
        found = self.window.patches_at(planes, places, channels, self.outside)
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            row, _ = np.argwhere(~np.isfinite(found))[0]
            size = self.window.output_size(*planes.shape[2:])
            image, y, x = np.unravel_index(places[row], (len(planes), *size))
            raise ValueError(
                f"{name} must be finite, but what output ({y}, {x}) of image {image} sees is not"
            )
        return found if self.quantise is None else self.quantise(found.astype(np.float32))


def _drawn(
    planes: NDArray[Any],
    window: Window,
    n_patches: int,
    share: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the patches to learn from are, and those to keep back, both in order."""
    rows, columns = window.output_size(*planes.shape[2:])
    n_images, each = len(planes), rows * columns
    wanted = min(as_whole("n_patches", n_patches), n_images * each)
    if wanted < 1:
        raise ValueError(f"n_patches must be at least 1, not {n_patches}")
    if not 0 <= share < 1:
        raise ValueError(f"validation must be a share from 0 to below 1 or planes, not {share}")
    n_held = int(share * wanted) if wanted >= LEAST_TO_SPLIT else 0
    held_images = int(share * n_images) if n_images >= _LEAST_IMAGES else 0
    if n_held == 0 or held_images == 0:
        chosen = rng.choice(n_images * each, wanted, replace=False)
        return np.sort(chosen[n_held:]), np.sort(chosen[:n_held])
    images = rng.permutation(n_images)

    def of(some: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        total = len(some) * each
        place = rng.choice(total, min(count, total), replace=False)
        return np.sort(some[place // each] * each + place % each)

    return of(images[held_images:], wanted - n_held), of(images[:held_images], n_held)


def _as_planes(name: str, value: ArrayLike, n_channels: int | None = None) -> NDArray[Any]:
    """Return planes as they are, if they are real numbers (N, C, H, W), none of the sizes 0."""
    planes = as_array(name, value)
    if planes.dtype.kind not in "fiub" and planes.dtype.name != "bfloat16":
        raise TypeError(f"{name} must hold real numbers, not {planes.dtype}")
    if planes.ndim != 4 or 0 in planes.shape:
        raise ValueError(f"{name} must have 4 non-empty axes, not shape {planes.shape}")
    if n_channels not in (None, planes.shape[1]):
        raise ValueError(f"{name} must have {n_channels} channels, not {planes.shape[1]}")
    return planes


def _group_sizes(n_channels: int, weights: tuple[int, ...], groups: int) -> tuple[int, int]:
    """Return the planes and the outputs of one group."""
    n_outputs, inputs = weights[:2]
    if groups < 1 or n_channels % groups or n_outputs % groups:
        raise ValueError(
            f"groups must divide the {n_channels} channels of the planes and the {n_outputs} "
            f"outputs, but {groups} does not"
        )
    if inputs * groups != n_channels:
        raise ValueError(
            f"weights of shape {weights} in {groups} groups are for {inputs * groups} channels, "
            f"but the planes have {n_channels}"
        )
    return inputs, n_outputs // groups


def _in_numbers(
    weights: NDArray[Any], bias: NDArray[Any], quantise: Epilogue | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights and bias for planes as they are stored once they are quantised."""
    if quantise is None:
        return weights, bias
    if (
        not isinstance(quantise, Epilogue)
        or not quantise.is_integer
        or quantise.arithmetic != "float"
    ):
        raise ValueError(
            'quantise must be an Epilogue for int8 or uint8 with arithmetic="float", '
            f"not {quantise!r}"
        )
    scaled = weights.astype(np.float64) * quantise.step
    return scaled, bias - quantise.zero_point * scaled.sum(axis=(1, 2, 3))


def _check_options(options: dict[str, Any]) -> None:
    """Refuse options that `fit` does not have, before anything is drawn."""
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(
                f"fit_convolution has no option {name!r}; those of fit that it passes on are "
                f"{', '.join(_OPTIONS)}"
            )


def _share(time_limit: float | None, start: float, n_groups: int) -> float | None:
    """Return the seconds that one of the groups that are left may take."""
    return None if time_limit is None else max(0.0, time_limit - (now() - start)) / n_groups


def _part(progress: Progress, group: int, groups: int) -> Progress:
    """Return the progress of one group; a bar shows whole groups."""
    if isinstance(progress, bool):
        return False
    shown = progress
    return lambda done, total: shown(group * total + done, groups * total)
