# `make demo` and `make test` are all that a new user needs: each sets up what is missing first.
.DEFAULT_GOAL := help
MINUTES ?= 30
PYTHON_BIN := .venv/bin/python

.PHONY: help setup demo test test-all drills lint docs format lock

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

setup:  ## install everything into .venv (quick when nothing changed)
	@bash scripts/setup.sh

demo: setup  ## watch a tiny VLA learn by reinforcement on two CPU cores (MINUTES=30; 3 is a taste)
	.venv/bin/vlarl demo --minutes $(MINUTES)

test: setup  ## the tests that finish in minutes
	$(PYTHON_BIN) -m pytest

test-all: setup  ## every test, the slow proofs included
	$(PYTHON_BIN) -m pytest -m ''

drills: setup  ## break a running system in every way, and show what held
	$(PYTHON_BIN) -m drills

lint: setup  ## formatter, linter, types, import contract, documents
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTHON_BIN) -m docs.build --check

docs: setup  ## generated parts, references and the site of the documents
	$(PYTHON_BIN) -m docs.build

format: setup  ## rewrite in the house style
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

lock: setup  ## resolve pyproject.toml into requirements/ again
	bash scripts/lock.sh
