# Every target that needs Python sets up .venv first; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
# Only the make command line sets these: bash counts its own SECONDS, and exports of it would leak in.
from_command_line = $(if $(filter command line,$(origin $(1))),$($(1)),$(2))
seed_option = $(if $(call from_command_line,SEED),--seed $(call from_command_line,SEED))
only_option = $(if $(call from_command_line,ONLY),--only $(call from_command_line,ONLY))
example_app := $(call from_command_line,APP,report_app)
chaos_seconds := $(call from_command_line,SECONDS,100)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Create .venv from the locked requirements (done again only when they change)
	@bash deploy/setup.sh

.PHONY: demo
demo: setup ## Run a scripted scenario on a local Kafka and show what was cancelled and why
	@.venv/bin/countermand demo

.PHONY: up
up: setup ## Run everything on this machine until Ctrl-C
	@.venv/bin/countermand up

.PHONY: example
example: setup ## Run an app with all that it needs until Ctrl-C (APP=report_app or APP=inngest)
	@if [[ $(example_app) == inngest ]]; then bash deploy/npm.sh examples/inngest/app; fi
	@$(PY) -m examples.$(example_app) $(if $(call from_command_line,PORT),--port $(call from_command_line,PORT))

.PHONY: test
test: setup ## Run all tests but those below, four files at a time (each side starts a local Kafka)
	@$(PY) -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder \
		--ignore tests/e2e --ignore tests/dashboard --ignore tests/inngest --ignore tests/deploy \
		-m "not long and not soak"

.PHONY: test-soak
test-soak: setup ## Run the tests that kill, draw or measure for a minute or more each
	@$(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "soak and not long" \
		--ignore tests/e2e --ignore tests/dashboard --ignore tests/inngest --ignore tests/deploy

.PHONY: test-e2e
test-e2e: setup ## Run the tests that use the report app in a real Chromium
	@$(PY) -m pytest tests/e2e

.PHONY: test-dashboard
test-dashboard: setup ## Run the tests that use the dashboard in a real Chromium
	@bash deploy/npm.sh tests/dashboard/axe
	@$(PY) -m pytest tests/dashboard

.PHONY: test-inngest
test-inngest: setup ## Run the tests that use apps of Inngest's SDKs, for TypeScript and Python
	@bash deploy/npm.sh examples/inngest/app
	@$(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		-m "not long" tests/inngest

.PHONY: test-inngest-all
test-inngest-all: setup ## Run those that any SDK passes with others: TypeScript 3, an older Python, Go
	@bash deploy/npm.sh tests/inngest/apps/node_v3
	@$(PY) -m tests.support.environments .venv-inngest tests/inngest/apps/python_old/requirements.lock
	@go="$$(bash deploy/go.sh)"; CGO_ENABLED=0 "$$go" build -C tests/inngest/apps/go_app -buildvcs=false \
		-o "$(CURDIR)/build/inngest-go-app" .
	@$(PY) -m pytest -m long tests/inngest

.PHONY: test-deploy
test-deploy: setup ## Run the tests of image, compose file, chart, alerts and dashboards (builds Helm and the image once)
	@$(PY) -m pytest tests/deploy

.PHONY: test-kubernetes
test-kubernetes: setup ## Kill the chart under load on a Kubernetes of this machine, last line JSON (as root)
	@bash deploy/postgresql.sh
	@bash tests/kubernetes/run.sh $(PY)

.PHONY: check
check: lint types ## Lint, check types, and run the fast tests
	@$(PY) -m pytest -m "not broker and not slow and not long and not network"

.PHONY: format
format: setup ## Format the code and apply safe fixes
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

.PHONY: lint
lint: setup ## Check style and formatting
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

.PHONY: types
types: setup ## Check types
	@$(PY) -m mypy

.PHONY: simulate
simulate: setup ## Run the seeded simulation (SEED=n repeats one run)
	@$(PY) -m tests.simulation $(seed_option)

.PHONY: recount
recount: setup ## Compare a million random changes of runs with what was counted of them
	@$(PY) -m pytest -m long tests/properties/test_activity.py

.PHONY: conformance
conformance: setup ## Ask CEL's conformance suite, last line JSON (DATA=folder of its *.textproto files)
	@$(PY) -m tests.conformance $(call from_command_line,DATA,.)

.PHONY: chaos
chaos: setup ## Kill and stop processes under load, then count (SECONDS=100)
	@$(PY) -m tests.chaos --seconds $(chaos_seconds)

.PHONY: bench
bench: setup ## Measure, last line JSON (ONLY=latency_ms runs one part)
	@$(PY) -m tests.bench $(only_option)

.PHONY: beside
beside: setup ## Measure CPU per event and waits beside another commit, in turns, last line JSON (COMMIT=origin/main)
	@$(PY) -m tests.bench.beside $(call from_command_line,COMMIT,HEAD)

.PHONY: profile
profile: setup ## Show where a process's time goes under load (ONLY=router, joiner or read-model)
	@$(PY) -m tests.bench.profiling $(only_option)

.PHONY: docs-check
docs-check: setup ## Run every sh block of README.md, docs/ and examples/
	@$(PY) -m tests.repo.docs_check

.PHONY: lock
lock: setup ## Resolve the locked, hashed requirements anew
	@bash deploy/lock.sh

.PHONY: chart
chart: setup ## Write what is made of the chart and other files: its README and schema, copies, deploy/k8s
	@$(PY) -m tests.deploy.chart_files

.PHONY: image
image: ## Build the image, and its bill of materials in dist/ (TAG=name:tag, BASE=image, ARCHIVE=file.tar)
	@bash deploy/image/build.sh

.PHONY: clean
clean: ## Remove .venv and every cache in the checkout
	@rm -rf .venv .venv-peers .venv-inngest tests/dashboard/axe/node_modules \
		examples/inngest/app/node_modules tests/inngest/apps/node_v3/node_modules \
		build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
