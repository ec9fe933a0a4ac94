# `make demo` and `make test` are all that a fresh clone needs. Everything is installed into .venv;
# nothing outside this folder is changed but pip's own cache.

PYTHON ?= python3
VENV := .venv
IN_VENV := $(VENV)/bin/python

# These files say what has been done: .venv may also have been made by hand, by uv or half.
CREATED := $(VENV)/.convsmith-created
RUNTIME := $(VENV)/.convsmith-runtime
DEVELOPMENT := $(VENV)/.convsmith-development

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PIP_INSTALL := PIP_USER=0 $(IN_VENV) -m pip install --disable-pip-version-check

# An environment whose Python is gone, as after an upgrade of the system, was never made.
$(shell [ ! -e $(CREATED) ] || $(IN_VENV) -c '' 2>/dev/null || rm -f $(CREATED) $(RUNTIME) $(DEVELOPMENT))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo setup test lint types pytest

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

demo: $(RUNTIME)  ## Install what is missing, then train on small digits and show the accuracy
	$(IN_VENV) -m convsmith train digits

setup: $(DEVELOPMENT)  ## Install what training and the tests need into .venv

test: lint types pytest  ## Install what is missing, then run lint, types and all tests

lint: $(DEVELOPMENT)  ## Check style and formatting
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .

types: lint  ## Check types
	$(IN_VENV) -m mypy

pytest: types  ## Run the tests; make pytest ARGS="tests/cli -x" runs some of them
	OMP_NUM_THREADS=1 $(IN_VENV) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

$(DEVELOPMENT): $(CREATED) pyproject.toml
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $(RUNTIME) $@

$(RUNTIME): $(CREATED) pyproject.toml
	$(PIP_INSTALL) --editable .
	@touch $@

# An environment that works is kept, whoever made it. One whose Python is too old or gone is replaced.
$(CREATED):
	@if $(IN_VENV) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		$(IN_VENV) -m pip --version >/dev/null 2>&1 || $(IN_VENV) -m ensurepip; \
	else \
		command -v $(PYTHON) >/dev/null || { \
			echo "convsmith needs Python 3.11 or newer, and there is no $(PYTHON) here;" \
				"if it has another name: make PYTHON=python3.12" >&2; exit 1; }; \
		$(PYTHON) -c '$(NEW_ENOUGH)' || { \
			echo "convsmith needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
				"if a newer one has another name: make PYTHON=python3.12" >&2; exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu:" \
				"apt install python3-venv" >&2; exit 1; }; \
		$(PYTHON) -m venv --clear $(VENV); \
	fi
	@touch $@
