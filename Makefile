# On a machine with Python 3.11, 3.12 or 3.13 and nothing else, `make demo` and `make test` do everything, set-up
# included. The first of the three that runs is used; another is named by `make PYTHON=python3.12 …`.
PYTHONS := python3.11 python3.12 python3.13
PYTHON ?= $(or $(firstword $(foreach python,$(PYTHONS),$(shell $(python) -c 'print("$(python)")' 2>/dev/null))),python3.11)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Bytecode that is kept is worth twenty seconds to every process that imports torch, Feast and MLflow.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test lint format docs requirements setup clean

demo: setup
	$(BIN)/twinvec demo

# A third process, since tests wait for disks, servers and processes that they start.
test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# API pages in site/; dead links in them or in the Markdown pages are errors. `Home` inherits from the last two modules.
docs: setup
	rm -rf site
	$(BIN)/python -m pdoc -d google -o site twinvec registry twinvec.home.reading twinvec.home.opened
	$(BIN)/python docs/check_links.py site

# Written anew from pyproject.toml; versions already there are kept unless `make requirements UPGRADE=--upgrade`.
requirements: setup
	$(BIN)/uv pip compile pyproject.toml --group dev --group benchmarks --universal --python-version 3.11 $(UPGRADE) \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet -o requirements.txt

setup: $(INSTALLED)

# uv is quick, but knows nothing of pip's configuration: where it cannot install, pip does.
$(INSTALLED): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || { $(BIN)/python -m ensurepip && $(BIN)/python -m pip install --quiet -c requirements.txt uv; }
	$(BIN)/uv pip install --python $(BIN)/python -r requirements.txt || \
		$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation -e . || \
		$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache site
