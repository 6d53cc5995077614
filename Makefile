# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv and install into it first.
# PYTHON=python3.12 chooses another interpreter; TORCH_ARGS="--index-url …" another build of PyTorch (see the README).

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_ARGS ?=
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
FAULTS_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup venv demo test lint bench faults notebooks docs clean

help:
	@echo "make demo       install, compare the generations on the embedded default, say where the report is"
	@echo "make test       install and run the tests (TEST_ARGS=\"-k ngram\" chooses some)"
	@echo "make lint       ruff and mypy"
	@echo "make bench      measure against peers (BENCH_ARGS=--quick for twenty minutes)"
	@echo "make notebooks  execute the notebooks of examples/ anew"
	@echo "make docs       build the documentation, which \`stemma docs\` opens, and which a wheel that is built then carries"
	@echo "make faults     kill commands at every file operation, fill disks at every write, damage every file (hours; FAULTS_ARGS=\"--most 3\")"
	@echo "make clean      remove .venv, caches and the demo's folder"

setup venv: .venv/installed-dev

.venv/bin/python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "$(or $(PYTHON),python3) is missing or too old. Stemma needs Python 3.11 or newer. Install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
		exit 2; fi
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "The venv module failed. Stemma installs into .venv. Install your system's package python3-venv, then run make again." >&2; exit 2; }

# torch stands alone and first, so that the build asked for is the build that stays.
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing PyTorch (the largest part: minutes on a slow line)"
	@$(PIP) $(TORCH_ARGS) torch
	@echo "installing Stemma"
	@$(PIP) -e ".[eval,report]"
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "installing what the tests need"
	@$(PIP) -e ".[dev]"
	@touch $@

.venv/installed-bench: .venv/installed
	@echo "installing the peers that Stemma is measured against"
	@$(PIP) -e ".[bench]"
	@touch $@

.venv/installed-notebooks: .venv/installed
	@echo "installing what executes the notebooks"
	@$(PIP) -e ".[notebooks]"
	@touch $@

.venv/installed-docs: .venv/installed
	@echo "installing what builds the documentation"
	@$(PIP) -e ".[docs]"
	@touch $@

demo: .venv/installed
	@$(BIN)/stemma demo --out demo $(DEMO_ARGS)
	@echo "report: $(CURDIR)/demo/report.html"

# Two workers of one thread each; a file's tests stay together, for they share what takes long to make. The tests start processes
# by the hundred, each of which would compile the sources anew where the environment forbids to keep bytecode.
test: .venv/installed-dev
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(TEST_ARGS)

lint: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

bench: .venv/installed-bench
	@$(BIN)/python bench/pretrain.py $(BENCH_ARGS)
	@$(BIN)/python bench/translate.py $(BENCH_ARGS)
	@$(BIN)/python bench/recurrent.py
	@$(BIN)/python bench/projected.py
	@$(BIN)/python bench/sampled.py
	@$(BIN)/python bench/static.py $(BENCH_ARGS)
	@$(BIN)/python bench/startup.py $(BENCH_ARGS)

# Executes the notebooks anew, where they lie: a quarter of an hour.
notebooks: .venv/installed-notebooks
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter nbconvert --ExecutePreprocessor.timeout=-1 --to notebook --execute --inplace examples/notebooks/*.ipynb

docs: .venv/installed-docs
	@$(BIN)/python docs/build.py

# One thread each, and one command at a time.
faults: .venv/installed-dev
	@OMP_NUM_THREADS=1 $(BIN)/python tests/faults/operations.py $(FAULTS_ARGS)
	@OMP_NUM_THREADS=1 $(BIN)/python tests/faults/kills.py
	@OMP_NUM_THREADS=1 $(BIN)/python tests/damage/trials.py --count 12

clean:
	@rm -rf .venv demo build dist src/stemma/site src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
