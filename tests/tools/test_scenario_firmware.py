"""tools/scenario/firmware.py: stories whose device is the real firmware in MicroPython, in stepped time.

QUANTRAC_LONG adds a whole station-day.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from protocol.reading import bits_float
from simulator.scenario import Scenario, ScenarioError, parse
from simulator.scenario_words import FAULT
from tests.promises.counted import counted
from tests.tools.test_scenario_run import rows, wrong
from tools.people import UsageError
from tools.scenario import check_answers
from tools.scenario.check_read import of_outcome
from tools.scenario.run import Outcome, run

LONG = bool(os.environ.get("QUANTRAC_LONG"))
HEAD = """
title = "t"
story = "The real firmware; the link is cut, the fuse goes meanwhile, the gateway is killed."
outcome = "What the instruments answered is in the journal."
[station]
kind = "wastewater"
begins = "2026-03-27T00:00"
days = 0.0175
poll_s = 30
polled = true
national = false
firmware = "micropython"
"""
CUT = """
[[fault]]
where = "link"
how = "cut"
at = "00:03"
for = "9min"
[[fault]]
where = "device"
how = "power"
at = "00:06:10"
for = "90s"
"""
REST = """
[[fault]]
where = "bus"
how = "silent"
channel = "COD"
at = "00:13:10"
for = "2min"
[[fault]]
where = "gateway"
how = "kill"
at = "00:15"
[[process]]
channel = "NH4"
what = "fault"
at = "00:15"
for = "5min"
[[expect]]
what = "status"
channel = "NH4"
from = "00:15"
to = "00:20"
is = "02"
because = "FAULT"
"""
EXPECT = "".join(
    f"""
[[expect]]
what = "{what}"
"""
    for what in ("every answer", "nothing lost", "nothing missing", "nothing doubled", "nothing unexpected")
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Outcome:
    folder = tmp_path_factory.mktemp("sound") / "run"
    return run(parse(HEAD + CUT + REST + EXPECT, "firmware"), 3, folder)


def test_the_firmware_comes_through(sound):
    assert wrong(sound) == []
    numbers, evidence = sound.numbers, of_outcome(sound)
    assert numbers.attempts == numbers.acknowledged == numbers.ok > 200 and sound.kills == 1
    assert len({row.boot for row in evidence.rows}) == 2, "before and after the power cut"
    minutes = [(row.t_ms - evidence.begins_ms) / 60_000 for row in evidence.rows]
    assert len([at for at in minutes if 3 < at < 6]) == 30, (
        "measured while the link was cut, and kept by flash"
    )
    assert len([at for at in minutes if 6.2 < at < 7.6]) == 0 and sound.device_cpu_s > 0
    assert 0 < sum(row.value is None for row in evidence.rows if row.channel == "COD") < 6
    assert sound.ledger.astray(evidence.rows, 2_000) == []


def test_the_same_seed_gives_the_same_readings(sound, tmp_path):
    again = run(sound.scenario, sound.seed, tmp_path / "again")
    assert rows(again) == rows(sound) and again.numbers == sound.numbers


def test_controls_what_is_left_out_doubled_or_changed_is_found(sound):
    evidence = of_outcome(sound)
    there = list(evidence.rows)
    good = next(place for place, row in enumerate(there) if row.channel == "pH")
    one = there[good]
    assert one.value is not None and check_answers.every_answer(evidence, {})[0]
    for broken, told in (
        (there[:good] + there[good + 1 :], "1 of"),
        ([*there, one._replace(sequence=999)], "1 twice"),
        ([*there, one._replace(sequence=999, t_ms=one.t_ms + 12_000)], "1 never answered"),
        ([*there[:good], one._replace(value=one.value + 0.5), *there[good + 1 :]], "1 never answered"),
        ([*there[:good], one._replace(channel="Temp"), *there[good + 1 :]], "1 twice"),
    ):
        holds, found = check_answers.every_answer(replace(evidence, rows=broken), {})
        assert not holds and told in found, found
    less = replace(evidence, rows=there[:good] + there[good + 1 :])
    assert check_answers.every_answer(less, {"but": 1})[0]
    assert not check_answers.every_answer(replace(evidence, rows=[], device_answers={}), {})[0]


LOSES = """
from firmware import store
_put = store.Store.put
_n = [0]
def put(self, *record):
    _n[0] += 1
    if _n[0] % 20:
        _put(self, *record)
store.Store.put = put
"""
CHANGES = LOSES.replace("    if _n[0] % 20:\n        _put(self, *record)\n", """
    if _n[0] % 20 == 0 and record[2] is not None:
        record = record[:2] + (record[2] ^ 2,) + record[3:]
    _put(self, *record)
""")  # fmt: skip
FORGETS = """
from firmware import store
store.Store._due = lambda self, board, now: 0
"""


@pytest.mark.parametrize(
    ("prelude", "story", "said"),
    [
        (LOSES, "", "every answer: 9 of"),
        (CHANGES, "", "which no instrument has answered"),
        (FORGETS, CUT, "every answer: 3"),
    ],
    ids=["loses", "changes", "nothing on flash"],
)
def test_control_broken_firmware_is_caught(prelude, story, said, tmp_path):
    head = HEAD if story else HEAD.replace("0.0175", "0.01")
    outcome = run(parse(head + story + EXPECT, "broken"), 3, tmp_path / "run", prelude=prelude)
    assert any(said in sentence for sentence in wrong(outcome)), wrong(outcome)


def test_control_firmware_that_dies_is_told(tmp_path):
    """In the middle of the story, with a traceback."""
    dies = "from firmware.boards import stepped\n_report = stepped.Board.report\ndef report(self, text):\n" \
        "    if self.station_ticks() > 200000:\n        raise SystemExit(3)\n    _report(self, text)\n" \
        "stepped.Board.report = report\n"  # fmt: skip
    story = parse(HEAD.replace("0.0175", "0.01") + EXPECT, "dies")
    said = wrong(run(story, 3, tmp_path / "run", prelude=dies))
    assert any("st-01 ended by itself: Died('the firmware ended with status 3" in one for one in said), said


def scenario(fault: str, head: str = HEAD) -> Scenario:
    return parse(f'{head}\n{fault}\n[[expect]]\nwhat = "nothing lost"\n', "told")


@pytest.mark.parametrize(
    ("where", "how"), [("link", "lose"), ("link", "duplicate"), ("clock.device", "jump")]
)
def test_what_only_light_devices_do_is_refused(where, how, tmp_path):
    values = {"probability": "0.1", "by": '"1h"'}
    keys = "".join(f"{key} = {values[key]}\n" for key in FAULT[where][how].keys)
    lasts = 'for = "5min"\n' if FAULT[where][how].lasts else ""
    fault = f'[[fault]]\nwhere = "{where}"\nhow = "{how}"\nat = "00:05"\n{lasts}{keys}'
    with pytest.raises(ScenarioError, match="only light devices do that"):
        run(scenario(fault), 1, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_what_a_station_of_real_devices_needs():
    with pytest.raises(ScenarioError, match='firmware = "arduino": write one of light, micropython'):
        scenario("", HEAD.replace('"micropython"', '"arduino"'))
    with pytest.raises(ScenarioError, match="write polled = true, too"):
        scenario("", HEAD.replace("polled = true", "polled = false"))


def test_no_micropython_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="is not a program"):
        run(scenario(""), 1, tmp_path / "never")
    assert not (tmp_path / "never").exists()


DAY = HEAD.replace("days = 0.0175", "days = 1") + """
[[fault]]
where = "link"
how = "cut"
at = "02:00"
for = "40min"
every = "5h"
[[fault]]
where = "device"
how = "power"
at = "02:20:10"
for = "5min"
every = "5h"
[[fault]]
where = "link"
how = "flip"
probability = 0.05
at = "01:00"
for = "10min"
every = "3h"
[[fault]]
where = "link"
how = "half-open"
at = "03:30"
every = "4h"
[[fault]]
where = "bus"
how = "flip"
probability = 0.1
at = "00:30"
for = "20min"
every = "6h"
[[fault]]
where = "gateway"
how = "kill"
at = "04:00"
every = "6h"
"""  # fmt: skip


if LONG:  # some four minutes of processor time

    @pytest.mark.timeout(3600)
    def test_a_station_day_of_the_firmware(tmp_path):
        outcome = run(parse(DAY + EXPECT, "firmware-day"), 11, tmp_path / "run")
        assert wrong(outcome) == []
        numbers = outcome.numbers
        assert numbers.attempts == numbers.ok > 13_000 and outcome.kills == 4
        assert len({row.boot for row in of_outcome(outcome).rows}) == 6
        assert bits_float(next(iter(outcome.device_answers["pH"].bits))) > 5
        counted("hours", 24)
        print(f"\n24 h: {numbers.attempts} readings, {outcome.device_cpu_s:.0f} s of CPU of MicroPython")
