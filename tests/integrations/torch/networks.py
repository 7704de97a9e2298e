"""Small networks of PyTorch for tests, and what is asked of them."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn

from maddjit.integrations.torch import Report, replace_linear

X = torch.randn(400, 3, generator=torch.manual_seed(0)) @ torch.randn(3, 16)


def network() -> Any:
    """Return layers of 16 → 8 and 8 → 4, in evaluation mode."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def replaced(model: Any, batches: Any = None, **options: Any) -> Report:
    return replace_linear(model, batches or [X], n_codebooks=4, **options)


def error(model: Any, exact: Any) -> float:
    """Return the squared error over the variance."""
    with torch.no_grad():
        return float(((model(X) - exact) ** 2).mean() / exact.var())


class One(nn.Module):
    """One layer, and whatever is done with it."""

    def __init__(self, use: Any, **others: Any) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc, self.use, self.others, self.calls = nn.Linear(16, 4), use, others, 0
        self.register_buffer("counter", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.use(self, x)


def saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)
