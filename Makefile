# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
#
#     make demo                              fine-tune on the bundled examples
#     make PYTHON=/path/to/python3.12 test   with a Python of your choice
#
# On Linux without a GPU, `.venv/bin/pip install torch==2.13.0` from PyTorch's own CPU index beforehand
# saves some gigabytes of GPU libraries; the set-up keeps the build that it finds.

.DEFAULT_GOAL := help
.SUFFIXES:

BIN := .venv/bin
QUICKSTART := .venv/.quickstart
DEV := .venv/.dev
SETUP := PYTHON="$(PYTHON)" sh tools/setup.sh
export PIP_DISABLE_PIP_VERSION_CHECK := 1

$(QUICKSTART): pyproject.toml constraints.txt
	@$(SETUP) quickstart,quickstart-image

$(DEV): pyproject.toml constraints.txt
	@$(SETUP) quickstart,quickstart-image,dev

.PHONY: demo
demo: $(QUICKSTART) ## fine-tune on examples/support_tickets.csv, then say how good it is and where the report lies
	@$(BIN)/tunesmith train examples/support_tickets.csv --effort quick

.PHONY: test-fast
test-fast: $(DEV) ## what takes no second each, for every commit: under 3 minutes on two cores
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not story and not slow"

.PHONY: test
test: $(DEV) ## the stories of whole runs too, for what lands: under 10 minutes on two cores
	@$(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: test-all
test-all: $(DEV) ## every test, the slow ones too
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "slow or not slow"

.PHONY: check
check: $(DEV) ## style, types, layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(DEV) ## put the code in style
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: bench
bench: $(QUICKSTART) ## measure speed, memory and accuracy against transformers.Trainer, hours; writes docs/benchmarks.md
	@$(BIN)/python bench/run.py

.PHONY: docs
docs: $(QUICKSTART) ## write docs/reference.md from the code
	@$(BIN)/python tools/reference.py

.PHONY: picture
picture: $(QUICKSTART) ## make the picture of the README anew, from what the demo does (needs Chromium)
	@$(BIN)/python tools/picture.py

.PHONY: lock
lock: $(DEV) ## move constraints.txt to the newest versions that pyproject.toml allows
	@$(BIN)/python tools/lock.py

.PHONY: clean
clean: ## delete caches and build products; .venv, runs/ and what bench measured stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
