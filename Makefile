# Everything a newcomer needs: Python 3.11 or newer with pip, make and git. `make` alone lists the targets.

# The first interpreter that is new enough; override with `make PYTHON=/path/to/python run`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SCENARIO ?= village
SEED ?= 1
MESSAGES ?= 1000000

.DEFAULT_GOAL := help
.PHONY: help run test test-slow lint format types bench docs check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.core  ## install, let the village trade for a day, print the report's path (SCENARIO=, SEED=)
	$(BIN)/wattbook run $(SCENARIO) --seed $(SEED)

test: $(VENV)/.dev  ## install what tests need and run the suite without the slow tests
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev  ## run the slow tests alone
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev  ## style and likely bugs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## let ruff format the code and mend what it safely can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy

bench: $(VENV)/.bench  ## race the matching kernel against other order books (MESSAGES=)
	$(BIN)/python benchmarks/matching.py --messages $(MESSAGES)

docs: $(VENV)/.dev  ## write the generated pages of docs/ anew
	$(BIN)/python -m api.cli_reference > docs/cli.md
	$(BIN)/python -m api.message_reference > docs/messages.md
	$(BIN)/python -m api.stream_reference > docs/stream.md
	$(BIN)/python -c 'from agents.scenario import reference; print(reference(), end="")' > docs/scenario.md
	$(BIN)/python -c 'from agents.laboratory_file import reference; print(reference(), end="")' > docs/laboratory-file.md

check: lint types test  ## lint, types and tests

clean:  ## remove caches and build output; the environment and runs/ stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Stamps: an environment is built once and again when its description changes.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; name one: make PYTHON=/path/to/python run" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.core

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[bench]'
	@touch $@ $(VENV)/.core
