# Two commands matter: `make train` and `make test`. Both make their own environment and need nothing but Python 3.11+.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= dev
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
RUN    ?= run/jit-nano

.PHONY: help train test check lint types format bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

train: $(STAMP) ## train jit-nano on the embedded corpus, evaluate it, let it write (two cores: ten minutes with fast bf16, forty without)
	$(BIN)/jitkit train zoo/jit-nano.toml --out $(RUN) --resume auto
	$(BIN)/jitkit eval --checkpoint $(RUN)/best_model.pth
	$(BIN)/jitkit generate $(RUN)/best_model.pth -n 4 --image $(RUN)/pictures

test: $(STAMP) lint types ## lint, types and all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(STAMP) lint types ## the fast part: lint, types and the quick tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## print the figures of research/, with the machine
	for file in $$(grep -l __main__ research/*.py); do echo "== $$file"; $(BIN)/python -m research.$$(basename $$file .py) || exit 1; done

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
