# `make run` and `make test` set up what is missing. Everything happens in .venv; nothing is installed outside of it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
GPU_VENV := .venv-gpu
SOURCE ?= sim:
DATA ?= ../shared/data/fire-smoke
WEIGHTS ?= ../shared/pretrained

.PHONY: run demo test check fmt lint type unit fault e2e bench bench-cameras bench-origin bench-pages bench-cloud bench-gpu bench-policy bench-policy-full bench-soak lock wheel docs screenshots clean \
	train-setup train-classifier train-detector distil folds contact-sheets export quantize calibrate evaluate

## run: both services and a camera on this machine; SOURCE=rtsp://… plays another camera
run: $(VENV)/.ready-cpu
	SOURCE='$(SOURCE)' exec bash deploy/run.sh

## demo: a tour of about two minutes: a rendered fire, a cut network, a restart; nothing may be lost
demo: $(VENV)/.ready-cpu
	$(BIN)/python deploy/demo

## test: the whole suite, as CI runs it; most tests wait for something, so two processes share the files
test: $(VENV)/.ready-dev check
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

## check: formatting, lint, import rules, types
check: $(VENV)/.ready-dev lint type
	$(BIN)/ruff format --check .

fmt: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports

# The training code is checked where its libraries are installed (`make train-setup`).
type: $(VENV)/.ready-dev
	if $(BIN)/python -c 'import torch' 2>/dev/null; then $(BIN)/mypy; \
	else $(BIN)/mypy -p edge -p cloud -p shared -p bench -p docs -p tests.helpers; fi

unit: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q tests/unit tests/contract

fault: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -m fault

e2e: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q tests/e2e

## bench: every speed and memory number, as ratios within one run; writes bench/results.json
bench: $(VENV)/.ready-dev
	$(BIN)/python -m bench

## bench-cameras: eight RTSP cameras for two minutes; ARGS="--minutes 30" for the full run
bench-cameras: $(VENV)/.ready-dev
	$(BIN)/python -m bench.cameras $(ARGS)

## bench-origin: what opens an event, and how well its origin is found, on the optional pictures and clips
bench-origin: $(VENV)/.ready-dev
	$(BIN)/python -m bench.origin $(ARGS)

## bench-pages: how soon the edge's pages can be used in a real browser, and what they transfer
bench-pages: $(VENV)/.ready-dev
	$(BIN)/python -m bench.pages $(ARGS)

## bench-cloud: the cloud under load, against the bare loop of its own session; bench-gpu measures the same on a card
bench-cloud: $(VENV)/.ready-dev
	$(BIN)/python -m bench.cloud

# On the machine with the card, in an environment of its own: the two runtimes cannot share one.
bench-gpu:
	@nvidia-smi -L >/dev/null 2>&1 || \
	{ echo "bench-gpu: no NVIDIA card here: nvidia-smi is missing or finds none; run this on the machine with the card" >&2; exit 2; }
	$(MAKE) $(GPU_VENV)/.ready
	$(GPU_VENV)/bin/python -m bench.cloud --device cuda

## bench-policy: the forwarding policies in simulated days and on real pictures, and parity with their reference form
bench-policy: $(VENV)/.ready-dev
	$(BIN)/python -m bench.policy_parity
	$(BIN)/python -m bench.policy
	$(BIN)/python -m bench.policy_footage

bench-policy-full: $(VENV)/.ready-dev
	$(BIN)/python -m bench.policy --full
	$(BIN)/python -m bench.policy_footage

## bench-soak: 90 days of a box in minutes: what grows, drifts or fills
bench-soak: $(VENV)/.ready-dev
	$(BIN)/python -m bench.soak $(ARGS)

## docs: pages that are generated from the code
docs: $(VENV)/.ready-cpu
	$(BIN)/python -m docs.generate

## screenshots: the pictures of the README, of a pair that runs and finds a rendered fire
screenshots: $(VENV)/.ready-dev
	$(BIN)/python -m docs.screenshots

## lock: pin every package with its hash, from the bounds in pyproject.toml
lock: $(VENV)/.ready-dev
	$(PIP) install pip-tools
	PIP="$(BIN)/pip-compile" bash deploy/lock.sh

wheel: $(VENV)/.ready-dev
	$(PIP) wheel --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis run

# One stage, one file in models/; each reads what the one before left in models/runs. The trainings resume from their
# last epoch; on a CPU they take hours, on a GPU minutes. STAGE arguments go into ARGS, for instance ARGS="--epochs 4".
STAGE := $(BIN)/python -m models
train-setup: $(VENV)/.ready-train

train-classifier train-detector: train-setup
	$(STAGE).$(subst -,_,$@) --data $(DATA) --weights $(WEIGHTS) $(ARGS)

## distil: the shipped classifier taught what the detector sees
distil: train-setup
	$(STAGE).distil --data $(DATA) --weights $(WEIGHTS) $(ARGS)

## contact-sheets: the pictures on which models and labels disagree most, to look at
contact-sheets: train-setup
	$(STAGE).contact_sheet --data $(DATA) $(ARGS)

## folds: the classifier trained five times, each time without some sources, which it is then judged on
folds: train-setup
	$(STAGE).folds --data $(DATA) --weights $(WEIGHTS) $(ARGS)

export: train-setup
	$(STAGE).export classifier $(ARGS)
	$(STAGE).export detector $(ARGS)

quantize: train-setup
	$(STAGE).quantize classifier --data $(DATA) $(ARGS)
	$(STAGE).quantize detector --data $(DATA) $(ARGS)

calibrate: train-setup
	$(STAGE).calibrate --data $(DATA) $(ARGS)
	$(STAGE).fit_value --data $(DATA) $(ARGS)

## evaluate: every number of the models, written with their cards and manifests into models/artifacts
evaluate: train-setup
	$(STAGE).evaluate detector --data $(DATA) $(ARGS)
	$(STAGE).evaluate classifier --data $(DATA) $(ARGS)
	$(STAGE).publish classifier --weights $(WEIGHTS)
	$(STAGE).publish detector --weights $(WEIGHTS)
	$(STAGE).half

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-cpu: deploy/locks/cpu.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r deploy/locks/cpu.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.ready-dev: deploy/locks/dev.txt $(VENV)/.ready-cpu
	$(PIP) install --require-hashes -r deploy/locks/dev.txt
	touch $@

$(GPU_VENV)/.ready: deploy/locks/cloud.txt
	$(PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/pip install --quiet --require-hashes -r deploy/locks/cloud.txt
	$(GPU_VENV)/bin/pip install --quiet 'psutil>=6,<8' 'onnxruntime-gpu[cuda,cudnn]'
	touch $@

$(VENV)/.ready-train: $(VENV)/.ready-dev
	$(PIP) install -e '.[train]'
	touch $@
