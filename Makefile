# Every target does all of its own set-up; what it needs is Python, and uv if there is one.
# Where uv is not on the PATH it is installed into .uv, a virtual environment in this folder.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
# Trust what the machine trusts, as pip and git do: a company's proxy has certificates of its own.
export UV_SYSTEM_CERTS ?= true

# What a caller may set:
ARGS ?=
MONGO ?=
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types contracts wheels format bench bench-peers clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make test ARGS="-k cursor -x"     flags for pytest (benchmarks: for the script)'
	@echo '  make test MONGO=mongod            the server to test against: embedded, mongod, docker or a URI'
	@echo '  make test WORKERS=0               in one process, to use a debugger'

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

setup: $(filter .uv/%,$(UV))  ## make or update the environment in .venv
	@$(UV) sync --quiet --locked

demo: setup  ## start a MongoDB, run examples/quick_start.py against it, stop it
	@$(RUN) mongospec-server -- python examples/quick_start.py

test: setup  ## run all tests and report their coverage
	@$(RUN) coverage erase
	$(RUN) coverage run -m pytest -n $(WORKERS) $(if $(MONGO),--mongo-server='$(MONGO)') $(ARGS)
	@$(RUN) coverage combine --quiet
	@$(RUN) coverage report

check: lint types contracts wheels  ## all that CI checks besides the tests

lint: setup  ## ruff: rules and format
	$(RUN) ruff check
	$(RUN) ruff format --check

types: setup  ## mypy and pyright, both strict
	$(RUN) mypy
	$(RUN) pyright

contracts: setup  ## who may import whom
	$(RUN) lint-imports --no-logo

wheels: setup  ## build every wheel, install each alone, import it
	$(RUN) python scripts/check_wheels.py

format: setup  ## format the code and mend what ruff can mend
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: setup  ## compare with raw mongojet: today's figures and their aims
	$(RUN) python -m benchmarks.run $(ARGS)

bench-peers: setup  ## compare with other packages; writes benchmarks/RESULTS.md and results.svg
	UV='$(UV)' $(RUN) python -m benchmarks.run --peers $(ARGS)

clean:  ## remove environments and caches
	rm -rf .venv .uv .benchmarks build .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
