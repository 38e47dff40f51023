# Capsule Relay: set-up, tests and the demonstration.
# Needs Python 3.11 or newer, make, and a compiler for packages that have no wheel for this machine.
# PYTHON names the interpreter that makes the virtual environment, VENV its folder.

PYTHON ?= python3
VENV ?= .venv
TEST_ARGS ?=
# The benchmarks' peers live apart from the project's own packages.
BENCH ?= build/bench-venv
BENCH_SINGER ?= build/bench-singer-venv
FILES ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
BENCHES := $(BENCH)/.installed $(BENCH_SINGER)/.installed build/plain-venv/.installed
MUTANTS := build/mutants
FUZZ := build/fuzz
RUNS ?= 100000
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-options

.DEFAULT_GOAL := help
.PHONY: help install up demo test check mutants fuzz format lock clean faults faults-table soak side-by-side bench-venv bench bench-full

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

install: $(INSTALLED)  ## Make the virtual environment and the command capsule-relay in it

up: $(INSTALLED)  ## Run everything on this machine (settings: deploy/env.example)
	@exec $(BIN)/capsule-relay up

demo: $(INSTALLED_DEV)  ## Show it at work between a simulated Capsule and a simulated OfficeRnD (DEMO_SECONDS=60)
	@exec $(BIN)/python -m tests.demo

test: $(INSTALLED_DEV)  ## Run all tests
	$(BIN)/python -m pytest $(TEST_ARGS)

faults: $(INSTALLED_DEV)  ## Run the fault suite at length (CASES=kill-all,storm MINUTES=10 SEED=1; RESULTS names the file)
	$(BIN)/python -m tests.faults run $(if $(CASES),--cases $(CASES)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(RESULTS),--results $(RESULTS))

faults-table: $(INSTALLED_DEV)  ## Add up the results of the fault suite in one table
	@$(BIN)/python -m tests.faults table $(if $(RESULTS),--results $(RESULTS))

soak: $(INSTALLED_DEV)  ## Random faults for MINUTES, with memory, descriptors and Redis keys
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

side-by-side: $(INSTALLED_DEV) $(BENCH)/.installed  ## The same work and faults for stock Dramatiq and Celery
	$(BIN)/python -m tests.benchmarks.side_by_side --python $(BENCH)/bin/python $(if $(SEED),--seed $(SEED))

bench: $(INSTALLED_DEV) $(BENCHES)  ## Measure beside the peers, at reduced sizes, under 10 minutes (make bench-receiver: one part)
	$(BIN)/python -m tests.benchmarks $(PARTS)

bench-full: $(INSTALLED_DEV) $(BENCHES)  ## The same at full sizes; goes on where it was broken off (PARTS=growth)
	$(BIN)/python -m tests.benchmarks --full $(PARTS)

bench-%: $(INSTALLED_DEV) $(BENCHES)
	$(BIN)/python -m tests.benchmarks $*

bench-venv: $(BENCHES)  ## Make the virtual environments of the benchmarks' peers

check: $(INSTALLED_DEV)  ## Check form, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p receiver -p mapping -p workers -p tests
	$(BIN)/lint-imports

mutants: $(MUTANTS)/.installed  ## Change mapping/ in one place at a time: do the tests notice? (FILES=mapping/tags.py)
	@exec $(MUTANTS)/venv/bin/python -m tests.mutants --folder $(MUTANTS) $(FILES)

fuzz: $(FUZZ)/.installed  ## Fuzz what strangers can reach, guided by coverage (RUNS=1000000; about 3,000 a second)
	$(FUZZ)/venv/bin/python -m tests.fuzz $(RUNS)

format: $(INSTALLED_DEV)  ## Bring the form of all files in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(BIN)/python  ## Work out the pinned requirements anew
	$(PIP) install --quiet pip-tools
	$(LOCK) --output-file=requirements-build.txt requirements-build.in
	$(LOCK) --output-file=requirements.txt requirements.in
	$(LOCK) --output-file=requirements-tracing.txt requirements-tracing.in
	$(LOCK) --output-file=requirements-dev.txt requirements-dev.in
	$(LOCK) --output-file=requirements-fuzz.txt requirements-fuzz.in
	$(LOCK) --output-file=requirements-bench.txt requirements-bench.in
	$(LOCK) --output-file=requirements-bench-singer.txt requirements-bench-singer.in
	$(LOCK) --output-file=requirements-mutation.txt requirements-mutation.in

clean:  ## Remove the virtual environment and caches (the data in .relay stays)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed: name one, as in make PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp is written last, so an installation that was broken off is done again.
# The project itself is installed from this folder with the pinned setuptools: pip fetches nothing for it.
$(INSTALLED): requirements-build.txt requirements.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements-build.txt -r requirements.txt
	$(PIP) install --quiet --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

# mutmut has an environment of its own, since nothing but this test needs it.
$(MUTANTS)/.installed: requirements.txt requirements-mutation.txt
	$(PYTHON) -m venv --clear $(MUTANTS)/venv
	$(MUTANTS)/venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements.txt -r requirements-mutation.txt
	@touch $@

# The fuzzer instruments the interpreter that it runs in, and not every Python has a wheel of it.
$(FUZZ)/.installed: requirements.txt requirements-fuzz.txt
	$(PYTHON) -m venv --clear $(FUZZ)/venv
	$(FUZZ)/venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements.txt -r requirements-fuzz.txt
	@touch $@

# As a user has it, for what it takes by itself: packages of the tests would be loaded where they are found.
build/plain-venv/.installed: requirements-build.txt requirements.txt
	$(PYTHON) -m venv --clear build/plain-venv
	build/plain-venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements-build.txt -r requirements.txt
	@touch $@

$(BENCH)/.installed: requirements-bench.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r requirements-bench.txt
	@touch $@

# A Singer tap has an environment of its own: its SDK is held to releases that nothing else here should go back to.
$(BENCH_SINGER)/.installed: requirements-bench-singer.txt
	$(PYTHON) -m venv $(BENCH_SINGER)
	$(BENCH_SINGER)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes \
		-r requirements-bench-singer.txt
	@touch $@
