# The project's verbs. `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help run test demo demo-istio demo-consul bench conformance lint lock clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: requirements.lock pyproject.toml
	@echo "installing wasmhub into .venv (first run only)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.installed-test: requirements-test.lock .venv/.installed
	@echo "installing the test extras into .venv (first run only)"
	@$(INSTALL) --require-hashes -r requirements-test.lock
	@touch $@

run: .venv/.installed ## start the hub on http://127.0.0.1:8080
	@$(BIN)/wasmhub serve

test: .venv/.installed-test ## lint, types and the tests that this machine can run, but for those that take long
	@$(BIN)/python -m tests.run

demo: .venv/.installed-test ## push two versions of a filter and watch a real Envoy run them (KEEP=1 leaves it running)
	@KEEP=$(KEEP) $(BIN)/python -m examples.demo

demo-istio: .venv/.installed-test ## the same on an Istio from nothing, as root; builds it first, once (KEEP=1 leaves it running)
	@KEEP=$(KEEP) $(BIN)/python -m examples.meshes istio

demo-consul: .venv/.installed-test ## the same on a Consul from nothing, as root; builds it first, once (KEEP=1 leaves it running)
	@KEEP=$(KEEP) $(BIN)/python -m examples.meshes consul

bench: .venv/.installed-test ## measure beside distribution v3, scaled out, under mixed load, as data grow, and how fast deploys are
	@$(BIN)/python -m benchmarks

conformance: .venv/.installed ## run the official conformance tool: make conformance CONFORMANCE=<binary>
	@$(BIN)/python -m tests.conformance $(CONFORMANCE)

lint: .venv/.installed-test ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: ## pin every dependency anew, with hashes and without addresses (needs uv)
	@uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --extra server --extra build pyproject.toml -o requirements.lock
	@uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --extra server --extra build --extra test -c requirements.lock pyproject.toml -o requirements-test.lock

clean: ## remove what make installed (never ./data)
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
