# Every target works in a fresh clone with Python 3.11+ and make, and sets up what it needs.
SHELL := /bin/sh
ARGS ?=
SEED ?= 1
RUNS ?= 1000
# One more than there are cores: tests wait for other processes a third of their time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
REQUESTS ?= 100000

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench crash-points spec chaos ha upgrade planted fuzz fuzz-api durability conformance screenshots audit lock

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 - /p' $(firstword $(MAKEFILE_LIST)) | awk -F ' - ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## make .venv with the locked packages; does nothing when nothing changed
	@scripts/setup

demo: setup ## start the simulator, the server and the page that plays the app (ARGS="--port 9000")
	@.venv/bin/paidonce demo $(ARGS)

test: setup ## run every test, on all cores (ARGS="tests/unit -k money" for some of them)
	@scripts/install-test-tools
	@.venv/bin/pytest -n $(WORKERS) --dist worksteal $(ARGS)

check: setup ## format, lint, types, import fences, sizes, texts and docs, in one pass
	@scripts/check

chaos: setup ## the application under a seed, faults and crashes everywhere (SEED=1 RUNS=1000)
	@.venv/bin/python -m proof.chaos --seed $(SEED) --runs $(RUNS) $(ARGS)

ha: setup ## restarts under load, ten times the load, a Stripe that hangs; writes docs/results/ha.json
	@scripts/install-test-tools
	@.venv/bin/python -m proof.load all --json docs/results/ha.json $(ARGS)

upgrade: setup ## the program of an older revision is replaced under load (ARGS="--from REVISION")
	@scripts/install-test-tools
	@.venv/bin/python -m proof.load upgrade --json docs/results/upgrade.json $(ARGS)

planted: setup ## plant each bug in a copy of the source; the proof has to find it (ARGS="NAME")
	@.venv/bin/python -m proof.planted $(ARGS)

fuzz: setup ## bad input of every kind at the simulator (SEED=1 REQUESTS=100000); its books have to add up
	@.venv/bin/python -m proof.stripesim.fuzz --seed $(SEED) --requests $(REQUESTS) $(ARGS)

fuzz-api: setup ## bad requests of every kind at the service (SEED=1 REQUESTS=1000000)
	@scripts/install-test-tools
	@.venv/bin/python -m proof.fuzz --seed $(SEED) --json docs/results/fuzz-api.json $(ARGS)

durability: setup ## kill -9 the simulator under load, 50 times (SEED=1); nothing answered may be lost
	@.venv/bin/python -m proof.stripesim.durability --seed $(SEED) $(ARGS)

conformance: setup ## the scenarios on the simulator, and on Stripe with STRIPE_TEST_SECRET_KEY; prints what differs
	@.venv/bin/python -m conformance $(ARGS)

bench: setup ## run the benchmarks in bench/
	@set -e; for file in bench/*.py; do echo "== $$file"; .venv/bin/python "$$file" $(ARGS); done

crash-points: setup ## die at every step of every flow, on both databases (ARGS="--flow known_card --pairs 0")
	@.venv/bin/python -m proof.crash_points $(ARGS)

spec: setup ## explore the model of the pay pipeline (ARGS="--quick", "--only NAME", "--trace NAME")
	@.venv/bin/python -m spec $(ARGS)

screenshots: setup ## write the pictures of both pages into docs/images (ARGS="simulator")
	@scripts/install-test-tools
	@.venv/bin/python scripts/screenshots.py $(ARGS)

audit: setup ## compare requirements.lock with the public advisories; needs the network
	@.venv/bin/uv tool run pip-audit --disable-pip --no-deps --vulnerability-service osv -r requirements.lock

lock: setup ## write requirements.lock again from pyproject.toml
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock
