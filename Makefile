# cemrad: `make help` lists what there is.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: help install demo test test-all lint bench bench-models bench-peers bench-truth equality clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP)  ## a virtual environment with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)  ## the whole pipeline on the phantom cohort, to a report
	$(BIN)/cemrad demo --output runs/demo

test: $(STAMP) lint  ## lint, types and the default tests (under 15 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(STAMP) lint  ## the default tests and the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile -m ''

# mypy wants the package under its own name, and a checkout may have any name.
lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@folder=$$(mktemp -d) && ln -s "$(CURDIR)" "$$folder/cemrad" && cd / && \
	  MYPYPATH="$$folder" "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" \
	  --cache-dir "$(CURDIR)/.mypy_cache" -p cemrad; status=$$?; rm -r "$$folder"; exit $$status

bench: $(STAMP)  ## how fast extraction is here, against pyradiomics and Nyxus (35 minutes on 2 cores)
	$(BIN)/python tests/bench.py

bench-models: $(STAMP)  ## an evaluation of 900 cases, 530 columns and five endpoints: time and memory (3 minutes)
	$(BIN)/python tests/bench_models.py

bench-peers: $(STAMP)  ## our default against other modelling on published tables, AutoGluon among it (30 minutes)
	$(BIN)/python tests/bench_model_peers.py

bench-truth: $(STAMP)  ## whether an evaluation finds what was planted in tables and phantoms (20 minutes)
	$(BIN)/python tests/bench_truth.py

equality: $(STAMP)  ## the native engine against pyradiomics on whole pictures, every feature (20 minutes on 2 cores)
	$(BIN)/python tests/equality.py

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) build dist *.egg-info runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
