# Everything a contributor types. Needs git, make and Python 3.11 or newer; the rest is installed into .venv.
#
#   make demo     the report's script against a local provider, without and with everyspan
#   make test     every test except the soak runs and the clients
#   make test-clients  Langfuse's SDKs 2 to 4 and litellm's callbacks against the collector, in environments of their own
#   make fuzz     Schemathesis against every route of the collector, with two projects, in an environment of its own
#   make test-overlaps  one bill for each call beside OpenInference, OpenLLMetry, OpenTelemetry GenAI, Logfire, Langfuse
#   make test-frameworks  a run example of each framework in docs/frameworks.md, checked: spans are calls, one bill
#   make test-proxy  litellm's proxy server as a process with everyspan in it, and what of litellm needs the proxy's packages
#   make torture  the reliability suite in its full size: about two hours, see docs/reliability.md
#   make check    formatting, lint, types, import contracts
#   make prices   the price table from the pinned packages; says what changed
#   make bench    the figures of docs/performance.md
#
# Arguments pass through: make demo ARGS="--keep", make test ARGS="tests/unit -k spool".

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
OLDEST := .venv-oldest/bin
OLDEST_CLIENTS := .venv-oldest-clients/bin
OVERLAPS := .venv-overlaps/bin
FRAMEWORKS := .venv-frameworks/bin
PROXY := .venv-proxy/bin

# litellm otherwise fetches its price map over the network while it is imported.
export LITELLM_LOCAL_MODEL_COST_MAP := True

.PHONY: help setup demo test test-oldest test-clients fuzz test-overlaps test-frameworks test-proxy bench-clients soak torture check format prices bench lock clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

setup: .venv/.ready

.venv/.ready: requirements/bootstrap.txt requirements/dev.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv requirements/dev.txt

.venv-oldest/.ready: requirements/bootstrap.txt requirements/oldest.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv-oldest requirements/oldest.txt

demo: .venv/.ready
	@$(BIN)/everyspan demo $(ARGS)

test: .venv/.ready
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

.venv-oldest-clients/.ready: requirements/bootstrap.txt requirements/oldest-clients.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv-oldest-clients requirements/oldest-clients.txt

# What drives litellm and the providers' SDKs, against the oldest versions that are supported.
test-oldest: .venv-oldest/.ready .venv-oldest-clients/.ready
	@$(OLDEST)/python -m pytest tests/e2e tests/unit/test_wire_encode.py -k "litellm or encode" $(ARGS)
	@$(OLDEST_CLIENTS)/python -m pytest tests/e2e/test_clients_matrix.py tests/e2e/test_openai_*.py tests/e2e/test_anthropic_*.py tests/e2e/test_google_*.py tests/e2e/test_bedrock_*.py tests/e2e/test_batches.py $(ARGS)

fuzz: .venv/.ready
	@$(BIN)/python -m pytest -m fuzz tests/fuzz $(ARGS)

test-clients: .venv/.ready
	@$(BIN)/python -m pytest -m clients tests/clients $(ARGS)

.venv-overlaps/.ready: requirements/bootstrap.txt requirements/overlaps.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv-overlaps requirements/overlaps.txt

# One bill for each call with other people's instrumentations of the same libraries at work.
test-overlaps: .venv-overlaps/.ready
	@$(OVERLAPS)/python -m pytest tests/e2e/test_overlaps_*.py $(ARGS)

.venv-frameworks/.ready: requirements/bootstrap.txt requirements/frameworks.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv-frameworks requirements/frameworks.txt

# The programs of examples/frameworks, each with the framework's newest version.
test-frameworks: .venv-frameworks/.ready
	@$(FRAMEWORKS)/python -m pytest tests/frameworks $(ARGS)

.venv-proxy/.ready: requirements/bootstrap.txt requirements/proxy.txt pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py .venv-proxy requirements/proxy.txt

test-proxy: .venv-proxy/.ready
	@$(PROXY)/python -m pytest tests/proxy tests/e2e/test_litellm_surface.py $(ARGS)

# What a call and a chunk take longer, beside OpenInference, OpenLLMetry, Logfire and Langfuse, which are in that environment.
bench-clients: .venv-overlaps/.ready
	@$(OVERLAPS)/python -m benchmarks.clients $(ARGS)

soak: .venv/.ready
	@$(BIN)/python -m pytest -m soak $(ARGS)

torture: .venv/.ready
	@$(BIN)/python -m pytest tests/torture --full -o timeout=14400 $(ARGS)

check: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

prices: .venv/.ready
	@$(BIN)/python -m scripts.build_prices $(ARGS)

bench: .venv/.ready
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py) $(ARGS) || exit 1; done

# No host of a package index ends up in the locks: they hold names, versions and hashes.
# A week's rest for new releases, so that a poisoned one is found by somebody else first.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
# Of the time of the oldest litellm, but for pydantic: requirements/oldest-overrides.txt says why.
OF_MAY := --exclude-newer 2026-05-01T00:00:00Z --override requirements/oldest-overrides.txt \
  $(foreach package,pydantic pydantic-core typing-extensions typing-inspection,--exclude-newer-package "$(package)=7 days")
lock: .venv/.ready
	$(COMPILE) requirements/bootstrap.in --upgrade --exclude-newer "7 days" --output-file requirements/bootstrap.txt
	$(COMPILE) requirements/dev.in pyproject.toml --extra all --extra chdb --group dev --upgrade \
	  --exclude-newer "7 days" --override requirements/overrides.txt --output-file requirements/dev.txt
	$(COMPILE) requirements/oldest.in pyproject.toml --extra all --group build --group clients --group test --upgrade \
	  $(OF_MAY) --output-file requirements/oldest.txt
	$(COMPILE) requirements/oldest-clients.in pyproject.toml --extra server --group build --group test --upgrade \
	  $(OF_MAY) --output-file requirements/oldest-clients.txt
	$(COMPILE) requirements/overlaps.in pyproject.toml --extra all --group build --group clients --group test --upgrade \
	  --prerelease if-necessary-or-explicit --exclude-newer "7 days" --override requirements/overrides.txt \
	  --output-file requirements/overlaps.txt
	$(COMPILE) requirements/frameworks.in pyproject.toml --extra all --group build --group clients --group test --upgrade \
	  --exclude-newer "7 days" --override requirements/overrides.txt --output-file requirements/frameworks.txt
	$(COMPILE) requirements/proxy.in pyproject.toml --extra server --group build --group test --upgrade \
	  --exclude-newer "7 days" --override requirements/overrides.txt --output-file requirements/proxy.txt

clean:
	rm -rf .venv .venv-oldest .venv-oldest-clients .venv-clients .venv-overlaps .venv-frameworks .venv-proxy .demo .fuzz build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
