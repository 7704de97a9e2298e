"""Fit, compile and run one operator from an installed wheel; templates must be inside it."""

import tempfile
from pathlib import Path

import numpy as np

import maddjit
from maddjit.compiler.render import templates_folder

package = Path(maddjit.__file__).parent
assert "site-packages" in package.parts, package
assert templates_folder() == package / "templates", templates_folder()
assert (package / "py.typed").is_file()
rng = np.random.default_rng(0)
A = rng.standard_normal((1000, 8)) @ rng.standard_normal((8, 64))
model = maddjit.fit(A, rng.standard_normal((64, 10)), n_codebooks=16)
op = maddjit.compile(model)
assert np.array_equal(op(A), maddjit.reference.apply(model, A))
with tempfile.TemporaryDirectory() as folder:
    exported = op.export(folder, name="head")
    assert "HEAD_N_FEATURES 64" in exported.header.read_text()
    if exported.library:
        rows = A.astype(np.float32)
        assert np.array_equal(maddjit.native.load(folder)(rows), op(rows))
print(f"the wheel works: {op!r}")
