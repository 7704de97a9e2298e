"""The cache of compiled objects: other processes find them, and doubtful ones are refused."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit import cli
from maddjit.compiler import cache, fingerprint, llvm, render
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.objects import Code
from maddjit.compiler.signature import Choices, Signature
from maddjit.compiler.strassen_tile.planner import make_tile_plan
from maddjit.compiler.target import named
from tests.conftest import same_bits
from tests.random_models import random_model, rows_for, with_short_list


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache that only this test uses."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bytes:
        raise AssertionError("LLVM was asked to compile")

    monkeypatch.setattr(llvm, "to_object", refuse)


def test_what_was_compiled_is_not_compiled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    tiles = maddjit.fit_strassen_tile(np.eye(40, 30), tile=2)
    A, wide = rows_for(model, 50, "float32", 1), np.ones((9, 40), np.float32)
    first, second = maddjit.compile(model), maddjit.compile(tiles)
    wanted, one, product = first(A), first(A[0]), second(wide)
    no_compiler(monkeypatch)
    op = maddjit.compile(model)
    assert same_bits(op(A), wanted)
    assert same_bits(op(A[0]), one)  # by a fast call, whose addresses are this process's
    assert same_bits(maddjit.compile(tiles)(wide), product)
    assert "taken from the cache in" in str(maddjit.compile(tiles).report)
    assert "taken from the cache in" in str(op.report)
    assert "compiled in" in str(second.report)
    assert "cache" in op.report.seconds["float32 C → outputs"]
    with pytest.raises(AssertionError, match="asked to compile"):
        maddjit.compile(model, dtype="float64")


def test_another_process_finds_it(folder: Path, tmp_path: Path) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    A = rows_for(model, 50, "float32", 1)
    maddjit.save(model, tmp_path / "model.npz")
    np.save(tmp_path / "A.npy", A)
    code = (
        "import sys, numpy as np, maddjit\n"
        "op = maddjit.compile(maddjit.load('model.npz'))\n"
        "np.save('Y.npy', op(np.load('A.npy')))\n"
        "print('jinja2' in sys.modules, *op.report.seconds['float32 C → outputs'])\n"
    )

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(maddjit.__file__).parent.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    renders, *phases = run().split()
    assert renders == "True"
    assert "llvm" in phases
    wanted = np.load(tmp_path / "Y.npy")
    assert run().split() == ["False", "plan", "cache", "load"]
    assert same_bits(np.load(tmp_path / "Y.npy"), wanted)


def test_two_processes_at_once(folder: Path) -> None:
    code = (
        "import numpy as np, maddjit\n"
        "for n in range(5, 10):\n"
        "    A = np.ones((64, n), np.float32)\n"
        "    op = maddjit.compile(maddjit.fit_strassen_tile(np.eye(n), tile=1))\n"
        "    assert np.allclose(op(A), A, atol=1e-6)\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(maddjit.__file__).parent.parent)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    calls = sys.implementation.name == "cpython"  # one function, by which it calls all kernels
    assert cache.info().n_objects == 5 + calls
    assert {path.suffix for path in folder.iterdir()} == {".object"}


def test_folders_of_each_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for system, parts in (
        ("linux", (".cache", "maddjit")),
        ("darwin", ("Library", "Caches", "maddjit")),
        ("win32", ("local", "maddjit", "cache")),
    ):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
        assert cache.info().folder == tmp_path.joinpath(*parts)
    monkeypatch.delenv("LOCALAPPDATA")
    assert cache.info().folder is None


def test_it_is_tried_without_a_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.works()
    assert list(folder.iterdir()) == []
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "/proc/nothing")
    assert not cache.works()


KEY = "0" * 64


def read_whole() -> bytes:
    """Return the object that is kept under KEY, with the constants that stand apart."""
    found = cache.read(KEY)
    assert found is not None
    return b"".join([found.object, *found.constants])


def test_whatever_is_damaged_is_not_there(folder: Path) -> None:
    code = np.random.default_rng(0).bytes(5000)
    cache.write(KEY, Code(code))
    assert read_whole() == code
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(0, len(whole), 1024)]
    damaged += [whole[:-1], whole + b"\0", b"", whole[::-1]]
    rng = np.random.default_rng(1)
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        assert cache.read(KEY) is None
    path.write_bytes(whole)
    os.rename(path, folder / f"{'1' * 64}.object")  # another's name
    assert cache.read("1" * 64) is None


@pytest.mark.parametrize("size", [0, 1, 2**20 - 2000, 2**20, 3 * 2**20 + 5])
def test_constants_apart_are_kept_with_their_object(folder: Path, size: int) -> None:
    rng = np.random.default_rng(size)
    code, constants = rng.bytes(2000), rng.bytes(size)
    cache.write(KEY, Code(code, ".place", size, (constants[:7], constants[7:])))
    found = cache.read(KEY)
    assert found is not None
    assert (found.object, found.place, found.n_constants) == (code, ".place", size)
    assert b"".join(found.constants) == constants
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        assert cache.read(KEY) is None


def test_damage_is_compiled_over(folder: Path) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    A = rows_for(model, 50, "float32", 1)
    wanted = maddjit.compile(model)(A)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    assert same_bits(maddjit.compile(model)(A), wanted)
    for path in folder.iterdir():
        assert cache.read(path.stem) is not None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners here")
def test_what_others_may_write_is_refused(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write(KEY, Code(b"code"))
    (path,) = folder.iterdir()
    for place, mode in ((path, 0o620), (path, 0o602), (folder, 0o770), (folder, 0o707)):
        before = place.stat().st_mode
        place.chmod(mode)
        assert cache.read(KEY) is None
        assert "others may write it" in caplog.text or "not used" in caplog.text
        place.chmod(before)
        assert read_whole() == b"code"
    folder.chmod(0o770)
    assert "others may write" in cache.info().problem
    assert cache.clear() == 0
    cache.write("2" * 64, Code(b"code"))
    folder.chmod(0o700)
    assert cache.info().n_objects == 1
    elsewhere = tmp_path / "elsewhere"
    os.rename(path, elsewhere)
    path.symlink_to(elsewhere)
    assert cache.read(KEY) is None


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give away")
def test_what_belongs_to_others_is_refused(folder: Path) -> None:
    cache.write(KEY, Code(b"code"))
    (path,) = folder.iterdir()
    for place in (path, folder):
        os.chown(place, 12345, -1)
        assert cache.read(KEY) is None
        os.chown(place, 0, -1)
    assert read_whole() == b"code"


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    A = rows_for(model, 5, "float32", 1)
    file = tmp_path / "file"
    file.write_bytes(b"")
    wanted = maddjit.compile(model)(A)
    for place in ("", str(file), str(file / "below"), "/proc/nothing", "x" * 5000):
        monkeypatch.setenv(cache.FOLDER_VARIABLE, place)
        assert same_bits(maddjit.compile(model)(A), wanted)
        assert cache.info().n_objects == 0
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.info().folder == tmp_path / "maddjit"
    assert cache.info().problem == ""  # though it is not there yet
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.info().folder == tmp_path / ".cache" / "maddjit"


def test_a_folder_that_cannot_be_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    assert "Permission denied" in str(cache.info())
    assert cache.clear() == 0


def test_what_ended_processes_left_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write(KEY, Code(bytes(1500)))
    old, new, other = (folder / name for name in ("a.object-part", "b.object-part", "c"))
    for path in (old, new, other):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    assert cache.clear() == 1
    assert sorted(folder.iterdir()) == [new, other]
    os.utime(new, (0, 0))
    monkeypatch.setenv(cache.BYTES_VARIABLE, "2000")
    cache.write("1" * 64, Code(bytes(1500)))
    cache.write("2" * 64, Code(bytes(1500)))
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".object"]


@pytest.mark.parametrize("odd", ["many", "-1"])
def test_odd_numbers_of_bytes_are_told_once(
    odd: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(cache.BYTES_VARIABLE, odd)
    for _ in range(2):
        assert cache.info().most_bytes == 2**28
    assert caplog.messages == [f"MADDJIT_CACHE_BYTES={odd} is no number of bytes and is ignored"]


def test_the_least_recently_used_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.BYTES_VARIABLE, "10000")
    names = [str(i) * 64 for i in range(9)]
    for age, name in enumerate(names):
        cache.write(name, Code(bytes(1500)))
        if (folder / f"{name}.object").exists():
            os.utime(folder / f"{name}.object", (age, age))
        cache.read(names[0])  # used all the time
    assert cache.info().n_bytes <= 10000
    assert cache.read(names[0]) is not None
    assert cache.read(names[1]) is None
    assert cache.read(names[8]) is not None
    cache.write(KEY, Code(bytes(20000)))  # more than there may be
    assert cache.read(names[8]) is not None


def test_names_tell_apart_what_differs() -> None:
    sizes = {"n_features": 19, "n_codebooks": 7, "n_prototypes": 16, "n_outputs": 37}
    model, level = random_model(1, **sizes), named("x86-64-v3")
    plans = [
        make_plan(model, level, Signature()),
        make_plan(random_model(2, **sizes), level, Signature()),
        make_plan(model, named("x86-64-v4"), Signature()),
        make_plan(model, level, Signature("float64")),
        make_plan(model, level, Signature(), Choices(row_block=64)),
    ]
    keys = {fingerprint.plan_key(plan) for plan in plans}
    assert len(keys) == len(plans)
    assert fingerprint.plan_key(make_plan(model, level, Signature())) in keys
    assert fingerprint.key_of(b"ab", b"c") != fingerprint.key_of(b"a", b"bc")


def records_of(value: Any, seen: set[type]) -> None:
    """Add the kinds of records that a plan holds, or that their properties return."""
    if isinstance(value, tuple):
        for part in value:
            records_of(part, seen)
    elif dataclasses.is_dataclass(value) and type(value) not in seen:
        seen.add(type(value))
        names = [
            name for name in dir(value) if isinstance(getattr(type(value), name, None), property)
        ]
        for name in (*names, *(field.name for field in dataclasses.fields(value))):
            with suppress(ArithmeticError):  # of a property that such a record has no use for
                records_of(getattr(value, name), seen)


def test_names_depend_on_the_sources_of_what_templates_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Templates read properties of plans, which are not among a plan's numbers."""
    plain = random_model(1, n_features=19, n_codebooks=7, n_prototypes=16, n_outputs=37)
    model = with_short_list(plain, 2, 5)
    level, wanted = named("x86-64-v3"), Signature(result="winners", k=2)
    tiles = maddjit.fit_strassen_tile(np.eye(40, 30), tile=2)
    plans = (make_plan(model, level, wanted), make_tile_plan(tiles, level, Signature()))
    seen: set[type] = set()
    records_of(plans, seen)
    digested = fingerprint.sources()
    assert len(seen) > 10
    assert {Path(str(sys.modules[kind.__module__].__file__)) for kind in seen} <= set(digested)

    before = fingerprint.plan_key(plans[0])
    edited = tmp_path / "settling.py"
    edited.write_bytes(b"# edited")
    changed = [edited if path.name == edited.name else path for path in digested]
    monkeypatch.setattr(fingerprint, "sources", lambda: changed)
    fingerprint._tools.cache_clear()
    assert fingerprint.plan_key(plans[0]) != before
    edited.unlink()
    fingerprint._tools.cache_clear()
    assert fingerprint.plan_key(plans[0]) is None
    monkeypatch.undo()
    fingerprint._tools.cache_clear()
    assert fingerprint.plan_key(plans[0]) == before


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder with copies of the sources and templates, on which names then depend."""
    package = Path(str(maddjit.__file__)).parent
    for folder in (package, render.templates_folder()):
        for path in folder.rglob("*"):
            if path.suffix in (".py", ".j2"):
                place = tmp_path / folder.name / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
    for module in (fingerprint, render):
        own = Path(str(module.__file__)).relative_to(package)
        monkeypatch.setattr(module, "__file__", str(tmp_path / package.name / own))
    return tmp_path


def name_now() -> str | None:
    fingerprint._tools.cache_clear()
    try:
        return fingerprint.key_of(b"a plan")
    finally:
        fingerprint._tools.cache_clear()


def test_names_depend_on_each_source_and_each_template(copied: Path) -> None:
    """Sources are the modules of the compiler and of the rooms it imports from, at any depth."""
    before, names = name_now(), set()
    package = copied / "maddjit"
    files = [
        path for room in ("arrays", "models", "compiler") for path in (package / room).rglob("*.py")
    ]
    files += (copied / "templates").rglob("*.ll.j2")
    assert len(files) > 60
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        names.add(name_now())
        path.write_bytes(content)
    assert name_now() == before
    assert len(names | {before, None}) == len(files) + 2


def test_names_depend_on_whatever_the_compiler_imports() -> None:
    package = Path(str(maddjit.__file__)).parent
    digested = {path.relative_to(package).as_posix() for path in fingerprint.sources()}
    digested.add("version.py")  # whose version is part of every name
    for path in (package / "compiler").rglob("*.py"):
        for name in re.findall(r"^\s*from maddjit\.(\S+) import", path.read_text(), re.MULTILINE):
            module = name.replace(".", "/") + ".py"
            assert module in digested or not (package / module).exists(), f"{path}: {module}"


@pytest.mark.parametrize(
    "name",
    [
        "maddjit/compiler/new.py",
        "maddjit/compiler/maddness/deeper/new.py",
        "maddjit/arrays/deeper/new.py",
        "templates/new.ll.j2",
        "templates/maddness/deeper/new.ll.j2",
    ],
)
def test_names_depend_on_new_files(copied: Path, name: str) -> None:
    before = name_now()
    (copied / name).parent.mkdir(exist_ok=True)
    (copied / name).touch()
    assert name_now() not in (before, None)
    (copied / name).unlink()
    assert name_now() == before


def test_nothing_is_kept_without_a_name(folder: Path) -> None:
    cache.write(None, Code(b"code"))
    assert cache.read(None) is None
    assert not folder.exists()


def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.write(KEY, Code(b"code"))
    assert cli.main(["cache", "info"]) == 0
    assert "1 objects" in capsys.readouterr().out
    assert cli.main(["cache", "clear"]) == 0
    assert "removed 1" in capsys.readouterr().out
    assert cache.info().n_objects == 0
