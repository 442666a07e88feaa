"""The whole scan: eight units at mixed settings on one RS-485 line, by pyserial over RFC 2217."""

from __future__ import annotations

import pytest

from simulator.mixed_ends import Rfc2217End
from tests.tools.scan_rig import Bench, kinds, named, served
from tools.station.scan.plan import ANYTHING, Choice
from tools.station.scan.run import all_profiles, scan
from tools.station.scan.say import bus_text
from tools.station.scan.settings import COMMON

pytestmark = pytest.mark.timeout(900)  # at the real pace of a line
A_MINUTE_S = 60.0


def test_eight_units_at_mixed_settings_are_found_within_a_minute_of_the_line_s_time(tmp_path):
    with served(Rfc2217End, Bench(tmp_path).eight()) as end:
        result = scan(end.url, Choice(), all_profiles())
        line = end.line
    found = named(result)
    assert set(found) == {
        (1, "9600-8N1"), (2, "9600-8N1"), (3, "4800-8N1"), (7, "9600-8N1"), (50, "19200-8E1"),
        (126, "9600-8E1"), (246, "9600-8N1"), (247, "19200-8E1"),
    }  # fmt: skip
    assert found[1, "9600-8N1"] == ("yosemitech-y504", "identified")
    assert found[2, "9600-8N1"] == ("aqualabo-ntu", "identified")
    assert found[7, "9600-8N1"] == ("generic-water", "fits")
    assert found[126, "9600-8E1"] == ("keller-series30", "fits")
    assert found[246, "9600-8N1"] == ("vega-vegapuls", "fits")
    assert found[3, "4800-8N1"][0] == "renke-rs-fsjt"  # one small number: it says perhaps
    assert found[50, "19200-8E1"] == (None, "unknown")
    (promag,) = [unit for unit in result.units if unit.spot.unit == 247]
    assert "eh-promag-53" in (promag.profile, *promag.also) and promag.how == "fits"
    assert kinds(result) == set()  # nothing is wrong with this line, and nothing is said to be

    # bytes, thinking and silence by the line's own account; the waiting for nobody as it was meant to last
    line_s = line.busy_s + result.waited_s
    print(f"{result.requests} requests, {line_s:.1f} s on the line, {result.seconds:.1f} s by the clock")
    assert line_s < A_MINUTE_S
    asked = {(step.setting, unit) for step in result.covered if step.read == ANYTHING for unit in step.units}
    assert {(setting, unit) for setting in COMMON for unit in range(1, 248)} <= asked
    assert all(len(text) <= 80 for text in bus_text(result))
