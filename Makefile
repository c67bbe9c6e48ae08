# `make` alone lists the targets. Every target first makes .venv from requirements.lock.

PYTHON ?= python3
MESSAGES ?= 200000
WAVES ?= out/waves.vcd
FLOW ?= docs/examples/flow.csv
COMMANDS ?= 10000000
SEED ?= $(shell printf %d 0x$$(git rev-parse --short=8 HEAD 2>/dev/null || echo 1))

BIN := .venv/bin
INSTALLED := .venv/installed
FPGA := .venv/fpga
LINKS := .venv/links
BOARDS := ecp5-evaluation ulx3s
UV_VERSION := 0.13.8
COMPILE := .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

.DELETE_ON_ERROR:
.PHONY: help demo test lint bench bitstreams formal timing soak coverage mutation waves lock

help:  ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(INSTALLED)  ## run a market through the hardware book and write out/demo.html (MESSAGES=200000)
	@mkdir -p out
	$(BIN)/bandgap demo --messages $(MESSAGES) --report out/demo.html

test: $(INSTALLED)  ## run the test suite; BANDGAP_SEED=N repeats a random failure
	$(BIN)/python -m pytest -n 2

lint: $(INSTALLED) $(LINKS)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(LINKS) $(BIN)/mypy

bench: $(INSTALLED)  ## measure the embedded device and write docs/results and docs/performance.md
	$(BIN)/python -m bandgap.sim.lab.throughput
	$(BIN)/python -m bandgap.sim.lab.core

timing: $(INSTALLED) $(FPGA)/installed  ## build the ECP5 Evaluation Board's bitstream and write its clock down
	PATH=$(CURDIR)/$(FPGA)/bin:$$PATH $(BIN)/python -m bandgap.sim.lab.place

bitstreams: $(INSTALLED) $(FPGA)/installed  ## build every board's bitstream into bitstreams, and the U50's Vivado project; takes hours
	for board in $(BOARDS); do \
		$(BIN)/bandgap bitstream $$board --preset loopback && $(BIN)/bandgap bitstream $$board || exit 1; \
	done
	$(BIN)/bandgap bitstream u50

formal: $(INSTALLED)  ## prove the gateware and write docs/results/formal.json; PROOF=name runs one
	$(BIN)/python tests/formal/prove.py $(PROOF)

soak: $(INSTALLED)  ## compare device and model on COMMANDS=10000000, by default with a SEED from the commit
	$(BIN)/bandgap soak --seed $(SEED) --commands $(COMMANDS) --jobs 2

coverage: $(INSTALLED)  ## measure what runs and tests cover of the gateware, write docs/results/coverage.json
	BANDGAP_SEED=1 $(BIN)/python -m pytest --quiet --coverage out/coverage \
		tests/sim/embedded/test_serial_faults.py tests/cocotb/test_pcie.py
	$(BIN)/python -m bandgap.sim.lab.structural_coverage out/coverage

mutation: $(INSTALLED) $(FPGA)/installed  ## put faults into guard and book, see who notices, write docs/results/mutation.json
	PATH=$(CURDIR)/$(FPGA)/bin:$$PATH $(BIN)/python -m bandgap.sim.mutation.command

waves: $(INSTALLED)  ## replay FLOW=docs/examples/flow.csv and write its waves, WAVES=out/waves.vcd
	@mkdir -p $(dir $(WAVES))
	$(BIN)/bandgap replay $(FLOW) --preset ecp5 --waves $(WAVES)

lock: $(INSTALLED)  ## resolve the dependencies anew and write both locks
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/pip install --quiet uv==$(UV_VERSION)
	$(COMPILE) --group dev pyproject.toml --output-file requirements.lock
	$(COMPILE) --group fpga --output-file requirements-fpga.lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bandgap needs Python 3.11 or newer: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(FPGA)/installed: requirements-fpga.lock
	$(PYTHON) -m venv $(FPGA)
	$(FPGA)/bin/pip install --quiet --require-hashes -r requirements-fpga.lock
	@touch $@

# mypy reads the sources by their import name, which only an installation knows.
$(LINKS):
	mkdir -p $@/bandgap
	ln -s $(addprefix $(CURDIR)/,hdl host sim) $@/bandgap
