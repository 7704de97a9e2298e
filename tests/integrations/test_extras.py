"""What an integration says where its library is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("extra", "library"),
    [("sklearn", "sklearn"), ("torch", "torch"), ("onnx", "onnx"), ("dask", "dask")],
)
def test_the_error_names_the_extra(extra: str, library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import maddjit.integrations.{extra}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"pip install 'maddjit[{extra}]'" in done.stderr.splitlines()[-1]


def test_integrations_have_short_names_and_load_when_asked_for() -> None:
    import maddjit

    code = "import sys, maddjit; maddjit.sklearn.speed_up; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    code = "from maddjit.sklearn import speed_up; import maddjit.sklearn as short; "
    code += "import maddjit.integrations.sklearn as long; print(short.speed_up is long.speed_up)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    with pytest.raises(AttributeError, match="no attribute 'tensorflow'"):
        maddjit.tensorflow  # type: ignore[attr-defined]  # noqa: B018
