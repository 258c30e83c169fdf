# What developers run. `make demo` and `make test` install what they need first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The first Python from 3.11 to 3.13 that runs. A name may exist and fail: version managers install such shims.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
SCIPION ?= 1

.PHONY: help
help:  ## show this page
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

# ---- environments

.PHONY: install
install: .venv/installed  ## make .venv with everything a developer needs

# Kernels in C are compiled again when they change.
.venv/installed: requirements-dev.lock pyproject.toml setup.py $(wildcard preprocess/backends/compiled/*.[ch])
	@test -n "$(PYTHON)" || { echo "cryoferry needs Python 3.11, 3.12 or 3.13: install one of them, or run make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo "Aligning a small simulated movie, so that the alignment code is compiled once for all runs …"
	@rm -rf .venv/first-movie
	@{ $(BIN)/cryoferry simulate --out .venv/first-movie --size 512 --frames 8 && \
	   $(BIN)/cryoferry align .venv/first-movie/*.tiff --gain .venv/first-movie/gain*.mrc --out .venv/first-movie/aligned; } \
	   >.venv/first-movie.log 2>&1 || echo "That failed: see .venv/first-movie.log. The first movie that you align will take longer." >&2
	@rm -rf .venv/first-movie
	@touch $@

.PHONY: scipion
scipion: install  ## install Scipion into .scipion, an environment of its own (Python 3.8 to 3.12)
	@$(BIN)/python deploy/scipion-plugin/install.py --to .scipion

.PHONY: scipion-plugins
scipion-plugins: scipion  ## add the Scipion plugins of RELION and cisTEM to .scipion, for make campaign PART=scipion
	@.scipion/venv/bin/python -m pip install --quiet --no-deps --require-hashes -r deploy/scipion-plugin/plugins.lock

.PHONY: scipion-if-wanted
scipion-if-wanted: install
ifneq ($(SCIPION),0)
	@$(BIN)/python deploy/scipion-plugin/install.py --to .scipion || \
		{ status=$$?; [ $$status -eq 3 ] && echo "Continuing without Scipion: micrographs will be registered in RELION's STAR file only." >&2; [ $$status -eq 3 ]; }
endif

# Extras stay in the lock files: an older pip treats NAME[extra] as another package than NAME, and finds no version for it.
.PHONY: lock
lock:  ## write the lock files from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-strip-extras pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-strip-extras pyproject.toml --group dev -o requirements-dev.lock

.PHONY: dist
dist: install  ## build the wheel and the source archive into dist/
	@$(BIN)/python -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' >/dev/null
	@rm -rf build
	@ls dist/cryoferry-*

WHEEL_TRIAL := build/wheel-trial
.PHONY: wheel
wheel: dist  ## build a wheel with kernels in C, and align a movie with it in an empty environment
	@ls dist/cryoferry-*-abi3-*.whl >/dev/null || { echo "no kernels were compiled: install a C compiler (gcc)" >&2; exit 2; }
	@rm -rf $(WHEEL_TRIAL) && mkdir -p $(WHEEL_TRIAL) && $(PYTHON) -m venv $(WHEEL_TRIAL)/venv
	@$(WHEEL_TRIAL)/venv/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(WHEEL_TRIAL)/venv/bin/python -m pip install --quiet --no-deps $$(ls -t dist/cryoferry-*-abi3-*.whl | head -1)
	@cd $(WHEEL_TRIAL) && venv/bin/python -c 'from preprocess.backends.compiled.available import kernels_are_missing as m; assert not m()' \
		&& venv/bin/cryoferry simulate --out movie --size 512 --frames 8 >/dev/null \
		&& venv/bin/cryoferry align movie/*.tiff --gain movie/gain*.mrc --out aligned
	@rm -rf build && ls dist/cryoferry-*-abi3-*.whl

# ---- use

.PHONY: demo
demo: scipion-if-wanted  ## run a demonstration, from microscope to Scipion (SCIPION=0: without Scipion)
	@$(BIN)/cryoferry demo $(if $(filter 0,$(SCIPION)),--no-scipion,) $(DEMO_FLAGS)

.PHONY: bench
bench: install  ## measure alignment against RELION on this machine (BENCH="k3 --seeds 0-4": other movies)
	@$(BIN)/cryoferry bench align $(or $(BENCH),small faint doming)

CUDA ?= 12
.PHONY: bench-gpu
bench-gpu: install  ## the same on an NVIDIA GPU, stage by stage, 200 movies in a row (CUDA=13: a driver for CUDA 13)
	@$(BIN)/python -c 'import cupy' 2>/dev/null || $(BIN)/python -m pip install --quiet 'cupy-cuda$(CUDA)x[ctk]>=14'
	@$(BIN)/cryoferry bench align $(or $(BENCH),k3 k3-super falcon-eer) --device cuda:0 --threads $(or $(THREADS),8)

OUT ?= first-run
.PHONY: first-run-gpu
first-run-gpu: install  ## half an hour on a GPU that is new to us: comparisons, tests, sanitizers, profile; JSON into OUT
	@$(BIN)/python -c 'import cupy' 2>/dev/null || $(BIN)/python -m pip install --quiet 'cupy-cuda$(CUDA)x[ctk]>=14'
	@FIRST_RUN_MINUTES=$(or $(MINUTES),30) $(BIN)/python -m benchmarks.device.first_run $(OUT) $(ONLY)

# ---- checks

.PHONY: check
check: install  ## run ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/ruff check --config deploy/scipion-plugin/pyproject.toml deploy/scipion-plugin

.PHONY: test
test: scipion-if-wanted  ## run all tests; prints what it skips and what to install for it
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

# The parts of the campaign, by the names that PART takes.
CAMPAIGN_faults := tests/faults
CAMPAIGN_agent-kills := tests/faults/test_agent_kills.py
CAMPAIGN_both-killed := tests/faults/test_both_killed.py
CAMPAIGN_everything-killed := tests/faults/test_everything_killed.py
CAMPAIGN_kills := tests/faults/test_agent_kills.py tests/faults/test_receiver_killed.py
CAMPAIGN_power-cuts := tests/faults/test_power_cuts.py
CAMPAIGN_injection := tests/faults/test_injected_faults.py
CAMPAIGN_lying-disk := tests/faults/test_lying_disk.py
CAMPAIGN_share := tests/faults/test_share_faults.py
CAMPAIGN_floods := tests/faults/test_floods.py
CAMPAIGN_upload-machine := tests/contract/wire/test_upload_machine.py
CAMPAIGN_claim-machine := tests/contract/wire/test_claim_machine.py
CAMPAIGN_openapi := tests/contract/wire/test_openapi.py
CAMPAIGN_scipion := $(sort $(wildcard tests/integration/test_scipion*.py))
CAMPAIGN_relion := tests/integration/test_relion_recipe.py
CAMPAIGN_gpu-host := tests/preprocess/backends/cuda/test_kernels_race_free.py tests/preprocess/backends/cuda/test_streams_on_host.py
PARTS := faults agent-kills both-killed everything-killed kills power-cuts injection lying-disk share floods upload-machine claim-machine openapi scipion relion gpu-host

.PHONY: campaign
campaign: campaign-part scipion-if-wanted  ## fault tests in their long form, hours (PART=upload-machine: a part; PART=list)
	CRYOFERRY_CAMPAIGN=1 $(BIN)/python -m pytest --timeout 3600 \
		$(or $(CAMPAIGN_$(PART)),$(CAMPAIGN_faults) $(CAMPAIGN_upload-machine) $(CAMPAIGN_claim-machine) $(CAMPAIGN_openapi) $(CAMPAIGN_scipion) $(CAMPAIGN_relion)) $(PYTEST_FLAGS)

.PHONY: campaign-part
campaign-part:
ifneq ($(PART),)
ifeq ($(filter $(PART),$(PARTS)),)
	@echo "make campaign: there is no part '$(PART)'. The parts are: $(PARTS)" >&2; exit 2
endif
endif

.PHONY: structure
structure:  ## print how the code is arranged: modules, lengths, circles (ROOT=/another/checkout: another one)
	@$(PYTHON) tests/architecture/report.py $(ROOT)

.PHONY: clean
clean:  ## remove the files of checks and demo, not the environments
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* build dist *.egg-info cryoferry-demo
	find . -name __pycache__ -not -path './.venv/*' -not -path './.scipion/*' -prune -exec rm -rf {} +
