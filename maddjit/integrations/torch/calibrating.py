"""Run a PyTorch model on calibration batches, and watch the layers that may be replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from torch import nn

from maddjit.integrations.torch.check import run_checked
from maddjit.integrations.torch.layers import MatchedLayer
from maddjit.integrations.torch.rows import Watch, call, evaluating, watching

_CHECKED = 2
"""How many batches are also run with exact products in the layers' places, and compared."""

W = TypeVar("W", bound=Watch)


def calibrated(
    model: nn.Module,
    layers: Sequence[MatchedLayer],
    watches: Iterable[W],
    batches: Iterable[Any],
    stand_in_for: Callable[[Any], nn.Module] | None,
) -> dict[str, W]:
    """Run the batches, and return by name the watches of the layers that may be replaced.

    Parameters
    ----------
    model : nn.Module
    layers : sequence of MatchedLayer
    watches : iterable of Watch
        One for each of the layers that may be replaced, in their order.
    batches : iterable
        Tensors, or positional or named arguments of the model.
    stand_in_for : callable, optional
        Returns the stand-in of a layer, with an exact product. The first batches are run with the
        stand-ins in place, too, and outputs must be equal. Without it nothing is compared.

    Raises
    ------
    ReplacementError
        If the outputs with exact products differ.
    ValueError
        If no rows reach any layer, or a layer that must stay is named in full, or two runs differ.
    """
    names = [each.name for each in layers if not each.why_not]
    by_name = dict(zip(names, watches, strict=True))
    if not by_name:
        return {}
    with evaluating(model), watching(by_name.values()):
        for number, batch in enumerate(batches):
            if stand_in_for is not None and number < _CHECKED:
                run_checked(model, batch, by_name, stand_in_for)
            else:
                call(model, batch)
    if not any(watch.n_rows or watch.why_not for watch in by_name.values()):
        raise ValueError(f"no rows reach {', '.join(by_name)} from the calibration batches")
    for each in layers:
        watch = by_name.get(each.name)
        if watch and not watch.n_rows and not watch.why_not:
            watch.why_not = "no rows reach it from the calibration batches"
        if watch and watch.why_not and each.is_named:
            raise ValueError(f"{each.name} cannot be replaced: {watch.why_not}")
    return by_name
