# make compare: the main job, on the embedded data. make test: everything that is checked. make docs: the site.
# make numeric: tests of numbers once more, as other processors round.
# make removable: everything else works without each feature. Takes long.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: compare test checks pytest numeric removable docs clean

compare: $(VENV)/.installed
	$(BIN)/spikeduel compare

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) -j 2 pytest checks

# The tests of independent packages run in copies without the rest.
pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -q \
		--ignore tests/statistics --ignore tests/auditing --ignore tests/engine
	$(BIN)/python tools/alone.py

# With the instructions of an old processor, and with last bits that depend on the size of a batch.
numeric: PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile -q -m numeric `grep -rl mark.numeric tests --include '*.py'`
numeric: $(VENV)/.installed-dev
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE NUMBA_CPU_NAME=generic \
		NUMBA_CPU_FEATURES= $(PYTEST)
	$(PYTEST) --rounding

removable: $(VENV)/.installed-dev
	$(BIN)/python tools/removable.py

checks: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sphinx-build -W -q docs build/docs

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W -q docs build/docs
	@echo "open build/docs/index.html"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("spikeduel needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing spikeduel and PyTorch into $(VENV)/, once: some minutes, and a few hundred megabytes to download"
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing spikeduel, PyTorch and what the tests need into $(VENV)/, once: some minutes"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-docs

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[train,docs]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
