# What a person types. `make demo` and `make test` need nothing installed by hand on a Debian machine with root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
INVENTORY ?= inventories/hospital
PYTHON ?= python3
SCENARIOS ?= three_nodes resolver
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help system demo lab lab-down docs lint lock unit unit-programs unit-rest package molecule test test-all bench clean clean-all

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

system: ## install what the lab needs from the distribution (Debian, as root)
	@lab/install-packages
	@lab/unpack-servers

.venv/ready: requirements.lock | system
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

lab: .venv/ready ## bare nodes made from INVENTORY=inventories/…
	@$(BIN)/python -m lab up $(INVENTORY)

lab-down: .venv/ready ## … and gone again
	@$(BIN)/python -m lab down $(INVENTORY)

demo: .venv/ready ## a three-node site with sample services on this machine, left running
	@lab/demo

lint: .venv/ready ## yamllint, ansible-lint, ruff
	$(BESIDE) yamllint --strict .
	$(BESIDE) ruff check .
	$(BESIDE) ansible-lint --strict

docs: .venv/ready ## generated files: tables of variables, comments in defaults, ignores of ansible-test
	@$(BIN)/python -m tests.generate

lock: .venv/ready ## requirements.lock, versions and hashes of all packages, from requirements*.txt; keeps versions that still fit
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" requirements-dev.txt -o requirements.lock

unit: .venv/ready ## unit tests
	pytest tests/unit

# The two halves of it: the tests of the programs on hosts, and all others.
OF_PROGRAMS := tests/unit/balancer tests/unit/registrator
unit-programs: .venv/ready
	pytest $(OF_PROGRAMS)
unit-rest: .venv/ready
	$(BESIDE) pytest tests/unit $(OF_PROGRAMS:%=--ignore=%)

package: .venv/ready ## build the collection, install it into an empty place, run it from there; ansible-test sanity
	$(BESIDE) tests/package
	$(BESIDE) tests/ansible_test

molecule: .venv/ready ## the scenarios, each on real nodes
	tests/scenarios $(SCENARIOS)

# What needs no nodes runs on both cores, the output of each in one piece; the scenarios measure time, and run alone. The tests of
# the programs wait for servers much of their time: what runs beside them has a lower priority, and is one job more than cores.
test: export DISCOVERY_TESTS ?= usual
test: .venv/ready ## everything that CI runs
	@echo "unit tests, in two halves, beside lint and packaging, each printed when it has ended"
	@$(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target BESIDE='nice -n 10' unit-programs unit-rest lint package
	@$(MAKE) --no-print-directory molecule

test-all: ## and what does not fit its time
	$(MAKE) test DISCOVERY_TESTS=all SCENARIOS="$(SCENARIOS) scaling_swarm resolver_all scaling debian haproxy one_node two_nodes floating_address habits readme_examples kubernetes"
	tests/galaxy_importer

bench: .venv/ready ## measure the balancer beside others, BENCH='--only churn' for a part; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks run $(BENCH)
	$(BIN)/python -m benchmarks report

clean-all: .venv/ready ## every lab, and what labs made and changed on this machine: images, caches, kernel settings; then clean
	@$(BIN)/python -m lab down --all
	@$(MAKE) --no-print-directory clean

clean: ## remove what make has made here (not the lab: see lab-down)
	rm -rf .venv .cache .ansible
