# The main targets are `make train` and `make test`. Both create an environment and need only Python 3.11+.
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= dev
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
RUN    ?= run/jit-tales
MINUTES ?= 7
EPOCHS ?= 30 # at most, on a fast machine
TORCH_INDEX ?= # such as https://download.pytorch.org/whl/cpu; it has torch, and not all that torch needs

.PHONY: help train test check docs lint types format bench nightly clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

train: $(STAMP) ## train jit-tales on very short stories for MINUTES, evaluate it, and generate (ten minutes in all)
	$(BIN)/jitkit train zoo/jit-tales.toml --out $(RUN) --resume auto --minutes $(MINUTES) --set train.epochs=$(EPOCHS)
	$(BIN)/jitkit eval --checkpoint $(RUN)/best_model.pth
	$(BIN)/jitkit generate $(RUN)/best_model.pth -n 4 --image $(RUN)/pictures --overwrite

test: $(STAMP) lint types ## lint, types, and all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(STAMP) lint types ## lint, types, and the quick tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow'

docs: $(STAMP) ## the documentation site, in build/site/index.html
	$(BIN)/python docs/site/build.py

lint: $(STAMP) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

format: $(STAMP) ## fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

nightly: $(STAMP) ## 20,000 damaged files, and 200 commands killed while they write (half an hour on two cores)
	$(BIN)/python -m tests.nightly.kill --rounds 200
	$(BIN)/python -m tests.nightly.fuzz --inputs 20000 --minutes 30

bench: $(STAMP) ## measure jit-nano on this machine
	$(BIN)/jitkit bench jit-nano

clean: ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist
