"""Replace the layers of a PyTorch model: sample their rows, learn them, put operators in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from maddjit.integrations.torch.calibrating import calibrated
from maddjit.integrations.torch.layers import MatchedLayer, matched_layers, refuse_if_named
from maddjit.integrations.torch.modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch.places import Places, take_over
from maddjit.integrations.torch.report import Replacement, Report
from maddjit.integrations.torch.rows import Watch
from maddjit.integrations.torch.stand_ins import stand_in_for
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.models.maddness import MaddnessModel
from maddjit.selection.selection import select

_NOT_HELD_OUT = "measured on the rows learned from"


def replace_linear(
    model: nn.Module,
    calibration_batches: Iterable[Any],
    *,
    pattern: str | Sequence[str] | None = None,
    budget: float | None = None,
    n_codebooks: int | Sequence[int] = 16,
    n_prototypes: int = 16,
    max_rows: int = 20000,
    random_state: int = 0,
    check: bool = True,
) -> Report:
    """Replace linear layers and 1 × 1 convolutions by compiled operators, in place.

    The model is run on the batches as it is, in evaluation mode. Each layer is fitted to a random
    sample of the rows that reach it, after its forward pre-hooks. Layers are put into the model
    when all are fitted; an error before that leaves the model as it was. The errors of layers that
    follow each other add up: measure the model's own metric afterwards, and see `fine_tune`.

    Before anything is fitted, the first two batches are run twice more: once with the model as it
    is, and once with layers in place that differ from the later replacements only by an exact
    product. The outputs must have equal bits.

    A replacement keeps the hooks, the mode and the own attributes of its layer, and its weight and
    bias for code that reads them. Parametrisations are made permanent. A layer stays as it is, and
    the report says why, if

    - its class defines `forward` or more by itself,
    - hooks compute its weight or concern its state,
    - its weight changes from call to call,
    - no rows reach it, or
    - the model calls it in another way than as a submodule.

    The layers of an `nn.TransformerEncoderLayer` and of an `nn.MultiheadAttention` stay, because
    these modules read the weights and multiply by them without calling the layers.

    Parameters
    ----------
    model : nn.Module
        On the CPU, and not compiled yet. Candidates are its layers of the classes `nn.Linear` and
        `nn.Conv2d`, the latter with kernels of 1 × 1, one group and no padding.
    calibration_batches : iterable
        Batches of tensors. Tuples and lists are passed as positional arguments, mappings as named
        ones. The rows should be like those that will come; leave labels out.
    pattern : str or sequence of str, optional
        Names of layers as in `model.named_modules`, with wildcards (`fnmatch`). By default all
        layers are candidates. A layer that has several names goes by the first that matches.
    budget : float, optional
        An NMSE, the squared error over the variance. If it is given, a layer is replaced only where
        `maddjit.select` finds that look-ups are the fastest way within this NMSE, and by the model
        that it found. Other layers stay, and the report says why.
    n_codebooks : int or sequence of int
        The number of codebooks of every layer, but never more than the layer has inputs. With a
        budget, the numbers to choose from.
    n_prototypes : int
        The number of prototypes of each codebook.
    max_rows : int
        The most rows that are kept of each layer. They take memory.
    random_state : int
        The seed of the sample of rows and of learning.
    check : bool
        False replaces layers without comparing outputs. Models that answer differently each time
        need this.

    Returns
    -------
    Report
        ``print(report)`` says for each layer how large its error is and what was moved across with
        it, or why it stays.

    Raises
    ------
    ReplacementError
        If the model gives other outputs with exact products in its layers' places. It is a
        ValueError and names the output, the largest difference and the layers.
    ValueError
        If no layer has such a name, no rows reach any layer, the model itself is the layer, it is
        compiled, a layer is not initialised, `pattern` names, without a wildcard, a layer that must
        stay, or two runs of the model on the same batch differ.
    TypeError
        If a layer is not on the CPU or is not of floating point.

    Warns
    -----
    AccuracyWarning
        As `maddjit.fit` does; with a budget such layers stay. Also if fewer than 20 rows reach a
        layer: then none can be kept back to measure the error on.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maddjit.integrations.torch import replace_linear
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> report = replace_linear(model, [torch.randn(2000, 4)], pattern="2")
    >>> report.replaced
    ('2',)
    >>> model(torch.randn(5, 4)).shape
    torch.Size([5, 10])
    """
    if max_rows < 1:
        raise ValueError(f"max_rows must be 1 or more, not {max_rows}")
    learning = _learning(budget, n_codebooks, n_prototypes, random_state)
    layers = matched_layers(model, pattern)
    refuse_if_named(layers)
    rng = np.random.default_rng(random_state)
    watches = [
        Watch(each.layer, each.shape[0], max_rows, rng) for each in layers if not each.why_not
    ]
    stand_ins = stand_in_for if check else None
    by_name = calibrated(model, layers, watches, calibration_batches, stand_ins)
    outcomes = [_outcome(layer, by_name.get(layer.name), learning) for layer in layers]
    _warn_of_few_rows(outcomes)
    _put(model, outcomes)
    return Report(tuple(each.line for each in outcomes))


@dataclass(frozen=True)
class _Learning:
    """How each layer is learned; without a budget there is one number of codebooks."""

    budget: float | None
    n_codebooks: list[int]
    n_prototypes: int
    random_state: int


@dataclass(frozen=True)
class _Outcome:
    """The outcome for one layer: its line in the report, and its replacement if it has one."""

    layer: Any
    line: Replacement
    replacement: MaddnessLinear | None = None


def _learning(
    budget: float | None, n_codebooks: int | Sequence[int], n_prototypes: int, random_state: int
) -> _Learning:
    """Return the options of learning, once they are known to go together."""
    sizes = [n_codebooks] if isinstance(n_codebooks, int) else list(n_codebooks)
    if budget is None and len(sizes) != 1:
        raise ValueError(
            f"n_codebooks must be one number without a budget, not {sizes}: several are for a "
            "budget to choose from"
        )
    return _Learning(budget, sizes, n_prototypes, random_state)


def _outcome(candidate: MatchedLayer, watch: Watch | None, learning: _Learning) -> _Outcome:
    """Learn a layer, unless it must stay, and return what becomes of it."""
    why_not = watch.why_not if watch else candidate.why_not
    n_rows = len(watch.rows) if watch else 0
    if watch and not why_not:
        fitted, why = _learned(watch, learning)
        if fitted is not None:
            assert fitted.report is not None
            measured = () if fitted.report.held_out else (_NOT_HELD_OUT,)
            notes = "; ".join((why, *measured, *candidate.notes))
            nmse = fitted.report.nmse
            line = Replacement(candidate.name, candidate.shape, n_rows, nmse, notes, True)
            return _Outcome(candidate.layer, line, _replacement(watch, fitted))
        why_not = why
    line = Replacement(candidate.name, candidate.shape, n_rows, float("nan"), why_not, False)
    return _Outcome(candidate.layer, line)


def _learned(watch: Watch, learning: _Learning) -> tuple[MaddnessModel | None, str]:
    """Return a layer's model and a description, or None and the name of a faster way."""
    weight, bias, budget = watch.float_weight, watch.float_bias, learning.budget
    if budget is None:
        fitted = fit(
            watch.rows,
            weight.T,
            min(learning.n_codebooks[0], weight.shape[1]),
            learning.n_prototypes,
            bias=bias,
            random_state=learning.random_state,
        )
        return fitted, f"{fitted.n_codebooks} codebooks"
    best = select(
        watch.rows,
        weight.T,
        budget,
        bias=bias,
        n_codebooks=learning.n_codebooks,
        n_prototypes=[learning.n_prototypes],
        core_ranks=[0],
        tile_ranks=[],
        random_state=learning.random_state,
    ).best
    if not isinstance(best.model, MaddnessModel):
        return None, f"{best.name} is the fastest within {budget:g}"
    return best.model, f"{best.name}, {best.speed_up:.1f} × as fast"


def _replacement(watch: Watch, fitted: MaddnessModel) -> MaddnessLinear:
    """Return the module that takes a layer's place, with all that it keeps of the layer."""
    layer, weight, bias = watch.layer, watch.weight, watch.bias
    made = (
        MaddnessConv1x1(fitted, weight, layer.stride, bias)
        if isinstance(layer, nn.Conv2d)
        else MaddnessLinear(fitted, weight, bias)
    )
    take_over(layer, made)
    return made


def _warn_of_few_rows(outcomes: Iterable[_Outcome]) -> None:
    few = [each.line.name for each in outcomes if _NOT_HELD_OUT in each.line.why]
    if few:
        warnings.warn(
            f"too few rows reach {', '.join(few)} to keep some back, so NMSE is measured on the "
            "rows learned from, where it is far too low: give some hundreds of rows",
            AccuracyWarning,
            stacklevel=3,
        )


def _put(model: nn.Module, outcomes: Iterable[_Outcome]) -> None:
    """Put all replacements into the model at once: an error before this leaves it as it was."""
    made = {each.layer: each.replacement for each in outcomes if each.replacement is not None}
    Places(model, list(made)).put(made)
