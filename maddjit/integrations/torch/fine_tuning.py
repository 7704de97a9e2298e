"""Train the tables of a PyTorch model's replaced layers, and round them to 8 bits again."""

from __future__ import annotations

from torch import nn

from maddjit.integrations.torch.modules import MaddnessLinear


def fine_tune(model: nn.Module) -> list[nn.Parameter]:
    """Turn the tables of all replaced layers into parameters, which any optimiser can train.

    The trees stay as they were compiled, and so do the codes. Gradients of the tables are exact.
    Gradients of a layer's inputs are passed straight through: they are computed with the weight
    that was replaced.

    Parameters
    ----------
    model : nn.Module
        A model on which `replace_linear` was called.

    Returns
    -------
    list of nn.Parameter
        Tables and offsets, for an optimiser. Call `requantise` when training is done.

    Raises
    ------
    ValueError
        If no layer of the model was replaced.
    """
    layers = _replaced(model)
    for layer in layers:
        layer.fine_tune()
    return [part for layer in layers for part in (layer.tables, layer.base) if part is not None]


def requantise(model: nn.Module) -> None:
    """Round the tables of all replaced layers to 8 bits again, and compile them.

    Parameters
    ----------
    model : nn.Module
        A model on which `fine_tune` was called.

    Raises
    ------
    ValueError
        If no layer of the model was replaced, or if tables became infinite or NaN in training.
    """
    for layer in _replaced(model):
        layer.requantise()


def _replaced(model: nn.Module) -> list[MaddnessLinear]:
    layers = [layer for layer in model.modules() if isinstance(layer, MaddnessLinear)]
    if not layers:
        raise ValueError("the model has no replaced layers: call replace_linear first")
    return layers
