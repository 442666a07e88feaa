"""Promise 2 with the power cut at every block operation of littlefs, and with bits that flip at rest.

What each scenario does and what must hold afterwards: store_cuts.py. Every control is the same run with one
thing broken; it must be caught.
"""

import json

import pytest

from tests.power.rig import LONG, cuts
from tests.promises.counted import counted
from tests.protocol.test_runtimes import micropython

STORE = "tests.power.store_cuts"
SCENARIOS = ("outage", "full", "ahead")
GEOMETRIES = (("blocks=64", "size=4096"), ("blocks=24", "size=4096"), ("blocks=12", "size=8192"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_cut_at_every_operation(scenario):
    counts = cuts(STORE, scenario)
    assert counts["cuts"] == counts["operations"] > 200
    counted("cuts", counts["cuts"])


def test_a_cut_where_boots_move_and_the_flash_is_full():
    counts = cuts(STORE, "ahead", "blocks=20")
    assert counts["cuts"] == counts["operations"] > 200


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cuts_within_cuts(scenario):
    counts = cuts(STORE, scenario, "nested", *(() if LONG else ("every=50",)))
    assert counts["nested"] > (5000 if LONG else 100)
    counted("nested cuts", counts["nested"])


test_cuts_within_cuts = pytest.mark.timeout(3600 if LONG else 300)(test_cuts_within_cuts)


# Each run: one chip; the long run: all, with several seeds.
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", SCENARIOS if LONG else ("full",))
@pytest.mark.parametrize("geometry", GEOMETRIES if LONG else GEOMETRIES[2:])
@pytest.mark.parametrize("seed", range(2, 6 if LONG else 3))
def test_other_chips(scenario, geometry, seed):
    counts = cuts(STORE, scenario, *geometry, f"seed={seed}")
    assert counts["cuts"] == counts["operations"]


@pytest.mark.parametrize(
    ("scenario", "broken", "sentence"),
    [
        ("outage", "early", "is lost"),  # freed before the gateway has it
        ("full", "no-note", "is lost"),  # deleted without having said so first
        ("full", "in-place", "is lost"),  # the note is replaced without another name and a rename
    ],
)
def test_controls_are_caught(scenario, broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        cuts(STORE, scenario, broken)


def test_bits_that_flip_never_make_a_record():
    counts = cuts(STORE, "rot", "20000" if LONG else "300")
    assert counts["wrong"] == 0 and counts["records"] > 100 * counts["flips"]


def test_without_the_check_sum_they_do():
    assert cuts(STORE, "rot", "300", "no-crc")["wrong"] > 50


@pytest.mark.parametrize("module", ["test_segments", "test_segments_faults", "test_sealer"])
def test_the_store_on_files_inside_micropython(module):
    done = micropython("-X", "heapsize=64m", "tests/protocol/mpy.py", f"tests.firmware.{module}")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["failed"] == 0 and counts["passed"] > 15
