# Two commands for a newcomer: `make demo` and `make test`. They need python3 with venv, and nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint faults soak fuzz runtimes bench train train-check evaluate-models clean

$(VENV)/.demo: pyproject.toml edge/chaos/kernel.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml edge/chaos/kernel.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)-train/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-train
	$(VENV)-train/bin/python -m pip install --quiet --editable '.[train,check]'
	@touch $@

$(VENV)-fuzz/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-fuzz
	$(VENV)-fuzz/bin/python -m pip install --quiet --editable '.[fuzz]'
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

# Every promise of docs/guarantees.md from live runs, and a table of what held: every durable step killed and its power cut,
# 200 images over 110 random kills, 30,000 files at once, and the rest. It needs mosquitto and the better part of an hour; as
# root, file systems are mounted too.
faults: $(VENV)/.test
	$(BIN)/python -m pytest -p tests.guarantees -m "faults or not faults" $$($(BIN)/python -m tests.guarantees)

# A device and its receiver under random faults for MINUTES: what arrived, memory and open files, and what held.
MINUTES ?= 10
soak: $(VENV)/.test
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

# A coverage-guided fuzzer at every door through which bytes of strangers come in, for FUZZ_SECONDS in all.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)-fuzz/.done
	$(VENV)-fuzz/bin/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS)

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
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz demo-out edge/chaos/_kernel.so
