# Thin on purpose: each target sets up what it needs and hands over to one command.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
# A dozen processes start here at once, and tests start hundreds: none should compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE
IMAGE ?= localhost/meshwright:0.1

.PHONY: venv up tour test test-fast coverage check hooks bench docs proto tools plugin image release kind-up kind-down clean

# The commands `meshwright` and `kubectl meshwright`, in $(VENV)/bin.
venv: $(VENV)/.installed-demo

up: $(VENV)/.installed-demo
	$(BIN)/meshwright up --demo

# The lecture's slides, visited on what `make up` runs.
tour: $(VENV)/.installed-demo
	$(BIN)/meshwright tour

# Worksteal: a worker that has nothing left to do takes tests of another.
test: $(VENV)/.installed-dev tools
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

# What needs no other process: a minute or so.
test-fast: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses $(WORKERS) -m "not slow" tests/unit tests/project

# How much of the code the tests of test-fast run: a table of what is not run throughout, and the sum.
coverage: $(VENV)/.installed-dev
	$(BIN)/pytest --numprocesses $(WORKERS) -m "not slow" tests/unit --cov --cov-report=term:skip-covered

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/buf breaking protos --against protos/baseline.binpb
	scripts/proto.sh --check
	scripts/javascript.sh check

# Git hooks: the checks of what is committed, and of the commit's subject.
hooks: $(VENV)/.installed-dev
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type commit-msg

bench: $(VENV)/.installed-dev tools
	$(BIN)/python -m bench

# The documentation site, into dist/site/: without a network, warnings as errors.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

proto: $(VENV)/.installed-dev
	scripts/proto.sh

# The real parts that tests compare with: Consul, Envoy, gRPC clients in other languages. Missing ones are listed, and their tests skip.
tools: $(VENV)/.installed-dev
	scripts/tools.sh

# kubectl meshwright for krew: an archive for each platform, and the manifest with their checksums, in dist/plugin/.
plugin: $(VENV)/.installed-dev
	$(BIN)/python scripts/make_plugin.py

image:
	docker build --tag $(IMAGE) .

# The wheels, the chart and the image of a release, with SBOMs and checksums, in dist/release/.
release: $(VENV)/.installed-dev
	scripts/release.sh $(IMAGE)

# A cluster in Docker with the chart on it; needs docker, kind and helm.
kind-up: image
	kind get clusters | grep -qx meshwright || kind create cluster --config k8s/kind.yaml
	kind load docker-image $(IMAGE) --name meshwright
	helm upgrade --install mw helm/meshwright --namespace mesh --create-namespace --kube-context kind-meshwright --wait --timeout 5m

kind-down:
	kind delete cluster --name meshwright

$(VENV)/.installed-demo: pyproject.toml services/pyproject.toml constraints.txt
	scripts/venv.sh $(PYTHON) $(VENV) demo
	touch $@

$(VENV)/.installed-dev: pyproject.toml services/pyproject.toml operator/pyproject.toml constraints.txt
	scripts/venv.sh $(PYTHON) $(VENV) dev
	touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-docs: pyproject.toml services/pyproject.toml operator/pyproject.toml constraints.txt
	scripts/venv.sh $(PYTHON) $(VENV) docs
	touch $@

clean:
	rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
