# `make` lists what there is. Every target sets up what it needs, in .venv.
#
# A comment directly above a target is its description; its first sentence is the line in the list.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

EXTRAS = progress plot safetensors cli sklearn onnx dask

# Levels below those of today's servers, which a machine of any level passes for.
LOWER = x86-64-v3 x86-64

.DEFAULT_GOAL = help
.PHONY: help demo test slow levels lint types wheel extras torch bench experiments winners tiles service kernels networks convolutions docs front clean

# List the targets.
help:
	@awk '/^# / { text = text substr($$0, 2); next } \
	  /^[a-z]+:/ && text { sub(/\. .*|\.$$/, "", text); printf "  make %-12s%s\n", \
	    substr($$0, 1, index($$0, ":") - 1), text } \
	  { text = "" }' $(MAKEFILE_LIST)

# Two layers of a network in several ways: accuracy beside speed, and a picture. Half a minute.
demo: $(VENV)/.examples
	$(BIN)/python examples/demo.py

# Run the quick tests. About three minutes on two idle cores.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

# Run the other tests: longer ones, and every case at every feature level. CI runs them, too.
slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow

# Run the quick tests and all examples as on machines without AVX-512, and without AVX2.
# One level alone: make level-x86-64-v3
levels: $(LOWER:%=level-%)

level-%: $(VENV)/.dev
	MADDJIT_TARGET=$* $(BIN)/python -m pytest -n 2
	MADDJIT_TARGET=$* $(BIN)/python -m pytest -n 2 -m slow tests/test_examples.py

# Check style and formatting with ruff.
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Check types with mypy.
types: $(VENV)/.dev
	$(BIN)/mypy

# Build the wheel, install it where nothing else is, and use it from there.
wheel: $(VENV)/.dev
	rm -rf dist build/wheel-check
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv build/wheel-check
	build/wheel-check/bin/pip install --quiet dist/*.whl
	cd build/wheel-check && bin/python -I $(CURDIR)/.ci/use_wheel.py

# Try the wheel with each extra, in an environment of its own. PyTorch has its own target.
extras: wheel $(EXTRAS:%=extra-%)

extra-%:
	$(PYTHON) -m venv --clear build/extras/$*
	build/extras/$*/bin/pip install --quiet "$$(ls dist/*.whl)[$*]"
	cd build/extras/$* && bin/python -I $(CURDIR)/.ci/use_extra.py $*

# Try the wheel with PyTorch, and run the tests that need it. Its CUDA build takes 6 GB here.
torch: extra-torch
	build/extras/torch/bin/pip install --quiet "$$(ls dist/*.whl)[torch,test]"
	build/extras/torch/bin/python -m pytest -m '' tests/integrations/torch maddjit/integrations \
	  tests/benchmarks/test_networks.py \
	  tests/test_examples.py::test_torch_replace "tests/test_docs.py::test_page[docs/guides/integrations.md]" \
	  "tests/test_docs.py::test_page[docs/guides/trained-layers.md]" \
	  "tests/test_docs.py::test_page[docs/guides/whole-network.md]"

# Measure operators against everything that makes the same product. Some minutes a level on a quiet
# machine. Each suite writes its JSON and its page into benchmarks/results/. On a machine with
# AVX-512 every suite is measured there and, held to it, at AVX2; MADDJIT_TARGET chooses one level.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks performance

# The paper's experiments on real tasks (half an hour or more a level).
experiments: $(VENV)/.tasks
	$(BIN)/python -m benchmarks experiments

# Exact winners against float32, 8 bits and faiss (an hour or so a level).
winners: $(VENV)/.tasks
	$(BIN)/python -m benchmarks winners

# Products by tiles against float32, bfloat16 and 8 bits (a quarter of an hour a level).
tiles: $(VENV)/.bench
	$(BIN)/python -m benchmarks tiles

# What a process that starts and a call through other libraries cost (some minutes a level).
service: $(VENV)/.bench
	$(BIN)/python -m benchmarks service

# Each kind of call beside a peer, and time per row over the number of rows (minutes). It writes the
# plot and the table of docs/kernels.md, too.
kernels: $(VENV)/.bench
	$(BIN)/python -m benchmarks kernels
	$(BIN)/python docs/_ext/kernels_page.py

# Convolutions by look-ups beside 8 bits and float32 (minutes a level).
convolutions: $(VENV)/.bench
	$(BIN)/python -m benchmarks convolutions

# Train small networks with layers of many kinds (some ten hours; it goes on where it stopped). It
# writes the plot and the table of docs/networks.md, too.
networks: $(VENV)/.bench
	$(BIN)/python -m benchmarks networks
	$(BIN)/python docs/_ext/networks_page.py

# Build the documentation as HTML, into build/docs. All of it is built anew, since pages show what
# the code of today prints. A warning is an error, and nothing is fetched.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs build/docs

# Measure the plot and the table of the README, at AVX-512 and at AVX2. A few minutes.
front: $(VENV)/.bench
	$(BIN)/python -m benchmarks.suites.front

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "maddjit needs Python 3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.examples: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[examples]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

$(VENV)/.tasks: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[bench,tasks]'
	touch $@

# Remove what the other targets made: .venv, build and dist.
clean:
	rm -rf $(VENV) build dist
