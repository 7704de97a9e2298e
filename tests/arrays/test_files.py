"""Files are written whole or not at all."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import maddjit
from maddjit.arrays.files import write_whole

resource = pytest.importorskip("resource", reason="sizes of files are limited where POSIX is")


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"too large: '.*/file'$"):
            write_whole(path, bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    write_whole(path, b"old", 0o640)
    link.symlink_to(path)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_whole("/dev/null", b"nothing")
    assert not Path("/dev/null").is_file()
    for nowhere in (tmp_path, tmp_path / "no" / "where", path / "below"):
        with pytest.raises(OSError, match=f"'{nowhere}'$"):
            write_whole(nowhere, b"")


def test_nobody_else_reads_a_part_of_what_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    chmod = Path.chmod

    def noted(path: Path, mode: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        chmod(path, mode)

    path = tmp_path / "file"
    write_whole(path, b"old")
    assert stat.S_IMODE(path.stat().st_mode) & 0o400
    path.chmod(0o600)
    monkeypatch.setattr(Path, "chmod", noted)
    write_whole(path, b"new")
    write_whole(path, b"newer", 0o644)
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="descriptors have no paths")
def test_pipes_are_written_to(tmp_path: Path) -> None:
    """As ``/dev/stdout`` and ``>(…)`` lead to them: a link that names no path."""
    reading, writing = os.pipe()
    write_whole(f"/dev/fd/{writing}", b"all of it")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"all of it"
    named = tmp_path / "pipe"
    os.mkfifo(named)
    descriptor = os.open(named, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(named, b"more")
    assert os.read(descriptor, 9) == b"more"
    os.close(descriptor)
    assert os.listdir(tmp_path) == ["pipe"]


def test_open_files_are_refused_with_advice(tmp_path: Path) -> None:
    model = maddjit.fit_strassen_tile(np.eye(8, 6, dtype=np.float32), tile=2)
    file = io.BytesIO()
    with pytest.raises(TypeError, match=r"a path, not a BytesIO: .*storage\.to_bytes\(model\)"):
        model.save(file)  # type: ignore[arg-type]
    file.write(maddjit.storage.to_bytes(model))
    file.seek(0)
    with pytest.raises(TypeError, match=r"a path, not a BytesIO: .*storage\.from_bytes\(file\.re"):
        maddjit.load(file)  # type: ignore[arg-type]
    assert maddjit.storage.to_bytes(maddjit.storage.from_bytes(file.read())) == file.getvalue()


def test_a_model_is_not_lost_to_what_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = maddjit.fit_strassen_tile(rng.standard_normal((8, 6)), tile=2)
    path = tmp_path / "model.npz"
    model.save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"a model, not TileOperator; its \.model is one"):
        maddjit.save(maddjit.compile(model), path)  # type: ignore[arg-type]
    assert path.read_bytes() == before
