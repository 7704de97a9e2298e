"""Rendering: where templates are found, and where their bytecode is kept."""

from __future__ import annotations

import sys
from pathlib import Path

import jinja2
import pytest

from maddjit.compiler import render


def test_templates_are_found() -> None:
    assert (render.templates_folder() / "maddness" / "scan.ll.j2").is_file()


def test_bytecode_is_kept_where_python_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "__file__", str(tmp_path / "render.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert render._bytecode_cache() is None  # Python has written none
    (tmp_path / "__pycache__").mkdir()
    cache = render._bytecode_cache()
    assert isinstance(cache, jinja2.FileSystemBytecodeCache)
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"a": "{{ 6 }} by 9"}), bytecode_cache=cache
    )
    assert environment.get_template("a").render() == "6 by 9"
    (kept,) = (tmp_path / "__pycache__").iterdir()
    kept.write_bytes(kept.read_bytes()[:-5])  # damage is noticed, and mended
    again = jinja2.Environment(
        loader=jinja2.DictLoader({"a": "{{ 6 }} by 9"}), bytecode_cache=cache
    )
    assert again.get_template("a").render() == "6 by 9"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert render._bytecode_cache() is None
