"""Broken Modbus answers and broken link frames by the hundred thousand, inside MicroPython.

A million of each under QUANTRAC_LONG; what fits a few seconds otherwise. What the mutations are, and what
they never are, stands in fuzz_bus.py and fuzz_link.py.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.promises.counted import counted
from tests.protocol.test_runtimes import ROOT, interpreter

LONG = bool(os.environ.get("QUANTRAC_LONG"))
INPUTS = 1_000_000
SECONDS = 1500 if LONG else 10
KINDS_BUS = {"rtu": 15, "tcp": 10}
KINDS_LINK = 16


def fuzz(script: str, *arguments: object) -> dict:
    done = subprocess.run(
        [interpreter(), "-X", "heapsize=1m", f"tests/firmware/{script}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": f"{ROOT}:.frozen"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(2 * SECONDS + 100)
@pytest.mark.parametrize("kind", ["rtu", "tcp"])
def test_no_broken_answer_becomes_a_reading(kind):
    found = fuzz("fuzz_bus", kind, INPUTS, SECONDS, 1)
    print(f"\n{kind}: {found}")
    assert found["wrong"] == 0, found
    # The good ones among them did arrive, and all kinds of broken ones were among them.
    assert found["readings"] >= 3 * found["kinds"]["good"] * 0.9
    assert found["bad_replies"] > found["answers"] / 4 and len(found["kinds"]) == KINDS_BUS[kind]
    assert found["answers"] >= (INPUTS if LONG else 1000)
    counted("inputs", found["answers"])


@pytest.mark.timeout(2 * SECONDS + 100)
def test_no_broken_frame_moves_anything():
    found = fuzz("fuzz_link", INPUTS, SECONDS, 1)
    print(f"\nlink: {found}")
    assert found["moved"] == [] and found["live"], found
    assert found["bad_frames"] > found["frames"] / 4 and found["noise"] > found["frames"] / 8
    assert found["ignored"] > found["frames"] / 16 and len(found["kinds"]) == KINDS_LINK
    assert found["frames"] >= (INPUTS if LONG else 1000)
    counted("inputs", found["frames"])


def test_control_without_the_check_sum_a_broken_answer_is_a_reading():
    assert fuzz("fuzz_bus", "rtu", 20_000, 20, 1, "nocrc")["wrong"] > 0


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
def test_control_without_the_unit_another_ones_answer_is_a_reading(kind):
    assert fuzz("fuzz_bus", kind, 20_000, 20, 1, "nounit")["wrong"] > 0


def test_control_without_the_tag_a_broken_frame_moves_something():
    assert fuzz("fuzz_link", 20_000, 20, 1, "notag")["moved"]
