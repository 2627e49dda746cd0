.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup run test check clients console faults bench bench-full bench-against instructions lock settings-table clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## install everything into .venv, from hashed requirements; nothing to do if they did not change

# hatchling comes with the hashed requirements: the project itself is installed without a look at any index.
$(VENV)/.installed: requirements/development.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "$(PYTHON) can't make environments; install its venv module, as python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation -e .
	@touch $@

run: setup ## serve on 127.0.0.1:8000 with a demo tenant, until Ctrl-C
	@exec $(BIN)/roomcast serve --demo

# Most tests wait most of the time: two files at once. What goes by the clock comes afterwards.
test: setup ## run the tests; ARGUMENTS=tests/rooms for some of them
ifdef ARGUMENTS
	$(BIN)/pytest -q $(ARGUMENTS)
else
	$(BIN)/pytest -q -n 2 --dist loadfile -m "not alone"
	$(BIN)/pytest -q -m alone
endif

check: setup ## format, lint, types, import directions, and the contract's tables against the code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/contract

NPM_CI := npm ci --no-audit --no-fund --loglevel=error
clients: setup ## check and test both clients and the tutorial's programs, against a live node; needs node, and chromium for the page
	$(BIN)/pytest -q clients/python/tests
	cd clients/python && ../../$(BIN)/mypy roomcast_client tests
	$(NPM_CI) --prefix clients/typescript
	npm --prefix clients/typescript run check
	npm --prefix clients/typescript test
	$(NPM_CI) --prefix docs/tutorial/chat
	npm --prefix docs/tutorial/chat run build
	npm --prefix docs/tutorial/chat test

console: setup ## build the console's page from its source and test it in chromium; needs node
	$(NPM_CI) --prefix clients/typescript
	npm --prefix clients/typescript run build
	$(NPM_CI) --prefix console
	npm --prefix console run check
	npm --prefix console run build
	npm --prefix console test

faults: setup ## the marathon of faults, hours; ARGUMENTS="--row NAME --times N --seed S --resume --report"
	$(BIN)/python -m tests.faults $(ARGUMENTS)

bench: setup ## measure server CPU and memory against Centrifuge, six minutes; needs gcc and go
	$(BIN)/python -m benchmarks.run $(ARGUMENTS)

bench-full: setup ## every workload against every peer, into docs/benchmarks/, hours; ARGUMENTS=--resume to go on
	$(BIN)/python -m benchmarks.run --full $(ARGUMENTS)

instructions: setup ## count the instructions of the hot paths against COMMIT (default the parent); needs valgrind and gcc
	$(BIN)/python -m benchmarks.instructions $(COMMIT) $(ARGUMENTS)

bench-against: setup ## measure what the message path costs against COMMIT, ten pairs, eight minutes; needs gcc
	$(BIN)/python -m benchmarks.against $(COMMIT) $(ARGUMENTS)

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links $(ARGUMENTS)
lock: setup ## write the hashed requirements anew, from pyproject.toml; ARGUMENTS=--upgrade for the newest
	$(COMPILE) pyproject.toml -o requirements/production.txt
	$(COMPILE) -c requirements/production.txt --group dev pyproject.toml -o requirements/development.txt
	$(COMPILE) -c requirements/development.txt --group build -o requirements/build.txt

settings-table: setup ## write the README's table of settings anew
	$(BIN)/python scripts/settings_table.py

clean: ## remove the environment and all caches, never data
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
