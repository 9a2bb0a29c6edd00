# make run     the server with demo traffic, on http://127.0.0.1:4318, until Ctrl-C
# make demo    the same without staying: a summary, exit code 0
# make test    the test suite            make test-all   with the slow tests
# make eval    the examples' and the demo's agents against their own suite, gated
# make lint    ruff and strict types     make bench      the table of budgets, measured
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run demo test test-all eval lint bench signals bench-peers system clean

run: $(VENV)/.installed
	$(BIN)/python -m pilothouse.server.try_out --stay

demo: $(VENV)/.installed
	$(BIN)/python -m pilothouse.server.try_out

test: $(VENV)/.tested
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-all: test
	$(BIN)/python -m pytest -m slow -n auto --dist loadfile

# Offline, on scripted models. The base is the run that is kept with the cases; one that fails closes the gate.
eval: $(VENV)/.installed
	@$(BIN)/pilothouse eval run --suite examples/evals --version checked --fresh --human; ended=$$?; \
	  [ $$ended = 0 ] || [ $$ended = 9 ] || exit $$ended
	@$(BIN)/pilothouse eval gate baseline last --suite examples/evals --human

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(VENV)/.tested
	$(BIN)/python -m benchmarks

# Precision and recall of every signal, on real runs and on runs with a known fault.
signals: $(VENV)/.tested
	$(BIN)/python -m benchmarks --only signals

bench-peers: $(VENV)/.tested
	$(BIN)/python -m benchmarks --peers

# Debian's python3 comes without venv: said, and mended where it can be.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "this python3 cannot make environments: installing python3-venv"; \
	  [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv \
	  || { echo "run: sudo apt-get install python3-venv"; exit 1; }; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[all,demo]'
	@touch $@

# What the tests need besides: test tools, the real agent SDKs, a ClickHouse node, the Node packages of the AI SDK.
$(VENV)/.tested: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[all,demo]' --group dev
	sh tests/prepare.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .venv-clients build dist .pytest_cache .ruff_cache
