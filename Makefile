# Plain `make` prints this list. ARGS= is passed on: make unit ARGS="-k fold", make demo ARGS="--port 8000".
.DEFAULT_GOAL := help
.PHONY: help setup fmt lint unit check test chaos bench docs lock demo clean
PY := .venv/bin/python
ARGS ?=

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## Virtual environment with everything for running, testing and checking (cached).
	@scripts/setup.sh dev

fmt: setup ## Format the code and mend what can be mended.
	$(PY) -m ruff format . $(ARGS)
	$(PY) -m ruff check --fix . $(ARGS)

lint: setup ## Style, types, architecture, provider definitions, generated files and docs are current.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q tests/unit/test_architecture.py tests/unit/schemas tests/unit/test_docs.py tests/unit/test_provider_pages.py
	$(PY) -m services.cli providers lint

unit: setup ## Unit tests: pure parts, no servers; under a minute.
	$(PY) -m pytest -q tests/unit $(ARGS)

check: lint unit ## Before each commit.

test: setup ## Unit, integration and end-to-end tests on a real Kafka and a real Valkey; what CI runs.
	$(PY) -m pytest -q -m "not chaos" tests $(ARGS)

chaos: setup ## Kill things for minutes, and prove that nothing is lost.
	$(PY) -m pytest -q -m chaos tests $(ARGS)

bench: setup ## Side-by-side benchmarks; one of them: make bench ARGS=aggregator.
	$(PY) -m services.cli bench $(ARGS)

docs: setup ## Write the generated references: schemas/generated, docs/reference, docs/providers.
	$(PY) -m schemas.generate
	$(PY) -m services.cli providers schema > schemas/generated/provider.schema.json
	$(PY) -m schemas.metrics_page
	$(PY) -m scripts.reference
	$(PY) -m scripts.provider_pages

lock: setup ## Pin requirements*.in with hashes.
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --custom-compile-command "make lock" requirements.in -o requirements.txt $(ARGS)
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-annotate --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt $(ARGS)

demo: ## Everything on this machine, with simulated providers; open the address it prints.
	@scripts/setup.sh run
	@exec .venv/bin/parallax up $(ARGS)

clean: ## Remove the virtual environment and what tools left behind; downloads stay in the user's cache.
	rm -rf .venv build dist var *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
