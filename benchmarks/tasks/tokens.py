"""Retrieval: the ten tokens of MiniLM's table that are nearest to the embedding of a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks import bert
from benchmarks.tasks.cache import Arrays, stored
from benchmarks.tasks.minilm import PACKAGE, model, sentences
from benchmarks.tasks.record import Floats, Task
from benchmarks.tasks.scores import recall, top

VERSION = "1"
K = 10
MIN_WORDS = 2
N_TRAIN, N_TEST = 16000, 3000
BATCH = 250


def embeddings(tokens: Sequence[Sequence[int]], weights: bert.Weights) -> Floats:
    """Return the mean row of each sentence after all layers, scaled to length 1."""
    found = []
    for start in range(0, len(tokens), BATCH):
        part = tokens[start : start + BATCH]
        ends = np.cumsum([len(ids) for ids in part])
        x = bert.encode(bert.embed(np.concatenate(part), ends, weights), ends, weights)
        pooled = bert.pool(x, ends)
        found.append(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
    return np.concatenate(found)


def _prepare() -> dict[str, NDArray[Any]]:
    weights, tokenizer = model()
    A_train, A_test = (
        embeddings([encoding.ids for encoding in tokenizer.encode_batch(chosen)], weights)
        for chosen in sentences(MIN_WORDS, N_TRAIN, N_TEST)
    )
    B = np.ascontiguousarray(weights["embeddings.word_embeddings.weight"].T)
    return {"A_train": A_train, "A_test": A_test, "B": B, "winners": top(A_test @ B, K)}


def _build(arrays: Arrays) -> Task:
    winners = arrays["winners"]
    return Task(
        name="minilm-tokens",
        title="MiniLM-L6-v2, the ten nearest of its tokens, 384 × 30522",
        source=(
            f"all-MiniLM-L6-v2 (Apache-2.0) in the package {PACKAGE} (MIT): items are the rows of "
            "its token table, queries the embeddings (mean of the last layer, length 1) of "
            f"English program messages of {MIN_WORDS} words or more, those to test on from other "
            "programs; scores are inner products. Most messages are menu entries or options: "
            "whole sentences would be too few. What is found are words of the message and akin ones"
        ),
        A_train=arrays["A_train"],
        A_test=arrays["A_test"],
        B=arrays["B"],
        bias=None,
        metric="recall",
        higher_is_better=True,
        score=lambda outputs: recall(top(outputs, winners.shape[1]), winners),
        k=winners.shape[1],
    )


def load() -> Task:
    """Load queries and the table. The score is the share of the ten best items that are found."""
    return stored("minilm-tokens", VERSION, _prepare, _build)
