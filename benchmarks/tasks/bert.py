"""MiniLM's layers in NumPy. The rows of all sentences stand in one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from benchmarks.tasks.record import Floats

Weights = Mapping[str, Floats]
Ends = NDArray[np.integer[Any]]

N_LAYERS, N_HEADS = 6, 12
EPSILON = 1e-12


def linear(x: Floats, weights: Weights, name: str) -> Floats:
    """Apply the named linear layer. Its matrix is stored as (outputs, inputs)."""
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def normalise(x: Floats, weights: Weights, name: str) -> Floats:
    """Apply the named LayerNorm."""
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + np.float32(EPSILON))
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: Floats) -> Floats:
    """Return x·Φ(x)."""
    return x * np.float32(0.5) * (1 + erf(x / np.sqrt(np.float32(2))))


def embed(tokens: NDArray[np.integer[Any]], ends: Ends, weights: Weights) -> Floats:
    """Return the first layer's input: words, positions in their sentence, and type 0."""
    starts = np.concatenate(([0], ends[:-1]))
    positions = np.arange(len(tokens)) - np.repeat(starts, ends - starts)
    x = weights["embeddings.word_embeddings.weight"][tokens]
    x = x + weights["embeddings.position_embeddings.weight"][positions]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    return normalise(x, weights, "embeddings.LayerNorm")


def _heads(query: Floats, key: Floats, value: Floats) -> Floats:
    """Attend within one sentence, each head on its own columns."""
    query, key, value = (
        x.reshape(len(x), N_HEADS, -1).transpose(1, 0, 2) for x in (query, key, value)
    )
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[2]))
    scores = np.exp(scores - scores.max(axis=2, keepdims=True))
    scores /= scores.sum(axis=2, keepdims=True)
    mixed: Floats = (scores @ value).transpose(1, 0, 2).reshape(query.shape[1], -1)
    return mixed


def attention(x: Floats, ends: Ends, weights: Weights, layer: str) -> Floats:
    """Apply a layer's first half: attention, residual, LayerNorm."""
    parts = [linear(x, weights, f"{layer}.attention.self.{n}") for n in ("query", "key", "value")]
    sentences = zip(*(np.split(part, ends[:-1]) for part in parts), strict=True)
    mixed = np.concatenate([_heads(*sentence) for sentence in sentences])
    mixed = linear(mixed, weights, f"{layer}.attention.output.dense")
    return normalise(x + mixed, weights, f"{layer}.attention.output.LayerNorm")


def inner(x: Floats, weights: Weights, layer: str) -> Floats:
    """Return the wide rows between the two linear layers of a layer's second half."""
    return gelu(linear(x, weights, f"{layer}.intermediate.dense"))


def outer(x: Floats, outputs: Floats, weights: Weights, layer: str) -> Floats:
    """Finish a layer: residual and LayerNorm around the last linear layer's outputs."""
    return normalise(x + outputs, weights, f"{layer}.output.LayerNorm")


def encode(x: Floats, ends: Ends, weights: Weights, first: int = 0) -> Floats:
    """Apply all layers from `first` on."""
    for index in range(first, N_LAYERS):
        layer = f"encoder.layer.{index}"
        x = attention(x, ends, weights, layer)
        outputs = linear(inner(x, weights, layer), weights, f"{layer}.output.dense")
        x = outer(x, outputs, weights, layer)
    return x


def pool(x: Floats, ends: Ends) -> Floats:
    """Return the mean row of each sentence. Scaled to length 1 it is the embedding."""
    starts = np.concatenate(([0], ends[:-1]))
    return np.add.reduceat(x, starts, axis=0) / (ends - starts)[:, None].astype(np.float32)
