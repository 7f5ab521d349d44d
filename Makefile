# make setup | quickstart | lint | test | test-all | support | bench ARGS="..."

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-done

.PHONY: setup quickstart lint test test-all support bench

setup: $(STAMP)

# torch comes first and alone, at its pinned version, so that no dependency can pull in another build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

quickstart: setup
	$(BIN)/fairlead quickstart

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-all: lint
	$(BIN)/python -m pytest

# What does not pass is missing from the page; results of other devices stay in it.
support: setup
	-$(BIN)/python -m pytest tests/support --support docs/support.json
	$(BIN)/python -m fairlead.pipeline.docs.support docs/support.json

bench: setup
	$(BIN)/python -m benchmarks.suite $(ARGS)
