# Everything starts here, on any machine with make and Python 3.11 or newer: `make help`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
COMPILED := $(VENV)/.compiled
CODE   := $(wildcard bluegreen bot lab tests)
T      ?= tests
ARGS   ?=
# Many tests wait for servers and leases more than they compute.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))')

# Tests start many processes: where nothing may be kept that was compiled, each would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check static format lint types prose layers docs cover dynamodb ministack benchmark lock image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "  PYTHON=python3.12 picks the interpreter for a new $(VENV)."

demo: $(READY) ## a complete release on this machine, without an account (ARGS=...)
	$(BIN)/python -m bluegreen demo $(ARGS)

# BLUEGREEN_COVER=1 also holds that every branch of the core is covered; BLUEGREEN_SEED=number lets property tests search.
test: $(READY) $(COMPILED) ## the tests, or some of them (T=tests/core/test_config.py, ARGS='-k name')
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(if $(BLUEGREEN_COVER),--cov --cov-report=term) $(T) $(ARGS)

# In a new clone every worker would compile all tests at the same time; so one process does it first, once.
$(COMPILED): | $(READY)
	@$(BIN)/python -m pytest -q --collect-only tests >/dev/null || true
	@touch $@

check: static ## every check before a merge
	@! command -v java >/dev/null || $(MAKE) --no-print-directory dynamodb || echo "Amazon's DynamoDB could not be fetched."
	@$(MAKE) --no-print-directory ministack || echo "MiniStack could not be fetched."
	$(MAKE) --no-print-directory cover

static: format lint types prose ## the checks that run no test

format: $(READY) ## the format is ruff's (correct it with `.venv/bin/ruff format`)
	$(BIN)/ruff format --check $(CODE)

lint: $(READY) ## ruff's rules; the linters of workflows, action.yml, Dockerfile and templates
	$(BIN)/ruff check $(CODE)
	$(BIN)/python -m tests.lint

types: $(READY) ## mypy, strict
	$(BIN)/mypy $(CODE)

prose: $(READY) ## the English of the pages and of the code's texts for people (rules: tests/prose.py)
	$(BIN)/python -m tests.prose

layers: $(READY) ## which module may import which
	$(BIN)/python -m pytest -q tests/project/test_layers.py

docs: $(READY) ## the pages of docs/ as a site in .site/html (ARGS=serve shows it in your browser)
	$(BIN)/python -m tests.site $(ARGS)

cover: $(READY) ## the tests, every branch of the core covered, property tests from a new seed (BLUEGREEN_SEED=...)
	BLUEGREEN_COVER=1 BLUEGREEN_SEED=$${BLUEGREEN_SEED:-$$(date +%s)} $(MAKE) --no-print-directory test

dynamodb: $(READY) ## fetch Amazon's own DynamoDB (Java): then the tests use it, too
	$(BIN)/python -m tests.dynamodb fetch

ministack: $(READY) ## fetch MiniStack, an AWS that makes the stacks of deploy/: then the tests use it, too
	$(BIN)/python -m tests.ministack fetch

benchmark: $(READY) ## measure the numbers of the design here (ARGS=...)
	$(BIN)/python -m tests.benchmark $(ARGS)

lock: $(READY) ## update requirements/*.txt as pyproject.toml allows, and the base image's digest
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet 'setuptools>=77,<100' '.[github,bot,lab,docs,dev]'
	sed -n '/^#/p' requirements/dev.txt > requirements/dev.new
	$(VENV)-lock/bin/python -m pip freeze --all --exclude pip --exclude bluegreen >> requirements/dev.new
	mv requirements/dev.new requirements/dev.txt
	$(VENV)-lock/bin/python -m pip install --quiet 'pip-tools>=7.4,<8'
	for image in action:github bot:bot; do \
	  $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-emit-index-url \
	    --no-emit-find-links --no-header --extra $${image#*:} -o requirements/$${image%:*}.txt pyproject.toml; done
	rm -rf $(VENV)-lock
	$(BIN)/python -m tests.base_image Dockerfile

image: ## build the Action's image, as GitHub does (BASE_IMAGE=...)
	docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t bluegreen .

clean: ## remove everything that make created
	rm -rf $(VENV) $(VENV)-lock .dynamodb .ministack .site build dist *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "bluegreen needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
