"""Starts a module of this folder inside MicroPython, where littlefs is; reads the counts it prints."""

import json
import os
import subprocess

from tests.protocol.test_runtimes import ROOT, interpreter

LONG = bool(os.environ.get("QUANTRAC_LONG"))  # `make promises`: cuts within cuts, more geometries
SECONDS = 3000 if LONG else 280
"""What a run may take: below pytest's own limit, which says nothing of what the module had printed."""
HEAP = "8m"  # a chip of 256 KB and its copies; a collection, of which the firmware asks for many, costs by it


def cuts(module: str, *arguments: str, seconds: float = SECONDS, heap: str = HEAP) -> dict:
    """Run `module` in MicroPython with these arguments; its last line is a JSON object, which is returned.

    Fails with everything the module printed when it ends by an exception.
    """
    found = interpreter()
    assert found, "no MicroPython: see CONTRIBUTING.md"
    done = subprocess.run(
        [found, "-X", f"heapsize={heap}", "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": f"{ROOT}:.frozen"},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
