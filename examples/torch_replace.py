"""Replace layers of a PyTorch model by look-ups and fine-tune it: `maddjit.integrations.torch`.

A small network learns scikit-learn's digits. The script replaces its second and last linear layers,
trains their tables for a few epochs, and rounds them to 8 bits again. It prints the test accuracy
after each of these steps. It takes some seconds.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from maddjit.integrations.torch import fine_tune, replace_linear, requantise


def train(
    model: nn.Module, parameters: list, X: torch.Tensor, y: torch.Tensor, epochs: int
) -> None:
    """Train the parameters to lower the cross-entropy."""
    optimiser = torch.optim.Adam(parameters, 0.002)
    for _ in range(epochs):
        for part in torch.randperm(len(X)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(X[part]), y[part]).backward()
            optimiser.step()


def main(epochs: int, n_codebooks: int) -> None:
    """Train, replace, fine-tune, requantise; print the accuracy after each."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X / 16, y, test_size=0.3, random_state=0)
    X_train, X_test = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    y_train, y_test = (torch.tensor(part) for part in parts[2:])
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )

    def tell(step: str) -> None:
        with torch.no_grad():
            accuracy = (model(X_test).argmax(dim=1) == y_test).float().mean()
        print(f"{step:12} {accuracy:.4f}")

    train(model, list(model.parameters()), X_train, y_train, epochs)
    tell("exact")
    print(replace_linear(model, [X_train], pattern=["2", "4"], n_codebooks=n_codebooks))
    tell("looked up")
    train(model, fine_tune(model), X_train, y_train, epochs)
    tell("fine-tuned")
    requantise(model)
    tell("requantised")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--codebooks", type=int, default=8)
    options = parser.parse_args()
    main(options.epochs, options.codebooks)
