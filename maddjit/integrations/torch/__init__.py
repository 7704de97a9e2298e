"""PyTorch: linear layers and 1 × 1 convolutions replaced by compiled operators, and fine-tuned."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from maddjit.integrations.extras import missing
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.models.maddness import MaddnessModel
from maddjit.selection.selection import select

try:
    import torch
    from torch import nn
except ImportError as error:
    raise missing("PyTorch 2.5 or newer", "torch") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.torch.check import run_checked
from maddjit.integrations.torch.layers import Candidate, Places, candidates, take_over
from maddjit.integrations.torch.modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch.report import Replacement, Report
from maddjit.integrations.torch.rows import Watch, call, evaluating, watching

__all__ = [
    "MaddnessConv1x1",
    "MaddnessLinear",
    "Replacement",
    "ReplacementError",
    "Report",
    "fine_tune",
    "replace_linear",
    "requantise",
]

_CHECKED = 2  # so many batches are compared with exact products in the layers' places


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
    when all are fitted; an error before that leaves the model as it was. Errors of layers in a row
    add up: measure the model's own metric after, and see `fine_tune`.

    Before anything is fitted, the first two batches are run twice more: as they are, and with
    layers in place that are all that a replacement is but for an exact product. The outputs must
    have equal bits.

    A replacement has the hooks, mode and own attributes of its layer, and its weight and bias for
    whoever reads them. Parametrisations are made lasting. A layer stays, and the report says why,
    if its class defines a forward or more by itself, hooks compute its weight or concern its state,
    its weight changes from call to call, no rows reach it, or the model calls it by another way
    than as a submodule. Those of an `nn.TransformerEncoderLayer` and an `nn.MultiheadAttention`
    stay because these take the weights and multiply by themselves.

    Parameters
    ----------
    model : nn.Module
        On the CPU, and not compiled yet. Its layers of `nn.Linear` and `nn.Conv2d` are candidates,
        the latter with kernels of 1 × 1, one group and no padding.
    calibration_batches : iterable
        Of tensors; tuples and lists are taken for positional arguments, mappings for named ones.
        Rows like those that will come, without labels.
    pattern : str or sequence of str, optional
        Names of layers as in `model.named_modules`, with wildcards (`fnmatch`); all by default. A
        layer that has several names goes by the first that matches.
    budget : float, optional
        Replace a layer only where `maddjit.select` finds look-ups that are the fastest way
        within this NMSE, and by these; other layers stay, and the report says why.
    n_codebooks : int or sequence of int
        Of every layer, but not more than it has inputs; with a budget the numbers to choose from.
    n_prototypes : int
    max_rows : int
        A layer's rows at most; they take memory.
    random_state : int
    check : bool
        False replaces without comparing outputs: for models that answer differently each time.

    Returns
    -------
    Report
        ``print(report)`` says for each layer how wrong it is and what was moved across with it, or
        why it stays.

    Raises
    ------
    ReplacementError
        If the model gives other outputs with exact products in its layers' places. It is a
        ValueError and names the output, the largest difference and the layers.
    ValueError
        If no layer has such a name, no rows reach any, the model itself is the layer, it is
        compiled, a layer is not initialised, `pattern` names one that must stay without a wildcard,
        or two runs of the model on the same batch differ.
    TypeError
        If a layer is not on the CPU or not of floating point.

    Warns
    -----
    AccuracyWarning
        As `maddjit.fit`; with a budget such layers stay. Or fewer than 20 rows reach a layer, from
        which none can be kept back to measure the error on.

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
    sizes = [n_codebooks] if isinstance(n_codebooks, int) else list(n_codebooks)
    if budget is None and len(sizes) != 1:
        raise ValueError("several n_codebooks are for a budget to choose from")
    layers = candidates(model, pattern)
    for each in layers:
        _refuse_if_asked_for(each, each.why_not)
    watches = _watched(model, layers, calibration_batches, max_rows, random_state, check)
    learn = partial(
        _learned,
        budget=budget,
        sizes=sizes,
        n_prototypes=n_prototypes,
        random_state=random_state,
    )
    found, made = [], {}
    for each in layers:
        watch = watches.get(each.name)
        why_not = watch.why_not if watch else each.why_not
        n_rows = len(watch.rows) if watch else 0
        if watch and not why_not:
            fitted, why = learn(watch)
            if fitted is not None:
                assert fitted.report is not None
                made[each.layer] = _made(watch, fitted)
                nmse = fitted.report.nmse
                measured = () if fitted.report.held_out else (_NOT_HELD_OUT,)
                notes = "; ".join((why, *measured, *each.notes))
                found.append(Replacement(each.name, each.shape, n_rows, nmse, notes, True))
                continue
            why_not = why
        found.append(Replacement(each.name, each.shape, n_rows, float("nan"), why_not, False))
    few = [each.name for each in found if _NOT_HELD_OUT in each.why]
    if few:
        warnings.warn(
            f"too few rows reach {', '.join(few)} to keep some back, so NMSE is measured on the "
            "rows learned from, where it is far too low: give some hundreds of rows",
            AccuracyWarning,
            stacklevel=2,
        )
    Places(model, list(made)).put(made)  # all at once: whatever was raised before left them alone
    return Report(tuple(found))


def fine_tune(model: nn.Module) -> list[nn.Parameter]:
    """Make the tables of all replaced layers parameters, to be trained with whatever else is.

    Codes stay those of the compiled trees. Gradients of the tables are exact; those of the inputs
    are passed straight through, by the weight that was replaced.

    Parameters
    ----------
    model : nn.Module
        After `replace_linear`.

    Returns
    -------
    list of nn.Parameter
        Tables and offsets, for an optimiser. `requantise` ends the training.

    Raises
    ------
    ValueError
        If there is no replaced layer.
    """
    layers = _replaced(model)
    for layer in layers:
        layer.fine_tune()
    return [part for layer in layers for part in (layer.tables, layer.base) if part is not None]


def requantise(model: nn.Module) -> None:
    """Round the tables of all replaced layers to 8 bits again, and compile them.

    Raises
    ------
    ValueError
        If there is no replaced layer, or tables became infinite or NaN.
    """
    for layer in _replaced(model):
        layer.requantise()


def _replaced(model: nn.Module) -> list[MaddnessLinear]:
    layers = [layer for layer in model.modules() if isinstance(layer, MaddnessLinear)]
    if not layers:
        raise ValueError("the model has no replaced layers")
    return layers


def _refuse_if_asked_for(candidate: Candidate, why_not: str) -> None:
    if why_not and candidate.exactly:
        raise ValueError(f"{candidate.name} cannot be replaced: {why_not}")


def _watched(
    model: nn.Module,
    layers: list[Candidate],
    batches: Iterable[Any],
    max_rows: int,
    random_state: int,
    check: bool,
) -> dict[str, Watch]:
    """Return what reaches the layers that can be replaced, after the first batches are checked."""
    rng = np.random.default_rng(random_state)
    watches = {
        each.name: Watch(each.layer, each.shape[0], max_rows, rng)
        for each in layers
        if not each.why_not
    }
    if not watches:
        return {}
    with evaluating(model), watching(watches.values()):
        for number, batch in enumerate(batches):
            if check and number < _CHECKED:
                run_checked(model, batch, watches)
            else:
                call(model, batch)
    if not any(len(watch.rows) for watch in watches.values()):
        raise ValueError(f"no rows reach {', '.join(watches)} from the calibration batches")
    for each in layers:
        watch = watches.get(each.name)
        if watch and not len(watch.rows):
            watch.why_not = "no rows reach it from the calibration batches"
        _refuse_if_asked_for(each, watch.why_not if watch else "")
    return watches


def _learned(
    watch: Watch, budget: float | None, sizes: list[int], n_prototypes: int, random_state: int
) -> tuple[MaddnessModel | None, str]:
    """Return a model and what it is, or None and what is better."""
    weight = watch.weight.to(torch.float32).flatten(1).numpy()
    bias = None if watch.bias is None else watch.bias.to(torch.float32).numpy()
    if budget is None:
        size = min(sizes[0], weight.shape[1])
        fitted = fit(watch.rows, weight.T, size, n_prototypes, bias=bias, random_state=random_state)
        return fitted, f"{fitted.n_codebooks} codebooks"
    best = select(
        watch.rows,
        weight.T,
        budget,
        bias=bias,
        n_codebooks=sizes,
        n_prototypes=[n_prototypes],
        core_ranks=[0],
        tile_ranks=[],
        random_state=random_state,
    ).best
    if not isinstance(best.model, MaddnessModel):
        return None, f"{best.name} is the fastest within {budget:g}"
    return best.model, f"{best.name}, {best.speed_up:.1f} × as fast"


def _made(watch: Watch, fitted: MaddnessModel) -> MaddnessLinear:
    layer, weight, bias = watch.layer, watch.weight, watch.bias
    made = (
        MaddnessConv1x1(fitted, weight, layer.stride, bias)
        if isinstance(layer, nn.Conv2d)
        else MaddnessLinear(fitted, weight, bias)
    )
    take_over(layer, made)
    return made
