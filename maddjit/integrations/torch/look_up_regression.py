"""Tables of look-up layers, regressed on the outputs that another network gives."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maddjit.integrations.torch.look_up_convolution import LookUpConv2d
from maddjit.integrations.torch.look_up_trees import chosen_leaves, codes_of

TOGETHER = 64
"""Images whose patches are drawn together."""

PER_PATCH = 8
"""From so many patches one is drawn, if there are enough images."""


@torch.no_grad()
def regress(
    layer: LookUpConv2d,
    q: Tensor,
    wanted: Tensor,
    n_patches: int,
    rng: np.random.Generator,
    penalty: float = 3.0,
) -> None:
    """Set tables and bias so that outputs come close to others in the mean square.

    Parameters
    ----------
    layer : LookUpConv2d
        Its trees stay as they are. Its tables are what the penalty draws to.
    q : (N, C, H, W) tensor
        Planes.
    wanted : (N, M, Ho, Wo) tensor
        What the outputs before ReLU should be.
    n_patches : int
        About how many patches are drawn.
    rng : numpy.random.Generator
    penalty : float
        Of the squared distance of entries to what they were, in patches.
    """
    shape = n_codebooks, n_leaves, n_outputs = layer.tables.shape
    size, per_image = n_codebooks * n_leaves, wanted.shape[2] * wanted.shape[3]
    images = rng.permutation(len(q))[: max(1, PER_PATCH * n_patches // per_image)]
    apart = max(1, per_image * len(images) // n_patches)
    cuts = layer.cuts()
    gram = torch.zeros(size, size, dtype=torch.float64)
    right = torch.zeros(size, n_outputs, dtype=torch.float64)
    counts, total, n_rows = torch.zeros(size).double(), torch.zeros(n_outputs).double(), 0
    for chunk in np.array_split(images, -(-len(images) // TOGETHER)):
        some = torch.from_numpy(chunk)
        taps = layer.taps(q[some])
        rows = torch.from_numpy(rng.permutation(taps.shape[2])[::apart].copy())
        codes = codes_of(taps[:, :, rows], cuts)
        chosen = chosen_leaves(codes, n_leaves, torch.float32).flatten(0, 1)
        target = wanted[some].permute(1, 2, 3, 0).flatten(1)[:, rows]
        gram += (chosen @ chosen.T).double()
        right += (chosen @ target.T).double()
        counts += chosen.sum(1).double()
        total += target.double().sum(1)
        n_rows += len(rows)
    mean = total / n_rows
    gram -= torch.outer(counts, counts) / n_rows  # of vectors about their means
    right -= torch.outer(counts, mean)
    gram.diagonal().add_(penalty)
    before = layer.tables.flatten(0, 1).double()
    tables = torch.linalg.solve(gram, right + penalty * before)
    layer.tables.copy_(tables.view(shape))
    layer.bias.copy_(mean - counts @ tables / n_rows)
