SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test ui bench faults lint lock clean

help:  ## Show this list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock requirements-bootstrap.lock pyproject.toml
	@./.ci/install "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(READY)  ## Install what is missing and run the main job on the demo data.
	@$(BIN)/mm demo

test: $(READY)  ## Run every check that CI runs.
	@PATH="$(abspath $(BIN)):$$PATH" ./.ci/check

ui: $(READY)  ## Open the Dagster UI on 127.0.0.1.
	@$(BIN)/mm ui

bench: $(READY)  ## Measure side by side with named peers.
	@$(BIN)/python benchmarks/run.py

faults: $(READY)  ## Kill a batch run at 50 random moments and compare the tables.
	@$(BIN)/python benchmarks/kill_and_rerun.py

lock:  ## Resolve requirements.lock anew.
	@$(BIN)/python -m uv pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links -o requirements.lock

clean:  ## Remove the environment and everything the demo made.
	@rm -rf $(VENV) .dagster_home lake .cache
