# `make demo` and `make test` are all a newcomer needs: each sets up .venv by itself, from locked wheels checked by hash.
# Needs Python 3.11 or later with venv; no compiler. Another interpreter: make demo PYTHON=/path/to/python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
# This project itself, editable: no download, because the build back end came with the locks.
INSTALL_SELF := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# Simulation: make sim SEEDS=300 NODES=5, or repeat one finding with make sim SEED=42.
SEEDS ?= 200
NODES ?= 5
# The long simulation: 10,000 federations of 5 nodes and 200 of 20, a minute each. It goes on from SIM_STATE-*.jsonl.
SIM_LONG_SEEDS ?= 10000
SIM_LONG_LARGE_SEEDS ?= 200
SIM_LONG_SECONDS ?= 60
SIM_STATE ?= sim-long
# How long each exploration that is not gone through whole may take.
EXPLORE_SECONDS ?= 1200
# Processes that simulate side by side.
SIM_PROCESSES ?= 2
# Crash tests: other moments with another seed; so many SIGKILLs and so many losses of power on each storage backend.
CRASH_SEED ?= 1
CRASHES ?= 250
# Fuzzing: so long for each target; FUZZ_TARGET="yamux identify" for some of them.
FUZZ_SECONDS ?= 300
FUZZ_TARGET ?=
# What pytest is given besides: make test ARGS="-k ledger -x"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo setup build ray test format check check-format check-lint check-types check-imports check-house \
	sim sim-long sim-explore crash-long fuzz interop bench docs examples lock clean

help:
	@echo "make demo        set up, then three nodes on this machine run a job, are killed, and recover"
	@echo "make test        set up, then all tests but the minutes-long ones"
	@echo "make ray         set up Ray too (285 MB), so that make test runs the tests of several machines"
	@echo "make check       formatting, lint, types, import contract, house rules"
	@echo "make liars       how often a wrong result is accepted when executors lie; some minutes"
	@echo "make sim         simulated federations under faults (SEEDS, NODES, or SEED to repeat one)"
	@echo "make sim-long    $(SIM_LONG_SEEDS) seeds of 5 nodes and $(SIM_LONG_LARGE_SEEDS) of 20; killed, it goes on where it was"
	@echo "make sim-explore every order of events of a few nodes; the larger cases for $(EXPLORE_SECONDS) s each"
	@echo "make crash-long  hundreds of SIGKILLs and losses of power on every storage backend, SIGKILLs on a real node"
	@echo "make fuzz        coverage-guided fuzzing of every decoder, $(FUZZ_SECONDS) s each (FUZZ_SECONDS, FUZZ_TARGET)"
	@echo "make interop     other implementations of libp2p talk with ours; writes docs/interoperability.md"
	@echo "make bench       figures; see bench/"
	@echo "make docs        generated references in docs/"
	@echo "make examples    the modules of the example jobs, from their sources (needs clang; see examples/build.py)"
	@echo "make lock        resolve dependencies anew into the locks"

# --- set-up ---

# Two stamps, so that the demo installs what runs and nothing else.
$(VENV)/.runtime-ready: requirements.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "ICN needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." >&2; \
		echo "Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "Could not create $(VENV): on Debian and Ubuntu the package is called python3-venv." >&2; \
		rm -rf $(VENV); exit 1; }
	@echo "Installing what the node needs into $(VENV) (wheels, checked by hash)"
	@$(PIP_INSTALL) -r requirements.lock -r requirements-build.lock
	@$(INSTALL_SELF)
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.runtime-ready requirements-dev.lock
	@echo "Installing what tests and checks need"
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $@

setup build: $(VENV)/.dev-ready

# The extra `ray`, for its tests: 285 MB that nobody else needs. Installed, `make test` runs them; else they skip.
$(VENV)/.ray-ready: $(VENV)/.dev-ready requirements-ray.lock
	@echo "Installing Ray"
	@$(PIP_INSTALL) -r requirements-ray.lock
	@touch $@

ray: $(VENV)/.ray-ready

# --- what people run ---

demo: $(VENV)/.runtime-ready
	$(BIN)/python demo/run.py

# A process of tests that dies ends the run: with a new one in its place, xdist waits for ever for what the dead one had.
# Files are handed out as tests/conftest.py orders them; by itself xdist would keep those with one long test for the end.
PYTEST_SIDE_BY_SIDE := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# Tests start hundreds of processes, and each would compile all of the source again.
test: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev-ready
	$(PYTEST_SIDE_BY_SIDE) $(ARGS)

# One target each, so that `make -k check` reports everything that is wrong at once.
check: check-format check-lint check-types check-imports check-house

check-format: $(VENV)/.dev-ready
	$(BIN)/ruff format --check
check-lint: $(VENV)/.dev-ready
	$(BIN)/ruff check
check-types: $(VENV)/.dev-ready
	$(BIN)/mypy
check-imports: $(VENV)/.dev-ready
	$(BIN)/lint-imports
check-house: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -q tests/tidy

format: $(VENV)/.dev-ready
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# Ten thousand jobs with executors that lie: some minutes.
.PHONY: liars
liars: $(VENV)/.runtime-ready
	$(BIN)/python -m icn.sim.trials

sim: $(VENV)/.runtime-ready
	$(BIN)/icn-sim --nodes $(NODES) --processes $(SIM_PROCESSES) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

# What the first half finds does not keep the second from being run.
sim-long: $(VENV)/.runtime-ready
	@found=0; \
	for kind in "5 $(SIM_LONG_SEEDS)" "20 $(SIM_LONG_LARGE_SEEDS)"; do \
		set -- $$kind; \
		$(BIN)/icn-sim --nodes $$1 --seeds $$2 --seconds $(SIM_LONG_SECONDS) --processes $(SIM_PROCESSES) \
			--state $(SIM_STATE)-$$1.jsonl || found=$$?; \
	done; \
	exit $$found

sim-explore: $(VENV)/.runtime-ready
	$(BIN)/icn-sim explore calm
	$(BIN)/icn-sim explore cut
	$(BIN)/icn-sim explore cancel
	$(BIN)/icn-sim explore crash
	$(BIN)/icn-sim explore cancel-crash --order calm --seconds-max $(EXPLORE_SECONDS)
	$(BIN)/icn-sim explore two-jobs --order calm --seconds-max $(EXPLORE_SECONDS)
	$(BIN)/icn-sim explore redundant --order calm --seconds-max $(EXPLORE_SECONDS)

crash-long: $(VENV)/.dev-ready
	ICN_CRASH_SEED=$(CRASH_SEED) ICN_CRASHES=$(CRASHES) $(BIN)/python -m pytest -n 2 -m long tests/crash $(ARGS)

# The fuzzer is in a folder of its own beside the packages, so that no other target installs it.
$(VENV)/.fuzz-ready: $(VENV)/.dev-ready tests/fuzz/requirements.lock
	@echo "Installing the fuzzer"
	@rm -rf $(VENV)/fuzz
	@$(PIP_INSTALL) --target $(VENV)/fuzz -r tests/fuzz/requirements.lock
	@touch $@

fuzz: $(VENV)/.fuzz-ready
	PYTHONPATH=tests:$(VENV)/fuzz $(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS) $(FUZZ_TARGET)

interop: $(VENV)/.dev-ready
	sh tests/interop/setup.sh
	ICN_TEST_REQUIRE_ALL=1 ICN_INTEROP_WRITE=1 $(BIN)/python -m pytest tests/interop/test_libp2p.py $(ARGS)

bench: $(VENV)/.runtime-ready
	@set -e; for script in bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: $(VENV)/.dev-ready
	$(BIN)/python tools/generate_docs.py

examples: $(VENV)/.runtime-ready
	$(BIN)/python examples/build.py

# Dependencies change on purpose: look at the difference before committing it.
lock: $(VENV)/.dev-ready
	$(LOCK) pyproject.toml --output-file requirements.lock $(ARGS)
	$(LOCK) --group build --constraint requirements.lock --output-file requirements-build.lock $(ARGS)
	$(LOCK) pyproject.toml --group dev --constraint requirements-build.lock --constraint requirements.lock --output-file requirements-dev.lock $(ARGS)
	$(LOCK) pyproject.toml --extra ray --constraint requirements-dev.lock --output-file requirements-ray.lock $(ARGS)
	$(LOCK) tests/fuzz/requirements.in --output-file tests/fuzz/requirements.lock $(ARGS)
	$(LOCK) tests/interop/py/requirements-build.in --output-file tests/interop/py/requirements-build.lock $(ARGS)
	$(LOCK) tests/interop/py/requirements.in --output-file tests/interop/py/requirements.lock $(ARGS)
	$(LOCK) --no-deps tests/interop/p2pd/requirements.in --output-file tests/interop/p2pd/requirements.lock $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
