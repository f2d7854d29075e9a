# Needs Python 3.11 or newer, pip and make; everything else is installed into .venv.
# Another interpreter: make PYTHON=python3.12. Your pip configuration is used as it is.

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
DEMO := .venv/.demo

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo hello test packages asserts test-long test-newest test-oldest bench-quick lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with hpcurate (editable) and the packages of its tests and of the video pipeline

demo: $(DEMO) | demo/videos ## Curate a few sample videos on this machine, into demo/store
	$(PY) -m hpcurate +pipeline=video input=demo/videos store=demo/store launcher=local
	@echo
	@echo "clips, metadata, previews:   ls -R demo/store/runs/latest/output"
	@echo "counts of each stage:        cat demo/store/runs/latest/summary.json"
	@echo "what failed, and why:        $(PY) -m hpcurate why --store demo/store"

hello: $(READY) ## A pipeline with small models (191 MB, by pip) that answers in English, into demo/store
	$(PY) -m hpcurate install +pipeline=hello store=demo/store launcher=local
	$(PY) -m hpcurate +pipeline=hello store=demo/store launcher=local
	@echo
	@cat demo/store/runs/latest/output/answers.jsonl
	@echo
	@echo "answers, tables, vectors:    ls -R demo/store/runs/latest/output"
	@echo "prompts of your own:         $(PY) -m hpcurate +pipeline=prompts store=demo/store launcher=local input=prompts.jsonl"

test: ## All checks and tests (about 15 minutes on 2 cores); as root on Debian installs Slurm and a browser first
	$(MAKE) --no-print-directory -j2 packages lint asserts
	$(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test-long: $(READY) ## The long campaigns, and only these
	scripts/install-test-deps
	$(PY) -m pytest -m long -o timeout=3600 -o faulthandler_timeout=4000

test-newest: ## The tests with the newest release of everything, and another Python: make PYTHON=python3.13 test-newest
	scripts/install-test-deps
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet -e '.[dev,video,readers]'
	.venv-newest/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test-oldest: ## The tests with the lowest version of everything that pyproject.toml allows
	scripts/install-test-deps
	$(PYTHON) -m venv --clear .venv-oldest
	$(PYTHON) scripts/oldest-versions > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet -c .venv-oldest/constraints.txt -e '.[dev,video]'
	.venv-oldest/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

bench-quick: $(READY) ## Whether anything became slower: ratios to peers, under two minutes; nothing else may run
	$(PY) benchmarks/quick.py

packages: # beside the checks, which do not need them
	scripts/install-test-deps

# What pytest makes of the tests is kept, so that its processes read it: in each of them it would take five seconds.
asserts: $(READY)
	@PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --collect-only -qq > .venv/collected || cat .venv/collected

lint: $(READY) ## Style and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: $(READY) ## Format the code
	$(PY) -m ruff check --select I --fix
	$(PY) -m ruff format

clean: ## Remove what make and the tests made here: .venv, demo, caches
	rm -rf .venv .venv-newest .venv-oldest demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Rendered into another folder and renamed, so that an interrupted rendering is not taken for a finished one.
demo/videos: | $(DEMO)
	rm -rf $@.part
	mkdir -p $@.part
	$(PY) scripts/make-samples $@.part
	mv $@.part $@

# Debian without python3-venv cannot put pip into a new environment: pip installs itself there from outside.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hpcurate needs Python 3.11 or newer, $(PYTHON) is older; try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv || { \
	  $(PYTHON) -m venv --clear --without-pip .venv && \
	  $(PYTHON) -m pip --python .venv/bin/python install --quiet pip; }

# Without the packages of the tests: those install torch.
$(DEMO): pyproject.toml constraints.txt | $(PY)
	@echo "installing into .venv"
	$(PY) -m pip install --quiet -c constraints.txt -e '.[video]'
	@touch $@

$(READY): pyproject.toml constraints.txt | $(PY)
	@echo "installing into .venv"
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev,video,readers]'
	@touch $@
