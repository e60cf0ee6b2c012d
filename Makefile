# make demo: the story of bug 14042.  make test: every check.  make clean: as before.
# make test-long: what is bounded by minutes, not by a number.  make fuzz-inputs SECONDS=60
# TARGETS=replay: whatever is read from outside, given anything.
# make mutants: more than 100 mistakes planted one at a time, each of which some test has to find.
# make test-all: every check on every Python from 3.11 on that is found.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

SECONDS ?= 600

.PHONY: demo test test-all test-long stress fuzz fuzz-inputs mutants bench docs clean

demo: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

test-all:
	@MAKE="$(MAKE)" $(PYTHON) -m tools.interpreters

test-long: stress fuzz fuzz-inputs

stress: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz

fuzz-inputs: $(VENV)/.installed-fuzz
	$(BIN)/python -m tests.fuzz_inputs --seconds $(SECONDS) $(TARGETS)

mutants: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutants

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-test
	$(BIN)/python -m tools.schemas
	$(BIN)/python -m tools.keys
	$(BIN)/python -m tools.helps
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.manpages
	$(BIN)/python -m tools.pictures
	$(BIN)/mkdocs build --strict --quiet
	@echo 'the site is in build/site'

clean:
	rm -rf $(VENV) .venv-3.* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-fuzz: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,fuzz]'
	@touch $@ $(VENV)/.installed-test $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@ $(VENV)/.installed
