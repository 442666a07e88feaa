"""simulator/scenario*.py: what may stand in a story, and that everything else is said, all at once."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from simulator import scenario_words as words
from simulator.scenario import ScenarioError, names, parse, read
from simulator.scenario_model import DAY_MS
from simulator.scenario_times import begin, length, moment, said

HOUR_MS = 3_600_000
HEAD = """
title = "A title"
story = "A story."
outcome = "An outcome."

[station]
kind = "wastewater"
begins = "2026-03-25T06:00"
days = 3
"""
EXPECT = '\n[[expect]]\nwhat = "nothing lost"\n'
BEGINS_MS = begin("2026-03-25T06:00")

VALUES = {
    words.NUMBER: "2.5",
    words.SHARE: "0.5",
    words.COUNT: "3",
    words.TEXT: '"2026-03-25T00:00"',
    words.FLAG: "true",
    words.LENGTH: '"5min"',
    words.MOMENT: '"1d 06:00"',
    words.SYMBOL: '"COD"',
}
LATER = {"to": '"1d 07:00"', "cleared": '"1d 08:00"'}


def faults(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        parse(text)
    return caught.value.faults


def one_of_each() -> list[tuple[str, str, dict[str, words.Key]]]:
    """(table, the lines that every entry of a kind has, its keys)."""
    found = []
    for what, kind in words.PROCESS.items():
        lines = f'channel = "COD"\nwhat = "{what}"\nsize = 2.0' + ('\nfor = "1h"' if kind.lasts else "")
        found.append(("process", lines, kind.keys))
    for where, kinds in words.FAULT.items():
        for how, kind in kinds.items():
            lines = f'where = "{where}"\nhow = "{how}"' + ('\nfor = "1h"' if kind.lasts else "")
            found.append(("fault", lines, kind.keys))
    for what, kind in words.ACT.items():
        found.append(("act", f'what = "{what}"\nby = "Lan"', kind.keys))
    for what, kind in words.EXPECT.items():
        found.append(("expect", f'what = "{what}"', kind.keys))
    return found


def written(table: str, lines: str, keys: dict[str, words.Key], without: str = "") -> str:
    values = {
        name: f'"{key.among[0]}"' if key.among else LATER.get(name, VALUES[key.sort])
        for name, key in keys.items()
        if name != without
    }
    return f"{HEAD}\n[[{table}]]\n{lines}\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) + EXPECT


@pytest.mark.parametrize(("table", "lines", "keys"), one_of_each())
def test_every_kind_is_read_and_nothing_else_passes(table, lines, keys):
    assert parse(written(table, lines, keys))
    assert faults(written(table, lines + "\nnonsense = 1", keys))
    for name, key in keys.items():
        text = written(table, lines, keys, without=name)
        if key.needed:
            assert any(f"{name} is missing" in fault for fault in faults(text))
        else:
            assert parse(text)
        wrong = "[1]"
        told = faults(written(table, f"{lines}\n{name} = {wrong}", keys, without=name))
        assert told, f"{name} took {wrong}"


def test_all_faults_come_at_once_with_their_lines_and_what_to_write():
    text = f"""{HEAD}
[[process]]
channel = "CODx"
what = "rain"

[[fault]]
where = "province"
how = "cutt"

[[fault]]
where = "province"
how = "slow"
at = "1d 25:00"
for = "3 days"

[[fault]]
where = "link"
how = "cut"
at = "3d 00:00"
for = "2d"

[[act]]
what = "mark"
by = "Lan"
channel = "COD"
mark = "mended"
minutes = 1.5
"""
    said = "\n".join(faults(text))
    for part in (
        'line 11: process 1: "CODx" is no channel of this station: write one of pH, Temp, COD',
        "line 11: process 1: for is missing",
        "line 11: process 1: size is missing",
        'line 15: fault 1: "cutt" is no how (of province): write one of cut,',
        'line 19: fault 2: "1d 25:00" is no moment',
        'line 19: fault 2: "3 days" is no length of time',
        "line 19: fault 2: rate_bytes_s is missing",
        "line 25: fault 3: it ends after the scenario",
        'line 31: act 1: mark = "mended": write one of calibrating',
        "line 31: act 1: minutes = 1.5 is not a whole number",
        "nothing is expected",
    ):
        assert part in said, part


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "A title"', 'title = " "', "title is missing"),
        ('kind = "wastewater"', 'kind = "air"', 'no scene is called "air"'),
        ("days = 3", 'days = "3"', "days = '3' is not a number"),
        ("days = 3", "days = 0", "days = 0 is less than"),
        ("days = 3", "days = 3\npoll = 3", 'there is no "poll"'),
        ("days = 3", "days = 3\nwitness = 1", "witness = 1 is not true or false"),
        ("days = 3", "days = 3\nstations = true", "stations = True is not a whole number"),
        ("2026-03-25T06:00", "tomorrow", '"tomorrow" is no date'),
        ("2026-03-25T06:00", "2026-03-25T06:00+07:00", "is no date and time"),
        ("days = 3", "days = 3\n[station.channel.XYZ]\ndecimals = 1", '"XYZ" is no channel'),
        ("[station]", "[[station]]", "[station] is missing"),
        ("[station]", "[stations]", 'there is no table or key "stations"'),
        ("days = 3", "days = ", "It is no TOML"),
    ],
)
def test_a_faulty_station_is_told(old, new, told):
    assert any(told in fault for fault in faults(HEAD.replace(old, new) + EXPECT))


def test_a_span_that_goes_backwards_is_told():
    text = HEAD + '[[expect]]\nwhat = "status"\nchannel = "COD"\nis = "02"\nfrom = "1d"\nto = "0d 07:00"\n'
    assert any("to is not after from" in fault for fault in faults(text))


def test_a_file_that_is_not_there_says_which_there_are():
    with pytest.raises(ScenarioError, match="province-away"):
        read("no-such-story")


def test_times_count_from_the_beginning_in_local_time():
    found = parse(
        HEAD
        + '[[fault]]\nwhere = "link"\nhow = "cut"\nat = "1d 00:30"\nfor = "1d 2h"\nevery = "30h"\n'
        + EXPECT
    )
    fault = found.faults[0]
    assert fault.at_ms == 18 * HOUR_MS + HOUR_MS // 2  # it began at 06:00
    assert fault.for_ms == 26 * HOUR_MS and fault.ends_ms == fault.at_ms + fault.for_ms
    spans = list(fault.spans(found.station.length_ms))
    assert spans == [(fault.at_ms + n * 30 * HOUR_MS, fault.ends_ms + n * 30 * HOUR_MS) for n in range(2)]
    assert found.station.ends_ms - found.station.begins_ms == 3 * DAY_MS


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("1d 2h", 26 * HOUR_MS),
        ("1h30min", 5_400_000),
        ("-2h", -2 * HOUR_MS),
        ("250 ms", 250),
    ],
)
def test_lengths(text, ms):
    assert length(text) == ms


@pytest.mark.parametrize("text", ["", "3", "3 days", "h", "2h later", "--2h", "- 2"])
def test_what_is_no_length(text):
    with pytest.raises(ValueError, match="is no length"):
        length(text)


def test_moments_are_said_as_they_are_written():
    for text in ("0d 06:00", "1d 06:30", "2d 23:59"):
        assert said(BEGINS_MS, moment(text, BEGINS_MS)) == text
    assert moment("2d", BEGINS_MS) == 2 * DAY_MS  # whole days, counted from the beginning
    assert moment("05:00", BEGINS_MS) == -HOUR_MS  # before it began
    for wrong in ("", "24:00", "1d 6:00", "2 d", "noon"):
        with pytest.raises(ValueError, match="is no moment"):
            moment(wrong, BEGINS_MS)


@pytest.mark.parametrize("name", names())
def test_every_story_can_be_read(name):
    found = read(name)
    assert found.name == name
    assert len(found.outcome.split()) >= 5 and found.outcome.endswith(".")
    assert len(found.story.split()) >= 15, "a story is told, not named"
    assert found.process or found.faults or found.acts, "nothing happens in it"


def test_there_are_twenty_stories_and_the_readme_tells_them():
    text = (files("simulator") / "scenarios" / "README.md").read_text(encoding="utf-8")
    assert len(names()) >= 20
    for name in names():
        assert f"`{name}`" in text, f"the table of stories has no {name}"


def test_every_kind_is_used_by_a_story_and_explained():
    stories = [read(name) for name in names()]
    text = (files("simulator") / "scenarios" / "README.md").read_text(encoding="utf-8")
    used = {
        "process": {p.what for story in stories for p in story.process},
        "fault": {f"{f.where} {f.how}" for story in stories for f in story.faults},
        "act": {a.what for story in stories for a in story.acts},
        "expect": {e.what for story in stories for e in story.expect},
    }
    known = {
        "process": set(words.PROCESS),
        "fault": {f"{where} {how}" for where, kinds in words.FAULT.items() for how in kinds},
        "act": set(words.ACT),
        "expect": set(words.EXPECT),
    }
    assert used == known
    for _, lines, keys in one_of_each():
        kind = re.search(r'^(?:what|how) = "(.*)"', lines, re.MULTILINE)
        assert kind is not None
        for name in (kind[1], *keys):
            assert f"`{name}`" in text, f"README.md does not explain {name} (of {lines})"
