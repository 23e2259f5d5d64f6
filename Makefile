# Every habit of this project is one command; `make` alone lists them.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_DEV := $(VENV)/.installed-dev
STAMP_HA := $(VENV)/.installed-ha

.DEFAULT_GOAL := help
.PHONY: help run run-dev run-prod venv test test-long tests-html-coverage-report check-deploy fuzz bench torture screenshots docs lint format migrate clean

help:  ## Show the commands
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-28s %s\n", $$1, $$2}' Makefile

run: $(STAMP)  ## Install, start a private PostgreSQL, serve on this machine only
	@HOST=$${HOST:-127.0.0.1} exec $(BIN)/messenger-api

run-dev: $(STAMP)  ## The same, and restart when the code changes
	@exec $(BIN)/messenger-api --dev

run-prod:  ## Everything in containers with strict settings; needs Docker, which deploy/build.sh installs
	@docker compose version >/dev/null 2>&1 || { echo "Docker with compose is missing; deploy/build.sh installs it."; exit 2; }
	@docker compose up --build --detach --wait

venv: $(STAMP_DEV)  ## Make the virtual environment with everything for development

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found. Name it: make PYTHON=/path/to/python3"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "The module venv is incomplete. On Debian or Ubuntu: apt-get install python3-venv"; exit 2; }

$(STAMP): setup.py | $(BIN)/python
	@echo "Installing messenger into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e .
	@touch $@

$(STAMP_DEV): setup.py | $(BIN)/python
	@echo "Installing messenger and its tools into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e '.[dev]'
	@touch $@ $(STAMP)

# Tests start hundreds of processes: none of them compiles what another one has compiled.
test test-long: export PYTHONDONTWRITEBYTECODE =

$(STAMP_HA): $(STAMP_DEV)
	@echo "Installing Patroni into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e '.[dev,ha]'
	@touch $@

test: $(STAMP_DEV)  ## Install everything and run the tests on a real private PostgreSQL; COVERAGE=1 measures coverage
	@$(BIN)/python -m pytest -m "not long and not engine" $(if $(COVERAGE),,--no-cov)

test-long: $(STAMP_DEV)  ## All tests, faults and fuzz in full size, then torture: about an hour
	@FAULTS_SCALE=1 FUZZ_CASES=100 $(BIN)/python -m pytest -m "not engine" --no-cov
	@$(MAKE) torture

tests-html-coverage-report: $(STAMP_DEV)  ## Run the tests and open the coverage report in a browser
	@$(BIN)/python -m pytest -m "not engine" --cov-report=html
	@$(BIN)/python -m webbrowser -t "file://$(CURDIR)/htmlcov/index.html"

check-deploy: $(STAMP_DEV)  ## Try everything under deploy/ with the programs that will run it; what is missing is named
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 -e '.[deploy]'
	@$(BIN)/python -m pytest tests/deploy --no-cov

fuzz: $(STAMP_DEV)  ## A hundred generated cases for every operation of swagger.yml
	@FUZZ_CASES=100 $(BIN)/python -m pytest tests/contracts/test_fuzz.py --no-cov

torture: $(STAMP_DEV) $(if $(CLUSTER),$(STAMP_HA))  ## Kill, stop, cut and swallow for MINUTES=3; SEED= SENDS= FAULTS= WORKERS= WIRE=none|postgres|redis|all; CLUSTER=1
	@$(BIN)/python -m proof.torture --minutes $(or $(MINUTES),$(if $(CLUSTER),15,3)) --wire $(or $(WIRE),all) \
	  $(if $(CLUSTER),--cluster $(filter-out 1,$(CLUSTER))) $(if $(KINDS),--kinds "$(KINDS)") $(if $(RATE),--rate $(RATE)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(SENDS),--sends $(SENDS)) $(if $(FAULTS),--faults $(FAULTS)) \
	  $(if $(DOUBTS),--ambiguous $(DOUBTS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(REPORT),--report $(REPORT))

bench: $(STAMP_DEV)  ## Measure the server for ten minutes; PEERS=1 beside socket.io and FastAPI; BENCH="S1 --rounds 1" for a part
	@$(BIN)/python -m proof.bench $(if $(PEERS),--peers) $(BENCH)

screenshots: $(STAMP_DEV)  ## Take the pictures of README anew, in Chromium
	@$(BIN)/python -m proof.pictures

docs: $(STAMP)  ## Write docs/settings.md and deploy/.env.example anew
	@$(BIN)/python -m messenger.run.documents

lint: $(STAMP_DEV)  ## Style, types, contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/openapi-spec-validator --subschema-errors all swagger.yml
	@clients/js/check-types

format: $(STAMP_DEV)  ## Let ruff arrange the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

migrate: $(STAMP)  ## Bring the schema up to date
	@$(BIN)/messenger-db upgrade head

clean:  ## Remove what can be made again; data stays
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info clients/js/node_modules
