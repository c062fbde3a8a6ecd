# Two commands for a newcomer: `make demo` and `make test`. They need python3 with venv, and nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint faults runtimes bench train train-check evaluate-models clean

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)-train/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-train
	$(VENV)-train/bin/python -m pip install --quiet --editable '.[train,check]'
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/edge-encryptor demo

test: $(VENV)/.test lint
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every durable step killed and its power cut, 200 images over 110 random kills, and slow and lossy links: about 35 minutes.
# mosquitto is needed, and root for the lossy links.
faults: $(VENV)/.test
	$(BIN)/python -m pytest -m faults tests/faults tests/integration

# The networks under every model runtime and Python that this machine has: an environment each.
runtimes:
	.ci/runtimes $(VENV)

bench: $(VENV)/.test
	EDGE_TFLITE_PYTHON=$$(ls $(CURDIR)/$(VENV)-tflite/bin/python 2>/dev/null) $(BIN)/edge-firmware bench

train: $(VENV)-train/.done
	$(VENV)-train/bin/edge-firmware train
	$(VENV)-train/bin/edge-firmware evaluate-models --models models --update

# A few steps of each training, interrupted and taken up again.
train-check: $(VENV)-train/.done
	$(VENV)-train/bin/python -m pytest -m train tests/firmware_tools/training

evaluate-models: $(VENV)/.test
	$(BIN)/edge-firmware evaluate-models

clean:
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis demo-out
