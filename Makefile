# `make run` and `make test` set up what is missing. Everything happens in .venv; nothing is installed outside of it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SOURCE ?= sim:
DATA ?= ../shared/data/fire-smoke
WEIGHTS ?= ../shared/pretrained

.PHONY: run test check fmt lint type unit fault e2e bench lock wheel docs clean \
	train-setup train-classifier train-detector export quantize calibrate evaluate

## run: both services and a camera on this machine; SOURCE=rtsp://… plays another camera
run: $(VENV)/.ready-cpu
	SOURCE='$(SOURCE)' bash deploy/run.sh

## test: the whole suite, as CI runs it
test: $(VENV)/.ready-dev check
	$(BIN)/python -m pytest -q

## check: formatting, lint, import rules, types
check: $(VENV)/.ready-dev lint type
	$(BIN)/ruff format --check .

fmt: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports

type: $(VENV)/.ready-dev
	$(BIN)/mypy

unit: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q tests/unit tests/contract

fault: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -m fault

e2e: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q tests/e2e

## bench: every speed and memory number, as ratios within one run; writes bench/results.json
bench: $(VENV)/.ready-dev
	$(BIN)/python -m bench

## docs: pages that are generated from the code
docs: $(VENV)/.ready-cpu
	$(BIN)/python -m docs.generate

## lock: pin every package with its hash, from the bounds in pyproject.toml
lock: $(VENV)/.ready-dev
	$(PIP) install pip-tools
	PIP="$(BIN)/pip-compile" bash deploy/lock.sh

wheel: $(VENV)/.ready-dev
	$(PIP) wheel --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis run

# One stage, one file; each reads what the one before wrote. On a CPU the two trainings take hours, on a GPU minutes.
train-setup: $(VENV)/.ready-train
train-classifier train-detector export quantize calibrate evaluate: $(VENV)/.ready-train
	$(BIN)/python -m models.$(subst -,_,$@) --data $(DATA) --weights $(WEIGHTS) $(ARGS)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-cpu: deploy/locks/cpu.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r deploy/locks/cpu.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.ready-dev: deploy/locks/dev.txt $(VENV)/.ready-cpu
	$(PIP) install --require-hashes -r deploy/locks/dev.txt
	touch $@

$(VENV)/.ready-train: $(VENV)/.ready-dev
	$(PIP) install -e '.[train]'
	touch $@
