# make video: everything is set up first, on any machine with Python >= 3.11.
.DEFAULT_GOAL := help
VENV ?= .venv
SETUP := $(VENV)/.pokora-setup
POKORA := $(VENV)/bin/pokora

# PROMPT and ARGS are taken as typed: $(value) keeps make from expanding a $ in them, and a prompt
# travels through the environment so that no shell reads it. Unexported, because make would expand
# them once more on the way.
unexport PROMPT ARGS TORCH
# Shells keep a PROMPT of their own: an empty one that comes from the environment is none, and $P$G is
# that of Windows, which WSL may hand on.
ifneq ($(filter command,$(origin PROMPT))$(filter-out $$P$$G,$(value PROMPT)),)
export POKORA_PROMPT := $(value PROMPT)
PROMPT_FLAG := --prompt-env POKORA_PROMPT
endif

# SEED is seed= in short. Whatever else is typed as NAME=value would be read by nobody, and is refused.
RENDERS := $(filter video stills sweep,$(MAKECMDGOALS))
KNOWN := ARGS VENV SHELL MAKE% MFLAGS GNUMAKEFLAGS -% PIP_% UV_% HF_% POKORA_% OMP_% CUDA_% $(if $(RENDERS),PROMPT SEED) \
  $(if $(filter submission,$(MAKECMDGOALS)),DRAFT) $(if $(filter-out help clean,$(MAKECMDGOALS)),TORCH)
TYPED := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
STRANGE := $(filter-out $(KNOWN),$(TYPED))
ifneq ($(STRANGE),)
$(error pokora: CFG-MAKE: make $(MAKECMDGOALS) does not read $(STRANGE)=; \
fix: keys go into ARGS, as in make video ARGS='seed=3 speed=hq')
endif
ifeq ($(filter command,$(origin SEED)),command)
SEED_FLAG := seed=$(value SEED)
endif

# TORCH is another build of torch than the lock's, as an older NVIDIA driver needs it; the one that is kept
# in .venv stays until another is typed.
TORCH_BUILD := pokora_anime/devices/torch_build.py
PINS := $(VENV)/.pokora-pins
TORCH_KEPT := $(or $(shell cat $(VENV)/.pokora-torch 2>/dev/null),lock)
TORCH_TYPED := $(if $(filter command,$(origin TORCH)),$(value TORCH))
$(SETUP): export POKORA_TORCH := $(or $(TORCH_TYPED),$(TORCH_KEPT))
ifneq ($(or $(TORCH_TYPED),$(TORCH_KEPT)),$(TORCH_KEPT))
$(SETUP): another-build
endif
another-build: ;

.PHONY: help setup video stills studio live submission sweep test lint docs bench bench-gpu bench-regression clean

help: ## show this page
	@echo 'make TARGET [PROMPT='"'"'1girl, blue hair, waving'"'"'] [SEED=7|random] [ARGS='"'"'key=value ...'"'"']'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 - \2/p' Makefile | awk -F' - ' '{printf "%-18s %s\n", $$1, $$2}'
	@echo
	@echo 'Try:  make video'
	@echo '      make video PROMPT='"'"'1girl, blue hair, twintails, waving, cherry blossoms'"'"' SEED=7'
	@echo '      make video ARGS='"'"'experiment=preview seed=3'"'"

setup: $(SETUP) ## install everything into .venv, as all others do (TORCH=cu126: a torch for older NVIDIA drivers)

video: $(SETUP) ## render an 8 s anime clip
	@$(POKORA) video $(PROMPT_FLAG) $(SEED_FLAG) $(value ARGS)

stills: $(SETUP) ## render images, each with the next seed
	@$(POKORA) stills $(PROMPT_FLAG) $(SEED_FLAG) $(value ARGS)

studio: $(SETUP) ## all of it in a browser on this machine (ARGS='studio.port=8400')
	@$(POKORA) studio --open $(value ARGS)

live: $(SETUP) ## an endless clip that follows what you type (ARGS='live.steps=1')
	@$(POKORA) live $(value ARGS)

sweep: $(SETUP) ## render a small grid (seeds x speeds) and a gallery of it
	@$(POKORA) sweep --open $(PROMPT_FLAG) $(SEED_FLAG) $(value ARGS)

submission: $(SETUP) ## pack runs, write-up, poster and source for a jury (DRAFT=1: although something is missing)
	@$(POKORA) submission build $(if $(DRAFT),--draft) $(value ARGS)

test: $(SETUP) ## run the tests
	@OMP_WAIT_POLICY=PASSIVE $(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(value ARGS)

lint: $(SETUP) docs ## check style, format, types, and that the docs build
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python

docs: $(SETUP) ## build the docs as a site in build/docs, to be read without a network
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

bench: $(SETUP) ## measure this machine
	@$(POKORA) bench $(value ARGS)

bench-gpu: $(SETUP) ## measure a CUDA card in ten minutes (without one: a dry run on the processor)
	@$(POKORA) bench gpu --minutes 10 $(value ARGS)

bench-regression: $(SETUP) ## CPU-seconds against the commit before; fails where they are 15 % more
	@$(VENV)/bin/python -m benchmarks.regression $(value ARGS)

clean: ## remove what tools left behind (outputs and .venv stay)
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Once, and again when the lock or the package's own description changes. uv is fast but does not
# read pip's configuration, so where it fails pip has the last word. The lock holds all that is needed:
# uv pip compile --universal --no-header --no-annotate --no-emit-package vapoursynth \
#   --no-emit-package openvino-telemetry --extra dev --extra docs --extra upscale --extra rife --extra openvino --extra studio pyproject.toml -o requirements.lock
$(SETUP): requirements.lock pyproject.toml setup.py
	@python=; for candidate in python3.12 python3.13 python3.11 python3 python; do \
	  if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; \
	  then python=$$candidate; break; fi; done; \
	if [ -x $(VENV)/bin/python ]; then :; \
	elif [ -z "$$python" ]; then \
	  echo 'pokora: SYS-PYTHON: no Python >= 3.11 found; fix: install one from python.org' >&2; exit 4; \
	else $$python -m venv $(VENV) || { rm -rf $(VENV); \
	  echo 'pokora: SYS-VENV: python -m venv failed; fix (Debian, Ubuntu): apt install python3-venv' >&2; exit 4; }; \
	fi
	@echo 'Setting up (once, a few minutes: torch is large) ...'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv || true
	@$(VENV)/bin/python -I $(TORCH_BUILD) choose $(VENV)
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --no-deps -r $(PINS) \
	  || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $(PINS)
	@$(VENV)/bin/python -I $(TORCH_BUILD) install $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
