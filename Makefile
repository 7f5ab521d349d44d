# make setup | quickstart | lint | test | test-all | test-interop | support | bench ARGS="..."

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-done

.PHONY: setup quickstart lint test test-all test-interop support bench

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

# One process per core, each on one thread: the tests' models are too small for more.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --ignore tests/interop

test: lint
	$(TESTS) -m "not slow"

test-all: lint
	$(TESTS)

# Other projects' harnesses bring so many packages that they get an environment of their own.
test-interop:
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/pip install -q -c constraints.txt torch==2.13.0
	.venv-interop/bin/pip install -q -c constraints.txt -e '.[inspect,lm-eval]' pytest pytest-timeout beartype hypothesis
	OMP_NUM_THREADS=1 .venv-interop/bin/python -m pytest tests/interop

# What does not pass is missing from the page; results of other devices stay in it.
support: setup
	-$(BIN)/python -m pytest tests/support --support docs/support.json
	$(BIN)/python -m fairlead.pipeline.docs.support docs/support.json

bench: setup
	$(BIN)/python -m benchmarks.suite $(ARGS)
