#!/usr/bin/env bash
# Code for Windows, loaded by its build of llvmlite and run under Wine. Where these are not to be had
# it says so, and nothing is checked. `.ci/windows.sh FOLDER` keeps what is downloaded there.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/windows}")
python=${PYTHON:-.venv/bin/python}
lack() {
  echo "$1: code for Windows is not loaded"
  exit 0
}
[ "$(uname -m)" = x86_64 ] || lack "this is no x86-64"
command -v wine >/dev/null || lack "there is no wine"
"$python" -c 'import ziglang' 2>/dev/null || lack "there is no ziglang"
version=$("$python" -c 'import llvmlite; print(llvmlite.__version__)')
if [ ! -f "$folder/llvmlite.dll" ]; then
  mkdir -p "$folder"
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --platform win_amd64 \
    --dest "$folder" "llvmlite==$version" 2>/dev/null || lack "llvmlite for Windows is not to be had"
  "$python" -m zipfile -e "$folder"/llvmlite-*.whl "$folder/wheel"
  find "$folder/wheel" -name '*.dll' -exec mv {} "$folder" \;
fi
PYTHONPATH="$PWD" "$python" .ci/use_windows.py "$folder"
