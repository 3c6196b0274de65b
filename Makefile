# Every target does its own set-up: the virtual environment is made when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
DEMO := spectra-demo

.DEFAULT_GOAL := help
.PHONY: help setup browser demo format lint test bench same-numbers docs site package check clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "spectra needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $(STAMP)

setup: $(STAMP)  ## make the virtual environment with pinned dependencies

browser:  ## install Chromium, which the tests of reports open pages in (Debian, as root)
	command -v chromium google-chrome >/dev/null || { apt-get update -qq && apt-get install -qq -y chromium; }

demo: $(STAMP)  ## train two tiny runs, scan both, show the tables
	$(BIN)/spectra demo --output $(DEMO)

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

lint: $(STAMP)  ## style, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

bench: $(STAMP)  ## the table of speed and memory claims, against rivals from PyPI
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement benchmarks/requirements-no-deps.txt
	$(BIN)/python -m benchmarks.run

same-numbers: $(STAMP)  ## whether the working tree measures bit for bit what the commit BASE=... measures
	OMP_NUM_THREADS=2 $(BIN)/python -m benchmarks.same_numbers $(BASE)

docs: $(STAMP)  ## write the generated pages again (CLI reference, README pictures)
	$(BIN)/python docs/generate.py

site: $(STAMP)  ## build the documentation into site/, to be opened as site/index.html
	$(BIN)/python -m docs.site site

package: $(STAMP)  ## build wheel and sdist, check both, and run the wheel in an empty environment
	rm -rf build dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear build/empty
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cd build && empty/bin/spectra demo --output demo && empty/bin/spectra explain missing-extra

check: lint test  ## what CI runs

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(DEMO) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
