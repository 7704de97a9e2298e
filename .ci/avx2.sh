#!/usr/bin/env bash
# Tests whose answers the CPU's own instructions could change, on an emulated CPU that has AVX2 and
# nothing newer: products of bytes in other libraries, and NumPy's products beside exact winners.
# Where that is not to be had, it says so and nothing is checked.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
lack() {
  echo "$1: nothing is tested on an emulated CPU with AVX2 alone"
  exit 0
}
[ "$(uname -m)" = x86_64 ] || lack "this is no x86-64"
command -v qemu-x86_64-static >/dev/null || lack "there is no qemu-x86_64-static"
interpreter=$("$python" -c 'import sys; print(sys._base_executable)')
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# The emulator warns of each feature of a Haswell that it lacks; no test depends on those.
PYTHONPATH="$PWD:$packages" OPENBLAS_NUM_THREADS=1 \
  qemu-x86_64-static -cpu Haswell "$interpreter" -m pytest -q -p no:cacheprovider \
  tests/benchmarks/test_rivals.py tests/operators/test_winners.py tests/compiler/test_target.py \
  -k "nearly_exact or bytes_are or audit or test_target" 2> >(grep -v "TCG doesn't support" >&2)
