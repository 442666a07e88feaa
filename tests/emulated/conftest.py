"""The emulated Pico needs an image of MicroPython, which is no package: where none is named, nothing of it is
collected. `make pico RP2_UF2=FILE` installs the emulator and runs it."""

import os

collect_ignore = [] if os.environ.get("RP2_UF2") else ["test_pico.py"]
