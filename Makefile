# `make drive` opens the window, `make test` checks everything. Both create .venv and install what they need into it.
PYTHON ?= python3
# not compiled in advance: most of what is installed is never imported
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Bytecode is written even if the environment disables it, as container images do: otherwise every process compiles all
# that it imports, and the tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: drive serve compat test test-all test-faults fuzz soak wheel-test docs lint ruff lock sbom clean
.DEFAULT_GOAL := drive

drive: $(VENV)/.drive
	@$(BIN)/neuralsim drive $(ARGS)

serve: $(VENV)/.serve
	@$(BIN)/neuralsim serve $(ARGS)

# Two tests at a time, one thread of OpenMP each, then, one by one, those that measure time, for which the machine must not
# be busy. mypy fills what is left of the cores from the moment on that the packages are there. `test` stays within ten
# minutes on two cores; `test-all` adds the slow ones. Status 5: with ARGS="tests/..." there may be no test of one kind. A
# worker that crashes is not replaced: pytest-xdist 3.8 would wait for ever for its other tests.
SOME = and not slow
ALONE = $(shell grep -rl "mark\.alone" tests --include="test_*.py")# nothing else is imported while a core is idle
CACHE = $(CURDIR)/$(VENV)/test-cache# of both parts: towns are built and runtimes measured once
PYTEST = NEURALSIM_CACHE="$(CACHE)" $(BIN)/python -m pytest
test-all: SOME =
test test-all: ruff
	@rm -rf "$(CACHE)"
	nice $(BIN)/mypy & types=$$!; $(COMPILED); \
	OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not alone $(SOME)" $(ARGS) || [ $$? = 5 ] || { kill $$types 2>/dev/null; exit 1; }; \
	wait $$types
	$(PYTEST) -m "alone $(SOME)" $(or $(ARGS),$(ALONE)) || [ $$? = 5 ]

# Robustness: docs/guide/reliability.md reports the measurements.
CYCLES ?= 100
CALLS ?= 100000
MESSAGES ?= 1000000
MINUTES ?= 60
SECONDS ?= 120
READERS ?= yaml scenario openscenario opendrive mcap classes card picture frame control
test-faults: $(VENV)/.dev
	FAULT_CYCLES=$(CYCLES) $(BIN)/python -m pytest tests/faults $(ARGS)

fuzz: $(VENV)/.dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/test_properties.py --timeout 3600 $(ARGS)
	$(BIN)/python -m tests.hostile.link --messages $(MESSAGES)
	$(BIN)/python -m tests.hostile.port --calls $(CALLS) --silent 200
	! $(BIN)/python -c 'import atheris' 2>/dev/null || for reader in $(READERS); do \
	  $(BIN)/python -m tests.hostile.guided $$reader --seconds $(SECONDS) || exit 1; done

compat: $(VENV)/.dev
	$(BIN)/python -m tools.compat $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

# Lets numba compile what a drive calls while the packages for tests are installed and mypy runs; otherwise many tests wait
# for that. With a runtime, as then nothing is measured: what the renderer and what the town needs is compiled at the same
# time. It begins in $(VENV)/.tools, and $(VENV)/.dev waits for it.
FIRST_DRIVE = $(BIN)/neuralsim drive --headless --autopilot --size 64x32 --frames 3 --runtime openvino
COMPILED = flock $(VENV)/first_drive.lock touch $(VENV)/.dev

# The wheel in environments with nothing but it and what the locks pin; `make test` uses the packages of .venv instead.
wheel-test: $(VENV)/.dev
	NEURALSIM_EMPTY=1 $(BIN)/python -m pytest tests/packaging/test_wheel.py $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

lint: ruff
	$(BIN)/mypy

ruff: $(VENV)/.packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 10) <= v < (3, 14) else \
	  f"NeuralSim needs Python 3.10 to 3.13, this is {v.major}.{v.minor}: call make PYTHON=python3.12 drive")'
	$(PYTHON) -m venv $(VENV)

# The locks are complete, so nothing needs to be resolved; each file is checked against its hash. uv takes seconds where
# pip takes a minute, but does not read pip's settings: where only pip's mirror can be reached, pip does it.
LOCKED = --require-hashes --no-deps
UV = UV_HTTP_TIMEOUT=10 $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python
locked = { $(UV) $(LOCKED) $(1) 2>$(VENV)/uv.log || $(PIP) $(LOCKED) $(1); }

$(BIN)/uv: requirements/uv.txt | $(BIN)/python
	-@$(PIP) $(LOCKED) -r $<

$(VENV)/.drive: requirements.txt requirements/drive.txt pyproject.toml | $(BIN)/uv
	@echo "Installing what a drive needs into $(VENV): 45 packages, 1.4 GB, up to two minutes without further output"
	@$(call locked,-r requirements.txt)
	$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.serve: $(VENV)/.drive requirements/serve.txt
	@$(call locked,-r requirements/serve.txt)
	@touch $@

# PyTorch is unpacked while the other packages are fetched; what it needs on this machine comes when those are there.
$(VENV)/.torch: requirements/torch.txt | $(BIN)/python
	@$(PIP) --no-deps -r $<
	@touch $@

$(VENV)/.tools: $(VENV)/.serve $(addprefix requirements/,train.txt gym.txt dev.txt)
	@flock $(VENV)/first_drive.lock $(FIRST_DRIVE) >$(VENV)/first_drive.log 2>&1 &
	@$(call locked,-r requirements/train.txt -r requirements/gym.txt -r requirements/dev.txt)
	@touch $@

$(VENV)/.packages: requirements.txt pyproject.toml $(addprefix requirements/,drive.txt serve.txt train.txt gym.txt torch.txt dev.txt)
	@$(MAKE) --no-print-directory -j2 $(VENV)/.torch $(VENV)/.tools
	@$(PIP) -r requirements/torch.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.packages
	@$(COMPILED)

$(VENV)/.docs: $(VENV)/.drive requirements/docs.txt
	@$(call locked,-r requirements/docs.txt)
	@touch $@

# Regenerate the locks from the ranges in pyproject.toml; ARGS="--upgrade" or ARGS="--upgrade numba scipy" for newer versions
lock: | $(BIN)/uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python requirements/lock.py $(ARGS)

# A software bill of materials of a drive's environment, with licences and dependencies (CycloneDX 1.6). The tool has its
# own environment, so that it does not list itself.
sbom: $(VENV)/.drive
	$(PYTHON) -m venv build/sbom
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	build/sbom/bin/python -m cyclonedx_py environment --pyproject pyproject.toml --mc-type application \
	  --output-reproducible -o build/sbom.cdx.json $(BIN)/python
	@echo build/sbom.cdx.json

clean:
	rm -rf $(VENV) build site *.egg-info
