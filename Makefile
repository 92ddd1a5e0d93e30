# Two commands are all a newcomer needs: `make up` runs the suite, `make test` tests it. Both make .venv on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many tests run side by side.
JOBS ?= 2
# Every distribution of ours, in the order of their dependencies.
DISTRIBUTIONS := protos chassis mapping services/registry services/ingest services/mapper services/audit gateway cli client
PROJECTS := $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
# Contracts as last released: what `buf breaking` holds today's against. Works offline and in a clone without history.
RELEASED := protos/released.binpb
GOOGLEAPIS := .buf/googleapis
# State machines beside a model, whose examples the long form of the fault tests multiplies.
MODELS := $(addprefix tests/stores/,ingest/test_ingest_machine.py ingest/test_shuffled_deliveries.py mapper/test_mapper_machine.py)
# Without its notice about other generators of sites.
SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup up test faults bench check docs generate release-contracts lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make the environment in .venv and install the suite into it

up: setup ## run the suite with its demo on embedded SQLite (ARGS="--data-dir DIR" is passed on)
	$(BIN)/intertie up --demo $(ARGS)

# Two at a time suit two cores; a file's tests stay together, since they share what they started. In the order of the
# folders: files that take minutes come before those of a second, or one of the two would wait for the other in the end.
test: setup ## run the tests with what this machine has, and say what was skipped (ARGS="tests/unit -k paths" is passed on)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

# As root, for what a cut of the power leaves on a disk. Its figures stand in docs/reliability.md.
faults: setup ## the long form of the fault tests: about two hours (figures are added to fault-results.jsonl; INTERTIE_FAULTS_SEED repeats a run)
	INTERTIE_FAULTS=long INTERTIE_FAULTS_RESULTS=$${INTERTIE_FAULTS_RESULTS:-$(CURDIR)/fault-results.jsonl} \
		$(BIN)/python -m pytest -n $(JOBS) --dist load -rA tests/faults $(MODELS) $(ARGS)

# Needs wrk and mariadbd. Its figures stand in docs/performance.md.
bench: setup ## how fast it is, beside the machine's ceilings: about forty minutes (ARGS="--only accepted --quick" tries a part, --help says more)
	PYTHONPATH=tests $(BIN)/python benchmarks/bench.py $(ARGS)

check: setup $(GOOGLEAPIS) ## lint, types, contracts, whether all that is generated is current, the lock against known faults, dead links
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf breaking protos --against $(RELEASED)
	$(BIN)/python scripts/generate_contracts.py --check
	$(BIN)/python scripts/generate_docs.py --check
	$(BIN)/python scripts/check_lock.py
	$(SITE)

docs: setup ## build the documentation into site/, and fail on a dead link
	$(SITE)

generate: setup ## generate the contracts' code and the reference pages in docs/
	$(BIN)/python scripts/generate_contracts.py
	$(BIN)/python scripts/generate_docs.py

release-contracts: $(VENV)/.locked $(GOOGLEAPIS) ## promise today's contracts: from now on a breaking change to them fails the check
	$(BIN)/buf build protos --as-file-descriptor-set --exclude-source-info -o $(RELEASED)

lock: ## bring requirements.lock in line with requirements.in (needs uv; ARGS=--upgrade takes newer versions)
	uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes $(ARGS) \
		--no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean: ## remove the environment and all caches; data/ stays
	rm -rf $(VENV) site .buf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Third-party packages: exact versions with hashes. Made anew only when the lock changes.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Intertie needs Python 3.11 or newer; name one: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements.lock
	@touch $@

# Our own distributions, editable. Nothing is fetched: what they need and what builds them is in the lock.
$(VENV)/.installed: $(VENV)/.locked $(PROJECTS)
	$(PIP) install --quiet --no-index --no-deps --no-build-isolation $(addprefix --editable ./,$(DISTRIBUTIONS))
	@touch $@

# The .proto files of google/api and google/rpc for buf, out of the installed wheel.
$(GOOGLEAPIS): $(VENV)/.locked
	rm -rf $@
	cd $(VENV)/lib/python3*/site-packages && mkdir -p $(CURDIR)/$@ && tar -cf - google/api/*.proto google/rpc/*.proto | tar -xf - -C $(CURDIR)/$@
	@touch $@
