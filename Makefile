# make demo: the story of bug 14042.  make test: every check.  make clean: as before.
# make test-long: what is bounded by minutes, not by a number.  make fuzz-inputs SECONDS=60
# TARGETS=replay: whatever is read from outside, given anything.
# make mutants: more than 100 mistakes planted one at a time, each of which some test has to find.
# make test-all: every check on every Python from 3.11 on that is found.
# make test-locked: every check, on the very files that requirements/test.txt names by their hashes.
# make lock: requirements/test.txt anew, with the newest of everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

LOCK := requirements/test.txt
LOCKED := .venv-locked

SECONDS ?= 600

.PHONY: demo test test-all test-locked test-lowest test-long test-sdist
.PHONY: lock stress torture fuzz fuzz-inputs mutants bench docs clean

demo: $(VENV)/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo.sh

test: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

test-all:
	@MAKE="$(MAKE)" $(PYTHON) -m tools.interpreters

test-locked: $(LOCKED)/.installed-locked
	@$(MAKE) --no-print-directory test VENV=$(LOCKED)

test-lowest: $(VENV)/.installed-test
	$(BIN)/pytest tests/test_floors.py

test-sdist: $(VENV)/.installed-test
	$(BIN)/python -m tests.sdist

lock: build/lock/bin/uv
	UV_CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/uv pip compile --quiet --upgrade \
		--universal --python-version 3.11 --generate-hashes --extra test \
		--no-emit-package bhyvesim --output-file $(LOCK) pyproject.toml requirements/build.in

test-long: test-sdist stress torture mutants fuzz fuzz-inputs

stress: $(VENV)/.installed-test
	$(BIN)/python -m tests.stress

torture: $(VENV)/.installed-test
	$(BIN)/python -m tests.torture

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
	$(BIN)/zensical build --strict
	@echo 'the site begins at build/site/index.html'

clean:
	rm -rf $(VENV) .venv-3.* $(LOCKED) build dist .cache
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

build/lock/bin/uv:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv

$(LOCKED)/.installed-locked: $(LOCK) pyproject.toml
	$(PYTHON) -m venv --clear $(LOCKED)
	$(LOCKED)/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --requirement $(LOCK)
	$(LOCKED)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	@touch $@ $(LOCKED)/.installed $(LOCKED)/.installed-test

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
