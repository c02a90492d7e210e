# Every target sets up what it needs in .venv first; nothing else needs doing.

PYTHON ?= python3
BIN := .venv/bin
PROTOS := $(sort $(wildcard proto/cost_insights/v1/*.proto))
RUST := $(shell find native -path native/fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print) Cargo.toml Cargo.lock
GENERATED := service/cost_insights/v1
OPENAPI := service/cost_insights/doors/http/rpcs.openapi.json
# The SDKs of Python that tests run, each in an environment of its own: their versions are the names of the lock files.
SDK_LOCKS := $(wildcard tests/interop/python/polar-sdk-*.lock)
SDKS := $(SDK_LOCKS:tests/interop/python/%.lock=.venv/%/installed)
# The programs of examples/ that tests run. Make is told of each by a file that says when it was built.
EXAMPLES := $(patsubst examples/%/build.sh,.venv/examples/%/built,$(wildcard examples/*/build.sh))

.DEFAULT_GOAL := help
.PHONY: help setup demo serve docs test test-fast lint format generate generate-check released lock package bench bench-metrics bench-dashboard trust clean venv-works

help: ## Shows this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Each step checks what it needs before it begins, so that nothing fails half-way.

venv-works:
	@sh tests/tools/needs.sh venv

$(BIN)/python: | venv-works
	@PYTHON="$(PYTHON)" sh tests/tools/needs.sh build
	$(PYTHON) -m venv .venv

.venv/requirements: requirements.lock | $(BIN)/python
	@sh tests/tools/pip_install.sh requirements.lock
	@touch $@

.venv/installed: .venv/requirements pyproject.toml $(RUST)
	@PYTHON=$(BIN)/python sh tests/tools/needs.sh build
	@echo "building the native module; the first time takes a few minutes"
	@VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(CURDIR)/$(BIN):$$PATH" PIP_QUIET=1 PIP_NO_DEPS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 maturin develop --release --locked
	@touch $@

.venv/go-tools: tests/tools/go.sum | $(BIN)/python
	@sh tests/tools/needs.sh go
	@echo "building what tests and linters need, such as grpcurl and buf"
	cd tests/tools && go build -o $(CURDIR)/$(BIN)/ tool
	@touch $@

.venv/node-tools: tests/interop/node/package-lock.json | $(BIN)/python
	@sh tests/tools/needs.sh node
	mkdir -p .venv/node
	cp tests/interop/node/package.json tests/interop/node/package-lock.json .venv/node
	npm ci --prefix .venv/node --ignore-scripts --silent
	@touch $@

.venv/polar-sdk-%/installed: tests/interop/python/polar-sdk-%.lock | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.SECONDEXPANSION:
$(EXAMPLES): .venv/examples/%/built: $$(wildcard examples/$$*/* examples/$$*/src/* examples/$$*/src/main/java/costs/*) $(PROTOS) | .venv/installed .venv/go-tools
	@sh tests/tools/build_example.sh $* $(NEEDED_FOR_$*)

NEEDED_FOR_browser := node npm
NEEDED_FOR_go := go
NEEDED_FOR_java := mvn javac https://repo.maven.apache.org/maven2/io/grpc/grpc-stub/maven-metadata.xml
NEEDED_FOR_node := node npm
NEEDED_FOR_rust := cargo

setup: .venv/installed ## Creates .venv and builds the native module.

demo: .venv/installed ## Shows the service at work on a generated month of events.
	$(BIN)/cost-insights demo

serve: .venv/installed ## Runs the service on an embedded database until Ctrl-C.
	$(BIN)/cost-insights serve

# What Envoy knows, MkDocs, and the packages of LLM vendors, each in an environment of its own too: they bring other versions of
# packages that the service imports. Few of their modules are ever imported, so that none is compiled before.
.venv/%/installed: tests/tools/%.lock | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-compile --requirement $<
	@touch $@

docs: .venv/installed .venv/docs/installed ## Builds the documentation site in dist/docs.
	NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs build

test: .venv/installed .venv/go-tools .venv/node-tools .venv/xds-protos/installed .venv/docs/installed .venv/llm-sdks/installed $(SDKS) $(EXAMPLES) ## Runs all tests, on SQLite and on a real PostgreSQL.
	sh tests/tools/postgresql.sh
	sh tests/tools/pgbouncer.sh
	sh tests/tools/containers.sh
	sh tests/tools/faketime.sh
	sh tests/tools/prometheus.sh
	sh tests/tools/chromium.sh
	cargo test --quiet
	$(BIN)/pytest --numprocesses auto --dist loadfile --ignore tests/trust
	$(BIN)/pytest tests/trust

test-fast: .venv/installed .venv/go-tools .venv/node-tools ## Runs what the inner loop needs, on all cores; it says what it leaves out.
	sh tests/tools/postgresql.sh
	$(BIN)/pytest --fast --numprocesses auto --quiet

lint: .venv/installed .venv/go-tools .venv/node-tools $(EXAMPLES) generate-check ## Runs all linters.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=service $(BIN)/stubtest cost_insights._native
	cargo fmt --check
	cargo clippy --quiet --all-targets --all-features -- --deny warnings
	sh tests/tools/lint_protos.sh
	sh tests/tools/check_breaking.sh
	sh tests/tools/check_dashboard.sh
	sh tests/tools/lint_examples.sh

format: .venv/requirements ## Formats the code of both languages.
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	cargo fmt

generate: .venv/requirements ## Regenerates what follows from the protos: Python code and OpenAPI.
	sh tests/tools/generate.sh $(GENERATED) $(OPENAPI)

generate-check: .venv/requirements ## Fails where what follows from the protos is not fresh.
	mkdir -p .cache
	sh tests/tools/generate.sh .cache/generated .cache/rpcs.openapi.json
	diff --recursive --no-dereference --exclude=__pycache__ .cache/generated $(GENERATED) && diff .cache/rpcs.openapi.json $(OPENAPI) || { echo "the generated code is not fresh: run make generate" >&2; exit 1; }

released: .venv/requirements ## Keeps the protos as those of a release, whose clients later protos must not break.
	sh tests/tools/image.sh proto proto/released.binpb

lock: $(BIN)/python ## Resolves the newest versions that pyproject.toml allows.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --extra dev --no-header --no-annotate --no-emit-index-url --upgrade pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --extra bench --constraints requirements.lock --no-header --no-annotate --no-emit-index-url --upgrade pyproject.toml --output-file requirements-bench.lock
	echo xds-protos | $(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --upgrade - --output-file tests/tools/xds-protos.lock
	echo mkdocs-material | $(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --upgrade - --output-file tests/tools/docs.lock
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --upgrade tests/tools/llm-sdks.in --output-file tests/tools/llm-sdks.lock
	for sdk in $(SDK_LOCKS:tests/interop/python/polar-sdk-%.lock=%); do \
	    echo "polar-sdk==$$sdk" | $(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --upgrade - --output-file tests/interop/python/polar-sdk-$$sdk.lock || exit; \
	done

.venv/requirements-bench: requirements-bench.lock .venv/requirements
	@sh tests/tools/pip_install.sh requirements-bench.lock
	@touch $@

$(BIN)/cost-insights-load: $(wildcard tests/benchmarks/load/*) | $(BIN)/python
	@sh tests/tools/needs.sh go
	cd tests/benchmarks/load && go build -o $(CURDIR)/$@ .

package: .venv/installed ## Writes the wheel, the source distribution, the protos and the bill of materials to dist/.
	sh tests/tools/package.sh dist

bench: .venv/installed .venv/requirements-bench $(BIN)/cost-insights-load ## Compares speeds, in one table; BENCH="--only sum --seconds 2" picks.
	sh tests/tools/postgresql.sh
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-metrics: .venv/installed .venv/requirements-bench $(BIN)/cost-insights-load ## Measures answers on 20 M events; BENCH="--events 1000000 --keep FOLDER" varies it.
	sh tests/tools/postgresql.sh
	$(BIN)/python -m tests.benchmarks.metrics $(BENCH)

bench-dashboard: .venv/installed .venv/requirements-bench $(BIN)/cost-insights-load ## Measures the dashboard in Chromium on 20 M events; BENCH="--events 1000000 --keep FOLDER" varies it.
	sh tests/tools/postgresql.sh
	sh tests/tools/chromium.sh
	$(BIN)/python -m tests.benchmarks.dashboard $(BENCH)

trust: .venv/installed ## Attacks the service for two hours, in one table; TRUST="--only credentials --minutes 5" picks.
	@sh tests/tools/needs.sh fuzz
	sh tests/tools/postgresql.sh
	sh tests/tools/faketime.sh
	$(BIN)/python -m tests.trust.campaign $(TRUST)

clean: ## Removes everything that make has built; databases stay.
	rm -rf .venv target .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f service/cost_insights/_native*.so
	find service tests -name __pycache__ -type d -prune -exec rm -rf {} +
