# `make train` and `make test` do all the set-up themselves; a second call starts at once.
# ARGS are handed on: make train ARGS="seed=1 epochs=2", make test ARGS="-k pooling".

VENV   ?= .venv
PYTHON ?=
EXTRAS ?= test
ARGS   ?=
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready-$(EXTRAS)

.DEFAULT_GOAL := help
.PHONY: help setup train test lint clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt .ci/setup
	@sh .ci/setup "$(VENV)" "$(EXTRAS)" "$(PYTHON)"
	@touch "$@"

setup: $(READY)  ## make the virtual environment (EXTRAS=test,bench,... for more)

train: $(READY)  ## train on Fashion-MNIST: the main job
	@$(BIN)/python -m experiments.train experiment=fashion $(ARGS)

test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(READY)  ## check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && \
		$(BIN)/pyrefly check --python-interpreter-path $(BIN)/python --summary=none

clean:  ## remove the virtual environment and caches (not the outputs)
	rm -rf $(VENV) .venv-newer .jax_cache .pytest_cache .ruff_cache .hypothesis
