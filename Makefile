# make demo: the story of bug 14042.  make test: every check.  make clean: as before.
# make test-long: what is bounded by minutes, not by a number.
# make test-all: every check on every Python from 3.11 on that is found.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all test-long stress torture fuzz bench docs clean

demo: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

test-all:
	@MAKE="$(MAKE)" $(PYTHON) -m tools.interpreters

test-long: stress torture fuzz

stress: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress

torture: $(VENV)/.installed-test
	$(BIN)/python -m tests.torture

fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-test
	$(BIN)/python -m tools.schemas
	$(BIN)/python -m tools.keys
	$(BIN)/python -m tools.helps
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.manpages
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

$(VENV)/.installed-bench: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@ $(VENV)/.installed
