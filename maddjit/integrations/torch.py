"""PyTorch: linear layers and 1 × 1 convolutions replaced by compiled operators, and fine-tuned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from maddjit.integrations.extras import missing
from maddjit.learning.fit import fit
from maddjit.models import MaddnessModel
from maddjit.selection import select

try:
    import torch
    from torch import nn
except ImportError as error:
    raise missing("PyTorch 2.5 or newer", "torch") from error

from maddjit.integrations.torch_modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch_rows import sampled

__all__ = [
    "MaddnessConv1x1",
    "MaddnessLinear",
    "Replacement",
    "Report",
    "fine_tune",
    "replace_linear",
    "requantise",
]


@dataclass(frozen=True)
class Replacement:
    """What became of one layer.

    Attributes
    ----------
    name : str
    shape : (int, int)
        Inputs and outputs.
    n_rows : int
        Rows it was fitted to.
    nmse : float
        Held-out error of its product, NaN if it stayed.
    why : str
        What it is now, or why it stayed.
    replaced : bool
    """

    name: str
    shape: tuple[int, int]
    n_rows: int
    nmse: float
    why: str
    replaced: bool


@dataclass(frozen=True)
class Report:
    """What `replace_linear` did, layer by layer."""

    layers: tuple[Replacement, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """Names of the layers that were replaced."""
        return tuple(layer.name for layer in self.layers if layer.replaced)

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        return "\n".join(
            f"{layer.name:{width}}  {layer.shape[0]} → {layer.shape[1]}  "
            + (f"NMSE {layer.nmse:.4g}, {layer.why}" if layer.replaced else f"stays: {layer.why}")
            for layer in self.layers
        )


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
) -> Report:
    """Replace linear layers and 1 × 1 convolutions by compiled operators, in place.

    The model is run on the batches as it is, in evaluation mode; each layer is fitted to a random
    sample of the rows that reach it then. Errors of layers in a row add up: measure the model's own
    metric after, and see `fine_tune`.

    Parameters
    ----------
    model : nn.Module
        On the CPU. Its layers of the very classes `nn.Linear` and `nn.Conv2d` are candidates, the
        latter with kernels of 1 × 1, one group and no padding. Those of an
        `nn.TransformerEncoderLayer` or an `nn.MultiheadAttention` stay, for these take the weights
        and multiply by themselves.
    calibration_batches : iterable
        Of tensors; tuples and lists are taken for positional arguments, dictionaries for named
        ones. Rows like those that will come, without labels.
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

    Returns
    -------
    Report
        ``print(report)`` says for each layer how wrong it is.

    Raises
    ------
    ValueError
        If no layer has such a name, no rows reach one, the model itself is the layer, or `pattern`
        names one that must stay without a wildcard.
    TypeError
        If a layer is not on the CPU or not of floating point.

    Warns
    -----
    AccuracyWarning
        As `maddjit.fit`; with a budget such layers stay.

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
    sizes = [n_codebooks] if isinstance(n_codebooks, int) else list(n_codebooks)
    if budget is None and len(sizes) != 1:
        raise ValueError("several n_codebooks are for a budget to choose from")
    kept = _read_by_parents(model)
    layers = _candidates(model, pattern, kept)
    free = {name: layer for name, layer in layers.items() if layer not in kept}
    samples = sampled(model, free, calibration_batches, max_rows, random_state) if free else {}
    found = []
    for name, layer in layers.items():
        if layer in kept:
            shape = layer.in_features, layer.out_features
            found.append(Replacement(name, shape, 0, float("nan"), kept[layer], False))
            continue
        rows = samples[name]
        if not len(rows):
            raise ValueError(f"no rows reach {name} from the calibration batches")
        weight = layer.weight.detach().to(torch.float32).reshape(layer.weight.shape[:2]).numpy()
        bias = None if layer.bias is None else layer.bias.detach().to(torch.float32).numpy()
        shape = weight.shape[1], weight.shape[0]
        if budget is None:
            fitted = fit(
                rows,
                weight.T,
                min(sizes[0], shape[0]),
                n_prototypes,
                bias=bias,
                random_state=random_state,
            )
            why = f"{fitted.n_codebooks} codebooks"
        else:
            selection = select(
                rows,
                weight.T,
                budget,
                bias=bias,
                n_codebooks=sizes,
                n_prototypes=[n_prototypes],
                core_ranks=[0],
                tile_ranks=[],
                random_state=random_state,
            )
            best = selection.best
            if not isinstance(best.model, MaddnessModel):
                why = f"{best.name} is the fastest within {budget:g}"
                found.append(Replacement(name, shape, len(rows), float("nan"), why, False))
                continue
            fitted = best.model
            why = f"{best.name}, {best.speed_up:.1f} × as fast"
        assert fitted.report is not None
        found.append(Replacement(name, shape, len(rows), fitted.report.nmse, why, True))
        _put(model, layer, _made(layer, fitted))
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


def _is_candidate(layer: nn.Module) -> bool:
    if type(layer) is nn.Conv2d:
        padded = layer.padding not in ((0, 0), "valid", "same")
        return layer.kernel_size == (1, 1) and layer.groups == 1 and not padded
    return type(layer) is nn.Linear


def _read_by_parents(model: nn.Module) -> dict[Any, str]:
    """Return the layers whose weights PyTorch takes instead of calling them, and why they stay."""
    found: dict[Any, str] = {}
    for parent in model.modules():
        names: tuple[str, ...] = ()
        if isinstance(parent, nn.TransformerEncoderLayer):
            names = "linear1", "linear2"
        elif isinstance(parent, nn.MultiheadAttention):
            names = ("out_proj",)
        why = f"{type(parent).__name__} takes its weight and multiplies by itself"
        found |= {parent._modules[name]: why for name in names if name in parent._modules}
    return found


def _candidates(
    model: nn.Module, pattern: str | Sequence[str] | None, kept: dict[Any, str]
) -> dict[str, Any]:
    """Return the layers to replace by the first name that matches; each counts once."""
    patterns = [pattern] if isinstance(pattern, str) else pattern
    found: dict[str, Any] = {}
    for name, layer in model.named_modules(remove_duplicate=False):
        if not _is_candidate(layer) or any(layer is other for other in found.values()):
            continue
        if patterns is not None and not any(fnmatchcase(name, each) for each in patterns):
            continue
        if not name:
            raise ValueError("the model is a layer itself: put it into an nn.Sequential")
        if layer in kept and name in (patterns or ()):
            raise ValueError(f"{name} cannot be replaced: {kept[layer]}")
        if layer.weight.device.type != "cpu" or not layer.weight.is_floating_point():
            raise TypeError(f"{name} must be of floating point and on the CPU")
        found[name] = layer
    if not found:
        raise ValueError(f"no nn.Linear or 1 × 1 nn.Conv2d has a name like {pattern or '*'!r}")
    return found


def _made(layer: Any, fitted: MaddnessModel) -> MaddnessLinear:
    if isinstance(layer, nn.Conv2d):
        return MaddnessConv1x1(fitted, layer.weight.detach().flatten(1), layer.stride)
    return MaddnessLinear(fitted, layer.weight.detach())


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer into the place, or the places, of another."""
    new.train(old.training)
    for parent in model.modules():
        for name, child in list(parent._modules.items()):  # named_children leaves out repetitions
            if child is old:
                setattr(parent, name, new)
