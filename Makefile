# Everything a checkout needs: Python 3.10 or later and make, no compiler.
#   make demo     installs into .venv and runs the built-in demo
#   make test     installs with the tools for development and runs the tests
#   make CPU=1 demo   the same with the CPU-only build of torch (200 MB instead of several GB)

VENV := .venv
PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip --disable-pip-version-check
CPU_WHEELS := https://download.pytorch.org/whl/cpu

.PHONY: demo test lint format matrix clean

demo: $(VENV)/.ready
	$(VENV)/bin/caffdet demo $(ARGS)

test: $(VENV)/.ready-dev
	$(PYTHON) -m pytest -m "not slow" $(ARGS)

lint: $(VENV)/.ready-dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: $(VENV)/.ready-dev
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# By hand: the oldest and the newest supported Python and torch, each in its own environment below build/matrix.
matrix:
	bash .ci/matrix

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says what is installed; it is older than pyproject.toml when that has changed.
$(VENV)/.ready: pyproject.toml | $(PYTHON)
	$(if $(CPU),$(PIP) install torch torchvision --index-url $(CPU_WHEELS))
	$(PIP) install --editable .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml | $(PYTHON)
	$(if $(CPU),$(PIP) install torch torchvision --index-url $(CPU_WHEELS))
	$(PIP) install --editable ".[dev]"
	@touch $@ $(VENV)/.ready

$(PYTHON):
	"$$(bash .ci/python 3.11 3.12 3.13 3.10)" -m venv --clear $(VENV)
