#!/usr/bin/env bash
# The package on aarch64: Debian's arm64 Python and PyPI's wheels, emulated. Where these are not to
# be had, it says so and nothing is checked. `.ci/aarch64.sh FOLDER` keeps what is downloaded there.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/aarch64}")
python=${PYTHON:-.venv/bin/python}
lack() {
  echo "$1: the package is not run on aarch64"
  exit 0
}
for tool in apt-get dpkg qemu-aarch64-static; do
  command -v $tool >/dev/null || lack "there is no $tool"
done
apt="$folder/apt"
mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial
: >"$apt/status"
# An installation of its own: that of this machine stays as it is.
cat >"$apt/conf" <<END
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Debug::NoLocking "true";
END
if [ ! -x "$folder/root/usr/bin/python3" ]; then
  { APT_CONFIG="$apt/conf" apt-get update -qq &&
    APT_CONFIG="$apt/conf" apt-get install -y -qq --download-only --no-install-recommends \
      python3 libstdc++6; } >/dev/null 2>&1 || lack "Debian's Python for arm64 is not to be had"
  for package in "$apt"/cache/archives/*.deb; do dpkg -x "$package" "$folder/root"; done
fi
emulated() {
  PYTHONPATH="$PWD:$folder/site" PYTHONDONTWRITEBYTECODE=1 MADDJIT_CACHE_DIR="$folder/cache" \
    OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
    qemu-aarch64-static -L "$folder/root" "$folder/root/usr/bin/python3" "$@"
}
version=$(emulated -c 'import sys; print(".".join(map(str, sys.version_info[:2])))')
if [ ! -d "$folder/site" ]; then
  mapfile -t needed < <("$python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["dependencies"], sep="\n")')
  platforms=(--platform manylinux2014_aarch64)
  for minor in 27 28 31 34; do platforms+=(--platform "manylinux_2_${minor}_aarch64"); done
  "$python" -m pip install --quiet --only-binary=:all: "${platforms[@]}" \
    --python-version "$version" --target "$folder/site.part" "${needed[@]}" 2>/dev/null ||
    lack "wheels for aarch64 are not to be had"
  mv "$folder/site.part" "$folder/site"
fi
rm -rf "$folder/cache" "$folder/model.npz"
mkdir -m 700 "$folder/cache"
emulated .ci/use_aarch64.py "$folder"
emulated .ci/use_aarch64.py "$folder"
