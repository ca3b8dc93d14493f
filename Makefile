# Thin on purpose: each target sets up what it needs and hands over to one command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up test check bench proto tools clean

up: $(VENV)/.installed-demo
	$(BIN)/meshwright up

test: $(VENV)/.installed-dev tools
	$(BIN)/pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/baseline.binpb
	scripts/proto.sh --check

bench: $(VENV)/.installed-dev tools
	$(BIN)/python -m bench

proto: $(VENV)/.installed-dev
	scripts/proto.sh

# The real parts that tests compare with: Consul, Envoy. What cannot be had is said, and its tests skip.
tools: $(VENV)/.installed-dev
	scripts/tools.sh

$(VENV)/.installed-demo: pyproject.toml constraints.txt
	scripts/venv.sh $(PYTHON) $(VENV) demo
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	scripts/venv.sh $(PYTHON) $(VENV) demo,operator,dev
	touch $@ $(VENV)/.installed-demo

clean:
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
