"""The device's seal with the power cut at every block operation of littlefs.

What each scenario does and what must hold afterwards: seal_cuts.py. Every control is the same run with one
thing broken; it must be caught.
"""

import pytest

from tests.power.rig import LONG, cuts
from tools.station.build import SEAL_BYTES

SEAL = "tests.power.seal_cuts"
SCENARIOS = ("link", "outage", "full")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_cut_at_every_operation(scenario):
    counts = cuts(SEAL, scenario)
    assert counts["cuts"] == counts["operations"] > 80


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_cuts_within_cuts(scenario):
    counts = cuts(SEAL, scenario, "nested", *(() if LONG else ("every=40",)))
    assert counts["nested"] > (2000 if LONG else 100)


def test_the_flash_holds_no_former_key_once_it_was_written_over():
    """Nor the very first, as tools/station/build.py writes it."""
    assert cuts(SEAL, "left", "1024", str(SEAL_BYTES)) == {"turns": 7, "left": 0, "first": 0}


def test_control_without_writing_over_it_holds_some():
    found = cuts(SEAL, "left", "0", str(SEAL_BYTES))
    assert found["left"] > 0 and found["first"] > 0


@pytest.mark.parametrize(
    ("scenario", "broken", "sentence"),
    [  # the last one is not seen before the flash is full: what comes before is left out
        ("link", "early", "and no sealed event"),  # goes on behind a seal that nobody may ever see
        ("outage", "early", "and no sealed event"),
        ("link", "late-key", "its epoch goes back"),  # seals with a key before that is on flash
        ("link", "in-place", "the key is lost"),  # the key is replaced without another name and a rename
        ("full", "unsealed since=480", "and no sealed event"),  # discards are told without a seal behind them
    ],
)
def test_controls_are_caught(scenario, broken, sentence):
    with pytest.raises(AssertionError, match=sentence):
        cuts(SEAL, scenario, *broken.split())
