"""Models on disk: all of them comes back, and no file that is not sound is ever taken for one."""

from __future__ import annotations

import io
import json
import mmap
import os
import weakref
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import reference
from maddjit.models import records, storage
from maddjit.models.records import MappedFile, fields_of, let_go
from tests.conftest import same_bits
from tests.random_models import random_model, with_short_list, with_trees

SIZES: dict[str, Any] = {"n_features": 9, "n_codebooks": 4, "n_prototypes": 8, "n_outputs": 7}


def fitted(**options: Any) -> maddjit.MaddnessModel:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 12))
    return maddjit.fit(A, rng.standard_normal((12, 5)), 4, **options)


def tiles() -> maddjit.StrassenTileModel:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 12))
    return maddjit.fit_strassen_tile(rng.standard_normal((12, 5)), 48, A_train=A, max_iterations=1)


MODELS: dict[str, Callable[[], storage.Model]] = {
    "best": fitted,
    "paper": lambda: fitted(method="paper", core_rank=0),
    "core": lambda: fitted(core_rank=2),
    "averages": lambda: random_model(0, accumulate="average", **SIZES),
    "short list": lambda: with_short_list(random_model(0, largest=30, **SIZES), 2, 60),
    "tiles": tiles,
    "encoded": lambda: maddjit.fit_strassen_tile(np.eye(9, 5), tile=2, bias=np.arange(5)),
}


def same(left: Any, right: Any) -> bool:
    """Tell whether records hold the same, down to the bits of arrays."""
    if isinstance(left, np.ndarray):
        return same_bits(left, right)
    if hasattr(left, "__dataclass_fields__"):
        ours, theirs = fields_of(left), fields_of(right)
        return type(left) is type(right) and all(same(ours[name], theirs[name]) for name in ours)
    return type(left) is type(right) and bool(left == right)


@pytest.mark.parametrize("name", MODELS)
def test_all_comes_back(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    maddjit.save(model, tmp_path / "model.npz")
    again = maddjit.load(tmp_path / "model.npz")
    assert same(again, model)
    assert str(again.report) == str(model.report)
    A = np.random.default_rng(1).standard_normal((20, model.n_features)).astype(np.float32)
    assert same_bits(reference.apply(again, A), reference.apply(model, A))
    assert same_bits(maddjit.compile(again)(A), maddjit.compile(model)(A))


def test_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    fitted().save(path)
    told = storage.about(path)
    assert told["written_by"].startswith(f"maddjit {maddjit.__version__}")
    assert told["fields"]["tables"] == {"shape": [4, 16, 5]}
    learned = told["fields"]["report"]["learned_by"]
    for word in ("n_codebooks=4", "method='best'", "270 × 12 rows", "random_state=0"):
        assert word in learned
    assert 0 < told["fields"]["report"]["nmse"] < 1
    tiles().save(path)
    assert "rank=48" in storage.about(path)["fields"]["report"]["learned_by"]
    path.write_bytes(b"")
    with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
        storage.about(path)


@pytest.mark.parametrize("name", ["core", "short list", "tiles"])
def test_cut_or_flipped(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = MODELS[name]()
    model.save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 1024):
        path.write_bytes(whole[:size])
        with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
            maddjit.load(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 2):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        with suppress(maddjit.ModelFileError):
            assert same(maddjit.load(path), model)  # in bytes that mean nothing


def rewritten(path: Path, **changes: Any) -> None:
    """Write the file again with other members; those that are None are left out."""
    members = dict(np.load(path)) | changes
    np.savez(path, **{name: value for name, value in members.items() if value is not None})


def edited(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads(str(np.load(path)["about"]))
    edit(about)
    rewritten(path, about=np.array(json.dumps(about)))


def with_flat_trees(path: Path) -> None:
    """Write the file again as the third format has it: the fields of trees stand in the model."""

    def flatten(about: dict[str, Any]) -> None:
        about["fields"] |= about["fields"].pop("encoder")["fields"]

    edited(path, flatten)
    trees = {f"encoder.{name}": None for name in ("split_dims", "thresholds")}
    members = np.load(path)
    own = {name.removeprefix("encoder."): members[name] for name in trees}
    rewritten(path, format=np.array("maddjit-model-3"), **trees, **own)


def test_files_whose_trees_stand_in_the_model(tmp_path: Path) -> None:
    path, model = tmp_path / "model.npz", random_model(0, **SIZES)
    model.save(path)
    with_flat_trees(path)
    assert same(maddjit.load(path), model)


def test_files_of_the_first_format_do_not_say_their_bias(tmp_path: Path) -> None:
    path, rng = tmp_path / "model.npz", np.random.default_rng(0)
    A, B, bias = rng.standard_normal((300, 12)), rng.standard_normal((12, 5)), rng.random(5)
    model = maddjit.calibrate(maddjit.fit(A, B, 4, bias=bias), A, B)
    model.save(path)
    edited(path, lambda about: about["fields"].pop("bias"))
    with pytest.raises(maddjit.ModelFileError, match="does not have the fields"):
        maddjit.load(path)
    with_flat_trees(path)
    rewritten(path, format=np.array("maddjit-model-1"), bias=None)
    again = maddjit.load(path)
    assert same(again, replace(model, bias=None))
    assert isinstance(again, maddjit.MaddnessModel)
    with pytest.raises(ValueError, match="does not say which bias"):
        maddjit.calibrate(again, A, B)
    assert same(maddjit.calibrate(again, A, B, bias=bias), model)
    tiles().save(path)
    rewritten(path, format=np.array("maddjit-model-1"))
    assert same(maddjit.load(path), tiles())


HOSTILE: dict[str, dict[str, Any]] = {
    "column beyond A": {"encoder.split_dims": np.full((4, 3), 9)},
    "negative column": {"encoder.split_dims": np.full((4, 3), -1)},
    "column beyond 32 bits": {"encoder.split_dims": np.full((4, 3), 2**40)},
    "fractions": {"encoder.split_dims": np.full((4, 3), 0.5)},
    "table of another shape": {"tables": np.zeros((4, 8, 6), np.uint8)},
    "entries beyond a byte": {"tables": np.full((4, 8, 7), 256)},
    "thresholds of nothing": {"encoder.thresholds": np.full((4, 7), np.nan, np.float32)},
    "too few thresholds": {"encoder.thresholds": np.zeros((4, 6), np.float32)},
    "infinite scale": {"scale": np.full(7, np.inf, np.float32)},
    "words": {"offset": np.full(7, "x")},
    "swapped": {
        "scale": np.zeros((4, 7), np.float32),
        "encoder.thresholds": np.zeros(7, np.float32),
    },
    "missing": {"tables": None},
    "no text": {"about": None},
    "text of nothing": {"about": np.array("[]")},
    "no JSON": {"about": np.array("{")},
    "another format": {"format": np.array("maddjit-model-99")},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    random_model(0, **SIZES).save(path)
    rewritten(path, **HOSTILE[name])
    with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
        maddjit.load(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda about: about.update(kind="Popen"),
        lambda about: about["fields"]["encoder"]["fields"].update(n_features="9"),
        lambda about: about["fields"]["encoder"]["fields"].update(n_features=10**30),
        lambda about: about["fields"]["encoder"]["fields"].update(n_features=True),
        lambda about: about["fields"].update(accumulate="sum"),
        lambda about: about["fields"].update(short_list={"k": 1}),
        lambda about: about["fields"].update(extra=1),
        lambda about: about["fields"].pop("offset"),
        lambda about: about["fields"].update(tables=[1, 2]),
        lambda about: about["fields"].update(tables=None),
        lambda about: about.update(fields=3),
    ],
)
def test_hostile_text(edit: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    random_model(0, **SIZES).save(path)
    edited(path, edit)
    with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
        maddjit.load(path)


def test_the_other_order_of_bytes_means_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = random_model(0, **SIZES)
    model.save(path)
    rewritten(path, **{"encoder.thresholds": model.thresholds.astype(">f4")})
    assert same(maddjit.load(path), model)


def with_header(path: Path, member: str, **header: Any) -> None:
    """Write the file again, with a member that is nothing but a header."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"fortran_order": False} | header)
    with zipfile.ZipFile(path) as before:
        members = {name: before.read(name) for name in before.namelist()}
    assert member in members
    with zipfile.ZipFile(path, "w") as after:
        for name, each in (members | {member: content.getvalue()}).items():
            after.writestr(name, each)


@pytest.mark.parametrize("descr", ["|V0", "|S0", "<U0"])
def test_elements_of_no_bytes(descr: str, tmp_path: Path) -> None:
    """They fit into any file, however many they are, and to look at each takes for ever."""
    path = tmp_path / "model.npz"
    model = fitted(method="paper")
    for member in ("format", "about", "tables", "report.bias", "report.bound_terms.norms"):
        model.save(path)
        with_header(path, f"{member}.npy", descr=descr, shape=(10**9, 10**9))
        with pytest.raises(maddjit.ModelFileError, match=f"{member} is no array"):
            maddjit.load(path)


def test_a_header_that_leaves_some_of_its_member(tmp_path: Path) -> None:
    """Half of the bytes, or each as another number: the checksum is at the end of the member."""
    path = tmp_path / "model.npz"
    fitted().save(path)
    whole = path.read_bytes()
    place = whole.index(b"report.output_nmse.npy")
    for old, new in ((b"'<f8'", b"'<f4'"), (b"'<f8'", b"'<u8'"), (b"(5,)", b"(1,)")):
        found = whole.index(old, place)
        path.write_bytes(whole[:found] + new + whole[found + len(new) :])
        with pytest.raises(maddjit.ModelFileError, match=r"not all of its member|Bad CRC"):
            maddjit.load(path)


@pytest.mark.parametrize("name", ["output_nmse", "bias", "worst_errors", "bound_terms.norms"])
@pytest.mark.parametrize("wrong", [["x"] * 5, np.zeros(5, "M8[s]"), np.zeros(5) + 1j, np.zeros(4)])
def test_hostile_reports(name: str, wrong: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    fitted(method="paper").save(path)
    edited(path, lambda about: of_shape(about, name, np.shape(wrong)))
    rewritten(path, **{f"report.{name}": np.asarray(wrong)})
    with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
        maddjit.load(path)


def of_shape(about: dict[str, Any], name: str, shape: tuple[int, ...]) -> None:
    tree = about["fields"]["report"]
    for part in name.split("."):
        tree = tree[part]
    tree["shape"] = shape


@pytest.mark.parametrize(
    "changes", [{"n_rows": -3}, {"nmse": -1.0}, {"agreement": 2.0}, {"objective": "<script>"}]
)
def test_hostile_figures(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    fitted().save(path)
    edited(path, lambda about: about["fields"]["report"].update(changes))
    with pytest.raises(maddjit.ModelFileError, match=f"{next(iter(changes))}.* must"):
        maddjit.load(path)


def test_a_report_of_another_model() -> None:
    model = fitted()
    assert model.report is not None
    ones = np.ones(3)
    narrow = replace(model.report, output_nmse=ones, bias=ones, absolute_error=ones)
    with pytest.raises(ValueError, match="the report must be of 5 outputs, not 3"):
        replace(model, report=narrow)
    with pytest.raises(TypeError, match="report must be a FitReport, not TileReport"):
        replace(fitted(), report=tiles().report)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_lists_of_no_length(wrong: float, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = MODELS["short list"]()
    model.save(path)
    assert isinstance(model, maddjit.MaddnessModel)
    assert model.short_list is not None
    rewritten(path, **{"short_list.lengths": np.full_like(model.short_list.lengths, wrong)})
    with pytest.raises(maddjit.ModelFileError, match="lengths must be finite"):
        maddjit.load(path)


def test_tiles_too_high_for_any_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    tiles().save(path)
    edited(path, lambda about: about["fields"].update(tile_rows=2**40))
    with pytest.raises(maddjit.ModelFileError, match="tile_rows must be a multiple of 8 up to"):
        maddjit.load(path)


@dataclass(frozen=True, eq=False)
class Named(maddjit.MaddnessModel):
    name: str = ""


def test_a_kind_of_one_s_own_is_kept_as_the_model_it_is() -> None:
    model = random_model(0, **SIZES)
    assert same(storage.from_bytes(storage.to_bytes(Named(**fields_of(model), name="x"))), model)


def test_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = random_model(0, **SIZES)
    model.save(path)
    np.savez_compressed(path, **dict(np.load(path)))
    with pytest.raises(maddjit.ModelFileError, match="compressed"):
        maddjit.load(path)
    model.save(path)
    with_header(path, "tables.npy", descr="|u1", shape=(2**20, 2**20, 7))
    with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
        maddjit.load(path)


def test_what_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = random_model(0, **SIZES)
    maddjit.save(model, path, {"A": "rows.npy", "n": [3, 4]})
    assert storage.provenance_of(path) == {"A": "rows.npy", "n": [3, 4]}
    model.save(path)
    assert storage.provenance_of(path) == {}
    assert same(storage.from_bytes(storage.to_bytes(model)), model)
    assert storage.to_bytes(model) == path.read_bytes()
    edited(path, lambda about: about.update(provenance=[1, 2]))
    with pytest.raises(maddjit.ModelFileError, match="provenance is no mapping"):
        storage.provenance_of(path)
    path.write_text("no model")
    with pytest.raises(maddjit.ModelFileError, match=r"it is neither .npz nor .npy"):
        maddjit.load(path)
    with pytest.raises(maddjit.ModelFileError, match="this is not a sound model"):
        storage.from_bytes(b"")


def test_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    random_model(0, **SIZES).save(path)
    rewritten(path, scale=np.array([print, None], dtype=object))
    with pytest.raises(maddjit.ModelFileError, match="pickle"):
        maddjit.load(path)


def large() -> maddjit.MaddnessModel:
    return random_model(3, n_features=9, n_codebooks=40, n_prototypes=16, n_outputs=300)


def test_mapped_tables_stay_in_their_file(tmp_path: Path) -> None:
    model, path = large(), tmp_path / "model.npz"
    storage.save(model, path)
    A = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    wanted = reference.apply(model, A)
    mapped = storage.load(path, mapped=True)
    assert isinstance(mapped, maddjit.MaddnessModel)
    assert same(mapped, model)
    assert same(replace(mapped, accumulate="exact"), model)
    storage.save(fitted(), path)  # another file takes the place of the mapped one
    let_go()
    assert same(mapped, model)
    assert same_bits(reference.apply(mapped, A), wanted)
    assert same_bits(maddjit.compile(mapped)(A), wanted)
    assert same(storage.load(path, mapped=True), fitted())
    with pytest.raises(ValueError, match="read-only"):
        mapped.tables[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        mapped.tables.flags.writeable = True


def test_threads_map_files_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"bytes")
    with path.open("rb") as file, ThreadPoolExecutor(1) as pool:

        def mapped() -> MappedFile:
            return MappedFile(file.fileno(), 0, access=mmap.ACCESS_READ)

        class Listed(weakref.WeakSet[MappedFile]):
            """Files, another of which is mapped while they are listed."""

            def __iter__(self) -> Iterator[MappedFile]:
                for each in super().__iter__():
                    others.append(pool.submit(mapped))
                    wait(others, timeout=0.1)
                    yield each

        others: list[Future[MappedFile]] = []
        monkeypatch.setattr(records, "_mapped", Listed())
        kept = mapped(), mapped()
        let_go()
        assert len(kept) == len([other.result() for other in others])


def test_a_mapped_file_may_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    storage.save(large(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, len(whole), 100), *range(200)]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        other = tmp_path / "other.npz"
        other.unlink(missing_ok=True)
        other.write_bytes(flipped)
        try:
            found = storage.load(other, mapped=True)
        except storage.ModelFileError:
            continue
        assert same(found, large())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_what_others_may_write_is_not_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    storage.save(large(), path)
    path.chmod(0o646)
    with pytest.raises(PermissionError, match="is not mapped: others may write it"):
        storage.load(path, mapped=True)
    assert same(storage.load(path), large())


def test_arrays_that_nobody_can_change_are_shared() -> None:
    model = large()
    assert with_trees(model, n_features=10).tables is model.tables
    own = model.tables.copy()
    own.flags.writeable = False  # which its owner can undo
    other = replace(model, tables=own)
    own.flags.writeable = True
    own[0, 0, 0] ^= 1
    assert same(other, model)
    with pytest.raises(ValueError, match="WRITEABLE"):
        model.tables.flags.writeable = True
