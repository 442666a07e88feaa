"""gateway/limits: every row of every file has a source and a mark; what is wrong in one is one sentence."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backup import named_files
from gateway.check import check
from gateway.config import load, read
from gateway.limits import choose as module
from gateway.limits.books import shipped
from gateway.limits.choose import DAY, HOUR, HOURS_8, WINDOW, YEAR, Asked, Figure, choose
from gateway.limits.parse import parse
from gateway.limits.rule import MARKS, UNITS, LimitsFault, unit_of
from tests.gateway.configured import STATION, channel, configured, written

FILES = sorted(file.name for file in files("gateway.limits").iterdir() if file.name.endswith(".toml"))
NOW_MS = 1_774_371_600_000  # 2026-03-25 in Vietnam


def rule(name: str = "QCVN 40:2011"):
    return shipped()[name]


def asked(symbol: str, unit: str = "mg/l", column: str = "A", **more) -> Asked:
    found = Asked(symbol, unit, column, "", {"kq": 0.9, "kf": 1.1}, (WINDOW,), None, None, "")
    return found._replace(**more)


# The files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_each_file_loads_and_every_row_has_a_source_and_a_mark(name):
    text = (files("gateway.limits") / name).read_text(encoding="utf-8")
    found, table = parse(text, name), tomllib.loads(text)
    assert len(found.rows) == len(table.get("row", [])) and found == rule(found.name)
    for row in found.rows:
        assert row.source and row.mark in MARKS and row.unit in UNITS and (row.max or row.min)


def test_all_regulations_are_there_with_their_figures():
    """Counted by hand in the design's list of limits."""
    assert {name: len(found.rows) for name, found in shipped().items()} == {
        "QCVN 05:2023": 17, "QCVN 08:2023": 8, "QCVN 19:2024": 5, "QCVN 40:2011": 9, "QCVN 40:2025": 0,
    }  # fmt: skip
    assert {row.mark for row in rule("QCVN 08:2023").rows} == {"law"}
    assert {row.mark for row in rule("QCVN 05:2023").rows} == {"not verified"}


def test_tables_of_factors_include_their_upper_edge():
    kq, kf = rule().tables["kq"], rule().tables["kf"]
    assert [kq.of(x) for x in (0, 50, 50.1, 200, 201, 500, 501)] == [0.9, 0.9, 1.0, 1.0, 1.1, 1.1, 1.2]
    assert [kf.of(x) for x in (50, 51, 500, 501, 5000, 5001)] == [1.2, 1.1, 1.1, 1.0, 1.0, 0.9]


def test_in_force():
    old, new = rule(), rule("QCVN 40:2025")
    assert old.in_force(date(2031, 12, 31)) and not old.in_force(date(2032, 1, 1))
    assert not old.in_force(date(2012, 2, 14)) and old.in_force(date(2012, 2, 15))
    assert not new.in_force(date(2025, 8, 31)) and new.in_force(date(2025, 9, 1))


GOOD = """
[rule]
name = "Permit 12/GP"
title = "Giấy phép môi trường"
columns = ["A", "B"]
factors = ["kq"]
in_force_from = 2025-01-01
dates_mark = "permit"
dates_source = "the permit"
[[row]]
symbols = ["COD"]
unit = "mg/l"
max = { A = 60.0, B = 70 }
mark = "permit"
source = "page 3"
[[row]]
symbols = ["pH"]
unit = ""
min = { A = 6 }
max = { A = 9 }
factors = false
mark = "permit"
source = "page 3"
[[factor]]
name = "kq"
by = "flow"
unit = "m3/s"
steps = [{ up_to = 50, value = 0.9 }, { value = 1.2 }]
mark = "permit"
source = "page 4"
"""

WRONG = [  # (what is replaced, by what, what is said)
    ('"mg/l"', '"mg"', "row 1 (COD): the unit 'mg' is not known."),
    ('"mg/l"', '"mg/L"', "row 1 (COD): the unit 'mg/L' is not known (is 'mg/l' meant?)."),
    ('"mg/l"', "7", "row 1 (COD): the unit 7 is not known."),
    ('["COD"]', '["CODD"]', "row 1 (CODD): the symbol 'CODD' is not known."),
    ('["COD"]', "[]", "row 1 (): symbols is missing."),
    ('["COD"]', '"COD"', "row 1: symbols is not a list of words."),
    ('["COD"]', '["COD", "COD"]', "row 1 (COD, COD): symbols names something twice."),
    ('["pH"]\nunit = ""', '["COD"]\nunit = "mg/l"', "row 2 (COD): row 1 is for the same."),
    ("A = 60.0", "A = nan", "row 1 (COD): max of column A is nan, which is no figure."),
    ("A = 60.0", "A = inf", "row 1 (COD): max of column A is inf, which is no figure."),
    ("A = 60.0", "A = true", "row 1 (COD): max of column A is True, which is no figure."),
    ("A = 60.0", 'A = "60"', "row 1 (COD): max of column A is '60', which is no figure."),
    ("A = 60.0", "C = 60.0", "row 1 (COD): 'C' is not a column."),
    ("max = { A = 60.0, B = 70 }", "max = 60", "row 1 (COD): max is not by columns."),
    ("max = { A = 60.0, B = 70 }", "", "row 1 (COD): it has neither max nor min."),
    ('mark = "permit"\nsource = "page 3"\n[[row]]', "[[row]]", "row 1 (COD): mark is missing."),
    ('source = "page 3"\n[[row]]', "[[row]]", "row 1 (COD): source is missing."),
    ('source = "page 3"\n[[row]]', 'source = " "\n[[row]]', "row 1 (COD): source is not a line of text."),
    ('mark = "permit"\nsource = "page 3"\n[[row]]', 'mark = "sure"\n[[row]]', "'sure' is not a mark."),
    ("min = { A = 6 }", "min = { A = 9 }", "row 2 (pH): min 9 is not below max 9."),
    ("factors = false", "factors = true", "row 2 (pH): a least value is not multiplied by factors."),
    ("factors = false", 'span = "2 h"', "row 2 (pH): a least value is not multiplied"),
    ("factors = false", 'factors = false\nspan = "2 h"', "row 2 (pH): '2 h' is not a span."),
    ("factors = false", "factor = false", "row 2 (pH): there is no key 'factor'."),
    ('name = "Permit 12/GP"', "", "[rule]: name is missing."),
    ('factors = ["kq"]', 'factors = ["k"]', "[rule]: 'k' is not a factor."),
    ("2025-01-01", '"2025"', "[rule]: in_force_from is '2025', which is no day."),
    ("2025-01-01", "2025-01-01\nin_force_until = 2024-01-01", "[rule]: it ends before it begins."),
    ('dates_mark = "permit"', "", "[rule]: dates_mark is missing."),
    ("[rule]", "[rules]", "there is no key 'rules'."),
    ("[[factor]]", "[factor]", "factor is no list of tables."),
    ("{ value = 1.2 }", "{ up_to = 60, value = 1.2 }", "factor 1: the last step ends."),
    ("{ value = 1.2 }", "{ up_to = 50, value = 1.2 }", "factor 1: steps do not rise"),
    ("{ value = 1.2 }", "{ value = nan }", "factor 1: value is nan, which is no figure."),
    ("title", "title =", "permit.toml is not TOML"),
]


def test_the_good_one_is_good():
    assert [row.symbols for row in parse(GOOD, "permit.toml").rows] == [("COD",), ("pH",)]


@pytest.mark.parametrize(("old", "new", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_one_sentence_with_file_and_row(old, new, said):
    assert old in GOOD
    with pytest.raises(LimitsFault) as found:
        parse(GOOD.replace(old, new, 1), "permit.toml")
    assert said in found.value.what and found.value.what.startswith("permit.toml")
    assert found.value.instead and "\n" not in found.value.what + found.value.instead


@given(st.data())
def test_whatever_stands_in_a_file_it_is_a_rule_or_a_sentence(data):
    """One value of a good file at a time is replaced by anything that TOML can hold."""
    places = [found.span(1) for found in re.finditer(r"= (.*)$", GOOD, re.M)]
    start, end = data.draw(st.sampled_from(places))
    value = data.draw(
        st.sampled_from(['""', '"x"', "0", "-1", "nan", "[]", "{}", "true", "2025-01-01", "[[1]]", "[{}]"])
    )
    try:
        parse(GOOD[:start] + value + GOOD[end:], "permit.toml")
    except LimitsFault as fault:
        assert fault.what.startswith("permit.toml")


# Which figures hold -----------------------------------------------------------------------------------------


def test_cmax_is_c_times_kq_times_kf():
    """75 x 0.9 x 1.1 = 74.25, of floats 74.25000000000001; 150 x 0.9 x 1.1 = 148.5; 4 x 0.9 x 1.1 = 3.96."""
    assert choose(rule(), asked("COD")) == (
        Figure(WINDOW, 74.25, None, "QCVN 40:2011 A, Kq 0.9, Kf 1.1", "secondary"),
    )
    assert choose(rule(), asked("COD", column="B"))[0].max == 148.5
    assert choose(rule(), asked("TP"))[0].max == 3.96


@pytest.mark.parametrize(
    ("symbol", "unit", "figure"),
    [("Temp", "oC", (40, None)), ("Color", "Pt-Co", (50, None)), ("pH", "", (9, 6))],
)
def test_temperature_colour_and_ph_are_not_multiplied(symbol, unit, figure):
    (found,) = choose(rule(), asked(symbol, unit))
    assert (found.max, found.min) == figure
    assert choose(rule(), asked(symbol, unit, factors={})) == (found,), "they need no factors either"


def test_control_a_product_of_floats_is_another_limit(monkeypatch):
    monkeypatch.setattr(module, "Decimal", float)
    with pytest.raises(AssertionError):
        test_cmax_is_c_times_kq_times_kf()


def test_each_span_has_its_own_figure():
    air = choose(rule("QCVN 05:2023"), asked("SO2", "µg/m³", "", factors={}))
    assert [(f.span, f.max) for f in air] == [(HOUR, 350), (DAY, 125), (YEAR, 50)]
    ozone = choose(rule("QCVN 05:2023"), asked("O3", "ug/m3", "", factors={}))
    assert [(f.span, f.max) for f in ozone] == [(HOUR, 200), (HOURS_8, 120)]
    both = choose(rule(), asked("COD", compare=(WINDOW, DAY)))
    assert [(f.span, f.max) for f in both] == [(WINDOW, 74.25), (DAY, 74.25)]


def test_sizes_and_least_values():
    boiler = rule("QCVN 19:2024")
    dust = asked("PM", "mg/Nm3", "B", factors={})
    assert choose(boiler, dust._replace(size="below 20 t/h"))[0].max == 50
    assert choose(boiler, dust._replace(size="20 t/h or more"))[0].max == 40
    assert choose(boiler, dust._replace(symbol="SO2", size="20 t/h or more"))[0].max == 200
    (oxygen,) = choose(rule("QCVN 08:2023"), asked("DO", column="D", factors={}))
    assert (oxygen.min, oxygen.max) == (2, None)


def test_the_permits_own_figures_stand_in_the_place_of_the_rules():
    (found,) = choose(rule(), asked("COD", max=60.0))
    assert found == Figure(WINDOW, 60.0, None, "QCVN 40:2011 A, permit", "permit")
    (ph,) = choose(rule(), asked("pH", "", max=8.5))
    assert (ph.min, ph.max, ph.mark) == (6.0, 8.5, "secondary"), "its min is the rule's still"
    (new,) = choose(rule("QCVN 40:2025"), asked("COD", factors={}, max=65.0))
    assert (new.max, new.mark) == (65.0, "permit")
    air = choose(rule("QCVN 05:2023"), asked("SO2", "ug/m3", "", factors={}, max=300.0, compare=(HOUR,)))
    assert [(f.span, f.max) for f in air] == [(HOUR, 300), (DAY, 125), (YEAR, 50)]


REFUSED = [
    ("QCVN 40:2011", asked("COD", "mg/Nm3"), "The channel COD has the unit 'mg/Nm3', QCVN 40:2011 'mg/l'."),
    ("QCVN 40:2011", asked("COD", ""), "The channel COD has the unit '', QCVN 40:2011 'mg/l'."),
    ("QCVN 40:2011", asked("SO2"), "QCVN 40:2011 has no figures for SO2, only for Amoni, BOD"),
    ("QCVN 40:2025", asked("COD", factors={}), "QCVN 40:2025 has no figures for COD."),
    ("QCVN 40:2011", asked("COD", column="C"), "QCVN 40:2011 has no column 'C'."),
    ("QCVN 40:2011", asked("COD", column=""), "QCVN 40:2011 has columns."),
    (
        "QCVN 40:2011",
        asked("COD", factors={"kq": 0.9}),
        "QCVN 40:2011 multiplies COD by kf, and it is not written.",
    ),
    ("QCVN 08:2023", asked("COD"), "QCVN 08:2023 has no factor kq: none."),
    ("QCVN 08:2023", asked("COD", column="D", factors={}), "QCVN 08:2023 has no figure for COD in column D."),
    ("QCVN 19:2024", asked("PM", "mg/Nm3", factors={}), "QCVN 19:2024 has figures for PM by size."),
    ("QCVN 19:2024", asked("PM", "mg/Nm3", factors={}, size="5 t"), "QCVN 19:2024 knows no size '5 t'."),
    ("QCVN 05:2023", asked("SO2", "ug/m3", "A", factors={}), "QCVN 05:2023 has no column 'A'."),
]


@pytest.mark.parametrize(("name", "channel", "said"), REFUSED, ids=range(len(REFUSED)))
def test_nothing_is_guessed(name, channel, said):
    with pytest.raises(LimitsFault) as found:
        choose(rule(name), channel)
    assert found.value.what.startswith(said) and found.value.instead


def test_units_are_compared_by_their_spellings():
    assert unit_of("mg/L") == "mg/l" and unit_of("µg/Nm3") == unit_of("μg/m³") == "ug/m3"
    assert unit_of("mg/m3") != unit_of("mg/Nm3") and unit_of("ppm") is None


# In a configuration -----------------------------------------------------------------------------------------

DEVICE = (
    '[[device]]\nid = "st-01"\nlink = "tcp-listen://127.0.0.1:7311"\nkey_file = "gateway/keys/st-01.link"\n'
)
LOCAL = '[[destination]]\nid = "local"\nkind = "directory"\npath = "sent"\n'


def cod(limits: str, unit: str = "mg/l") -> str:
    return channel("COD", unit, 2, f"limits = {limits}")


def test_a_channel_chooses_its_row(tmp_path):
    config = configured(tmp_path, cod('{ rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }'))
    limits = config.channel[0].limits
    assert (limits.max, limits.basis) == (74.25, "QCVN 40:2011 A, Kq 0.9, Kf 1.1")
    assert limits.figures[0].max == 74.25 and limits.regulation is rule()


def test_the_contract_without_a_rule_is_as_it_was(tmp_path):
    limits = configured(tmp_path, cod('{ max = 75.0, basis = "QCVN 40:2011 A" }')).channel[0].limits
    assert (limits.max, limits.min, limits.basis, limits.regulation) == (75.0, None, "QCVN 40:2011 A", None)
    assert limits.figures == (Figure(WINDOW, 75.0, None, "QCVN 40:2011 A", "permit"),)
    assert configured(tmp_path, channel("COD", "mg/l")).channel[0].limits.figures == ()


def test_a_file_of_the_operator_and_the_name_of_one_of_ours(tmp_path):
    text = '[limits]\nfiles = ["permit.toml"]\n' + DEVICE
    text += cod('{ rule = "QCVN 40:2025", column = "B", kq = 0.9 }')
    (tmp_path / "permit.toml").write_text(GOOD.replace("Permit 12/GP", "QCVN 40:2025"), encoding="utf-8")
    config = load(written(tmp_path, STATION + text))
    assert config.channel[0].limits.max == 63.0 and config.limits.files == (tmp_path / "permit.toml",)
    assert tmp_path / "permit.toml" in named_files(config), "a backup takes it along"


def faults(folder, text: str) -> list[str]:
    return [str(fault) for fault in read(written(folder, STATION + text))[1]]


def test_faults_of_files_and_rows_are_of_the_configuration(tmp_path):
    named = '[limits]\nfiles = ["permit.toml"]\n' + DEVICE
    row = cod('{ rule = "Permit 12/GP", column = "A", kq = 0.9 }')
    (tmp_path / "permit.toml").write_text(GOOD.replace('"mg/l"', '"mg"'), encoding="utf-8")
    (found,) = faults(tmp_path, named + row)
    assert "limits.files: " in found and "permit.toml, row 1 (COD): the unit 'mg' is not known." in found
    (tmp_path / "permit.toml").unlink()
    (found,) = faults(tmp_path, named + row)
    assert "permit.toml cannot be read: No such file" in found
    (found,) = faults(tmp_path, DEVICE + row)
    assert "channel[0].limits.rule: There is no rule 'Permit 12/GP'." in found
    (found,) = faults(
        tmp_path, DEVICE + cod('{ rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }', "mg/m3")
    )
    assert "channel[0].limits: The channel COD has the unit 'mg/m3', QCVN 40:2011 'mg/l'." in found
    (found,) = faults(tmp_path, DEVICE + cod("{ max = 75.0, kq = 0.9 }"))
    assert "channel[0].limits.kq: kq has no meaning without a rule." in found
    (found,) = faults(tmp_path, DEVICE + cod('{ max = 75.0, compare = ["year"] }'))
    assert "'year' is nothing that can be compared." in found
    (found,) = faults(tmp_path, DEVICE + cod("{ max = nan }"))
    assert "nan" in found


def test_two_files_with_one_name(tmp_path):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    (found,) = faults(tmp_path, '[limits]\nfiles = ["a.toml", "b.toml"]\n' + DEVICE + channel("COD", "mg/l"))
    assert "both hold Permit 12/GP." in found


HELD = '{ rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }'
WARNED = [
    (HELD, "TP", NOW_MS, "for TP are not verified: most 3.96"),
    (HELD, "COD", 1_956_528_000_000, "out of force since 2031"),
    ('{ rule = "QCVN 40:2025", max = 60.0 }', "COD", 1_700_000_000_000, "is in force only from 2025-09-01."),
    (HELD.replace("0.9", "0.95"), "COD", NOW_MS, "kq = 0.95 is none of QCVN 40:2011: 0.9"),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "symbol", "now_ms", "said"), WARNED, ids=range(len(WARNED)))
def test_check_warns(tmp_path, limits, symbol, now_ms, said):
    more = f"limits = {limits}\nplausible = [0.0, 900.0]"
    found, warnings = check(
        written(tmp_path, STATION + DEVICE + channel(symbol, "mg/l", 2, more) + LOCAL), now_ms
    )
    assert found == [] and [str(w) for w in warnings if said in w.what] == [str(w) for w in warnings]
    assert len(warnings) == 1


def test_check_warns_of_a_range_below_three_times_what_a_rule_gives(tmp_path):
    limits = 'limits = { rule = "QCVN 40:2011", column = "A", kq = 0.9, kf = 1.1 }\n'
    for high, said in (
        (222.0, ["The range of COD ends at 222, below 3 times its limit 74.25."]),
        (222.75, []),
    ):
        text = channel("COD", "mg/l", 2, f"{limits}plausible = [0.0, {high}]")
        found, warnings = check(written(tmp_path, STATION + DEVICE + text + LOCAL), NOW_MS)
        assert found == [] and [w.what for w in warnings] == said
