# `make` alone explains the targets. Every one of them may be repeated.

python := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup demo up triton test test-triton check eval bench content-encoder clean

help: ## Explain the targets
	@echo "Aisle: every shop's own recommender"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "PORT=8001 make demo listens elsewhere; AISLE_STATE_DIR=/path keeps the data elsewhere."

setup: .venv/set-up ## Install everything Aisle needs into .venv, and find PostgreSQL and Redis
	@$(python) -m infra.local install

.venv/set-up: pyproject.toml constraints.txt
	@infra/local/setup.sh
	@touch $@

demo: setup ## Start Aisle with a shop in it: data, trained models, a storefront to click through
	@$(python) -m infra.local demo

up: setup ## Start Aisle on this machine, without the demo's shop
	@$(python) -m infra.local up

triton: setup ## Start a real Triton server of this machine's releases, for `make up` elsewhere
	@$(python) -m infra.local triton

test: setup ## Run the tests against real PostgreSQL and Redis
	@$(python) -m pytest

test-triton: setup ## Run the tests of recommendations with Triton behind the API
	@AISLE_INFERENCE=triton $(python) -m pytest tests/backend/recommend tests/backend/triton

check: .venv/set-up ## Formatting, types, import directions, lengths: what must hold before a commit
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports
	$(python) -m infra.checks

eval: setup ## Measure recommendation quality on public data, and write docs/quality.md
	@$(python) -m tests.eval

bench: setup ## Measure speed against ceilings taken in the same run
	@$(python) -m tests.benchmarks

content-encoder: ## Install the optional sentence encoder into .venv-content
	@infra/local/content_encoder.sh

clean: ## Stop the servers, and delete their data and .venv
	@if [ -x $(python) ]; then $(python) -m infra.local remove; fi
	rm -rf .venv .venv-content .local .pytest_cache .ruff_cache .import_linter_cache
