"""The page of ``maddjit inspect --html``: whole in itself, and a browser draws all of it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import maddjit
from maddjit.cli import main
from tests.random_models import random_model

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

REPORTER = """<script>
addEventListener("load", () => {
  const images = [...document.images];
  const folds = document.querySelectorAll("details").length;
  const told = {widths: images.map(image => image.naturalWidth), folds};
  const pre = document.body.appendChild(document.createElement("pre"));
  pre.id = "told";
  pre.textContent = JSON.stringify(told);
  console.error("the end of the log");
});
</script></body>"""
"""Writes what the browser made of the figures into the page, and says so in the log."""


def page_of(folder: Path, is_tile: bool) -> str:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 16)), np.eye(16, 9)
    np.save(folder / "A.npy", A)
    np.save(folder / "B.npy", B)
    options = ["--tile", "2"] if is_tile else ["--codebooks", "4"]
    inputs = [str(folder / "A.npy"), str(folder / "B.npy")]
    model, target = str(folder / "a <model> & more.npz"), str(folder / "page.html")
    assert main(["fit", *inputs, "-o", model, *options]) == 0
    rows = [] if is_tile else ["--rows", inputs[0]]
    assert main(["inspect", model, "--html", target, *rows]) == 0
    return Path(target).read_text()


@pytest.mark.parametrize("is_tile", [False, True])
def test_the_page_is_whole_in_itself(tmp_path: Path, is_tile: bool) -> None:
    text = page_of(tmp_path, is_tile)
    assert "a &lt;model&gt; &amp; more.npz" in text
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import""", text)
    stages = re.findall(r"<details><summary>([\w.]+?)(?:\.rows\.\d+)? ", text)
    expected = ["encode", "multiply"] if is_tile else ["kernel", "encode.codebooks", "scan.0"]
    assert set(expected) <= set(stages)
    assert "sha256" in text
    assert "Largest loop" in text


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
@pytest.mark.parametrize("is_tile", [False, True])
def test_a_browser_draws_it(tmp_path: Path, is_tile: bool) -> None:
    pytest.importorskip("matplotlib")
    text = page_of(tmp_path, is_tile)
    text = text.replace("default-src 'none';", "default-src 'none'; script-src 'unsafe-inline';")
    page = tmp_path / "told.html"
    page.write_text(text.replace("</body>", REPORTER))
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    logged = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len(logged) == 1, logged
    assert "the end of the log" in logged[0]
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout)
    assert found
    told = json.loads(html.unescape(found[1]))
    assert len(told["widths"]) == 4
    assert min(told["widths"]) > 100
    assert told["folds"] > 3


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7)
    maddjit.save(model, tmp_path / "m.npz")
    assert main(["inspect", str(tmp_path / "m.npz"), "--html", str(tmp_path / "p.html")]) == 0
    assert "Matplotlib is not installed" in (tmp_path / "p.html").read_text()
