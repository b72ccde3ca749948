# make            lists the targets
# make test       needs Python 3.11 or newer and a package index, nothing else; so does make demo
#
# PYTHON=python3.13 chooses another interpreter; each has its own environment.

PYTHON ?= python3
ARGS   ?=
CPU    ?=

VENV := .venv$(addprefix -,$(filter-out python3,$(notdir $(PYTHON))))
PY   := $(VENV)/bin/python

MAKEFLAGS += --no-builtin-rules --warn-undefined-variables
.SUFFIXES:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-extras bench planted-bugs stress table portability docs lint types clean train-environment dev-environment

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo 'PYTHON=python3.13 chooses the interpreter, ARGS="-k causal" is passed on, here to pytest.'

demo: train-environment  ## train on handwritten digits in minutes: bits/dim, samples and the learning curve
	"$(PY)" -m experiments.train --config=configs/digits.py --workdir=runs/digits $(ARGS)

test: dev-environment  ## all tests that guard a change; CPU=AVX2 compiles for that instruction set, with fusions as users have them
	$(if $(CPU),PIXELCNN_TEST_CPU=$(CPU)) "$(PY)" -m pytest -m 'not long' $(ARGS)

test-all: test  ## make test, then what takes long by nature: README in fresh environments, notebooks, pages, chains of commands, benchmarks
	"$(PY)" -m pytest -m long $(ARGS)

test-extras: dev-environment  ## install NetKet and Open MPI into the environment: wave functions, and training under mpirun
	"$(PY)" -m pip install --quiet --disable-pip-version-check --editable '.[netket,mpi]'
	"$(PY)" -m pytest tests/test_netket.py tests/training/test_processes.py -k 'netket or mpirun' --numprocesses=0 $(ARGS)

bench: train-environment  ## run the benchmarks; ARGS=--data-dir=DIR reads real CIFAR-10
	"$(PY)" -m benchmarks.sampling
	"$(PY)" -m benchmarks.train_step
	"$(PY)" -m benchmarks.growth
	"$(PY)" -m benchmarks.input $(ARGS)
	"$(PY)" -m benchmarks.first_step

planted-bugs: dev-environment  ## plant bugs, one at a time: the tests named with each must find it; ARGS="--only=codec"
	"$(PY)" -m tools.planted_bugs $(ARGS)

stress: dev-environment  ## attack files, command lines and workdirs for ten minutes; ARGS=--seed=1
	PYTHONPATH=tests "$(PY)" -m stress $(ARGS)

table: train-environment  ## derive every published figure again and check the table in the README; ARGS=--data-dir=DIR
	"$(PY)" -m tools.table $(ARGS)

portability: train-environment  ## decode files of the integer models in many environments; ARGS=--python=PATH adds one
	"$(PY)" -m tools.portability $(ARGS)

docs: dev-environment  ## build the documentation into docs/_build/html, warnings as errors
	"$(PY)" -m sphinx -q -W -b html docs docs/_build/html

lint: dev-environment  ## check style and likely mistakes
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m tools.docstrings

types: dev-environment  ## check types
	"$(PY)" -m mypy

clean:  ## remove environments and caches; runs/ stays
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache build dist docs/_build docs/notebooks *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is finished if its file `installed` says so: that is written last, and removed before anything is
# changed, so that an interrupted install leaves none. Its lines: which interpreter in which folder, then which extra
# from which pyproject.toml. If the first differs (Python was upgraded, the folder was copied) the environment is made
# anew; if the second does, pip brings it up to date. dev holds all that train does, so train is content with either.
train-environment:
	@$(call environment,train,train|dev)

dev-environment:
	@$(call environment,dev,dev)

define environment
set -eu; \
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
    echo '"$(PYTHON)" is not a Python 3.11 or newer. Name one that is: make PYTHON=python3.13 ...' >&2; \
    exit 1; \
}; \
place=$$("$(PYTHON)" -c 'import os, sys; print(sys.base_prefix, sys.version_info[:3], os.getcwd())'); \
content=$$(cksum < pyproject.toml); \
was_place=; was_extra=; was_content=; \
if [ -f "$(VENV)/installed" ]; then \
    { read -r was_place; read -r was_extra; read -r was_content; } < "$(VENV)/installed" || true; \
fi; \
if [ "$$was_place" = "$$place" ] && [ "$$was_content" = "$$content" ]; then \
    case "$$was_extra" in $(2)) exit 0;; esac; \
fi; \
rm -f "$(VENV)/installed"; \
if [ "$$was_place" != "$$place" ]; then "$(PYTHON)" -m venv --clear "$(VENV)"; fi; \
echo 'Installing .[$(1)] into $(VENV): some minutes the first time' >&2; \
"$(PY)" -m pip install --quiet --disable-pip-version-check --editable '.[$(1)]'; \
printf '%s\n' "$$place" '$(1)' "$$content" > "$(VENV)/installed"
endef
