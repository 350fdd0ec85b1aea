# Antiphon. `make run` needs Python 3.11 or newer and nothing else; what it installs stays in this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
COMPILE = $(UV) pip compile -q --universal --generate-hashes --no-header --no-emit-index-url
# Compiled once here, or else by the first start, which then takes 5 s instead of 2.
INSTALL = $(UV) pip install -q --python $(BIN)/python --require-hashes --compile-bytecode
COMPILE_TREE = $(BIN)/python -m compileall -q auth core domain jobs models planner providers resolvers schema web server.py
ARGS   ?=

.PHONY: help run test lint vendors bench bench-reads schema lock clean

help:                    ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST)

run: $(VENV)/runtime     ## everything: database, queue, migrations, worker, API; Ctrl-C ends it
	@exec $(BIN)/python server.py

test: $(VENV)/dev        ## the whole test suite; ARGS goes to pytest
	@exec $(BIN)/python -m pytest -n 2 $(ARGS)

lint: $(VENV)/dev        ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

vendors: $(VENV)/dev     ## servers that speak as Suno, Replicate and fal.ai do, to try things without keys
	@exec $(BIN)/python -m tests.vendors

bench: $(VENV)/dev       ## the benchmarks, one after the other; ARGS goes to bench/first_light.py, --quick to both
	@$(BIN)/python -m bench.first_light $(ARGS)
	@exec $(BIN)/python -m bench.reads $(filter --quick,$(ARGS))

bench-reads: $(VENV)/dev ## reads beside other servers, fetched with npm; ARGS goes to bench/reads.py
	@exec $(BIN)/python -m bench.reads $(ARGS)

schema: $(VENV)/runtime  ## rewrite schema.graphql
	@$(BIN)/python -c 'from schema.build import print_sdl; print(print_sdl(), end="")' > schema.graphql.new
	@mv schema.graphql.new schema.graphql

lock: $(UV)              ## resolve the dependencies anew: versions and hashes, no addresses
	$(COMPILE) --upgrade --group dev pyproject.toml -o requirements-dev.lock
	$(COMPILE) --upgrade -c requirements-dev.lock pyproject.toml -o requirements.lock

clean:                   ## remove what was installed; data stays
	rm -rf $(VENV) .tools bench/peers/node_modules

$(VENV)/runtime: requirements.lock | $(VENV)/bin/python
	@echo "Installing what requirements.lock names …"
	@$(INSTALL) -r requirements.lock && $(COMPILE_TREE) && touch $@

$(VENV)/dev: requirements-dev.lock | $(VENV)/bin/python
	@echo "Installing what requirements-dev.lock names …"
	@$(INSTALL) -r requirements-dev.lock && $(COMPILE_TREE) && touch $@ $(VENV)/runtime

$(VENV)/bin/python: | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Antiphon needs Python 3.11 or newer: make run PYTHON=/path/to/python3.11"; exit 1; }
	@$(UV) venv -q --no-project --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)

# By pip where there is one; a Debian without it gets it when we are root, and is told what to do otherwise.
.tools/bin/uv:
	@echo "Fetching uv …"
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-pip >/dev/null; } || \
	  { echo "uv cannot be fetched: install pip (apt install python3-pip) or uv, then run make again."; exit 1; }
	@$(PYTHON) -m pip install -q --root-user-action=ignore --disable-pip-version-check --no-warn-script-location --target .tools uv
