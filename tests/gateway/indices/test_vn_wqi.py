"""gateway/indices/vn_wqi.py: every breakpoint and both sides, oxygen, combination by hand, missing groups, a
slow reference; controls.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from gateway.indices import vn_wqi
from gateway.indices.vn_wqi import (
    ALLOWED,
    DO,
    PH,
    TABLES,
    Rule,
    oxygen_percent,
    quality,
    saturation_mg_l,
    sub_index,
)

LISTED = {  # written down by hand once more: (concentration, sub-index at it)
    "BOD5": [(4, 100), (6, 75), (15, 50), (25, 25), (50, 10)],
    "COD": [(10, 100), (15, 75), (30, 50), (50, 25), (150, 10)],
    "TOC": [(4, 100), (6, 75), (15, 50), (25, 25), (50, 10)],
    "NH4": [(0.3, 75), (0.6, 50), (0.9, 25), (5, 10)],
    "NO3": [(2, 100), (5, 75), (10, 50), (15, 25)],
    "PO4": [(0.1, 100), (0.2, 75), (0.3, 50), (0.5, 25), (4, 10)],
    "As": [(0.01, 100), (0.02, 75), (0.05, 50), (0.1, 25)],
    "Cd": [(0.005, 100), (0.008, 75), (0.01, 50), (0.1, 25)],
    "Pb": [(0.02, 100), (0.04, 75), (0.05, 50), (0.5, 25)],
    "Cr6": [(0.01, 100), (0.02, 75), (0.04, 50), (0.1, 25)],
    "Cu": [(0.1, 100), (0.2, 75), (0.5, 50), (1, 25), (2, 10)],
    "Zn": [(0.5, 100), (1, 75), (1.5, 50), (2, 25), (3, 10)],
    "Hg": [(0.001, 100), (0.0015, 75), (0.002, 50), (0.01, 25)],
    "Coliform": [(2500, 100), (5000, 75), (7500, 50), (10000, 25)],
    "Ecoli": [(20, 100), (50, 75), (100, 50), (200, 25)],
    "TN": [(3, 100), (6, 75), (12, 50), (18, 25), (40, 10)],
    "TP": [(0.2, 100), (0.4, 75), (0.6, 50), (2, 25), (6, 10)],
    "TSS": [(20, 100), (30, 75), (50, 50), (100, 25)],
    "TURB": [(5, 100), (20, 75), (30, 50), (70, 25), (100, 10)],
    "pH": [(5.5, 50), (6, 100), (8.5, 100), (9, 50)],
    "DO": [(20, 25), (50, 50), (75, 75), (88, 100), (112, 100), (125, 75), (150, 50), (200, 25)],
}
OUTSIDE = {"pH": (10, 10), "DO": (10, 10)}  # else 100 below the first, 10 above the last


def slow(parameter: str, x: Decimal) -> Decimal:
    """From the definitions, with plain loops."""
    points = [(Decimal(str(at)), Decimal(q)) for at, q in LISTED[parameter]]
    below, above = OUTSIDE.get(parameter, (100, 10))
    if x < points[0][0]:
        return Decimal(below)
    if x > points[-1][0]:
        return Decimal(above)
    for i in range(len(points) - 1):
        (x0, q0), (x1, q1) = points[i], points[i + 1]
        if x0 <= x <= x1:
            return q0 + (q1 - q0) * (x - x0) / (x1 - x0)
    raise AssertionError(x)


def check_breakpoints(parameter: str) -> None:
    for at, q in LISTED[parameter]:
        assert sub_index(parameter, at) == q, (parameter, at)
        step = Decimal(str(at)) / 1000
        for beside in (Decimal(str(at)) - step, Decimal(str(at)) + step):
            expected = Fraction(slow(parameter, beside))
            found = sub_index(parameter, Fraction(beside))
            assert found is not None and abs(found - expected) < Fraction(1, 10**20), (parameter, beside)


@pytest.mark.parametrize("parameter", LISTED)
def test_at_every_breakpoint_and_just_beside_it(parameter):
    check_breakpoints(parameter)


def test_every_table_is_tested():
    assert set(LISTED) == {*TABLES, "pH", "DO"}


@pytest.mark.parametrize("parameter", TABLES)
def test_control_a_breakpoint_moved_is_caught(parameter, monkeypatch):
    table = TABLES[parameter]
    for i in range(len(table)):
        moved = (*table[:i], str(Decimal(table[i]) * Decimal("1.001")), *table[i + 1 :])
        if parameter == "NH4" and i == 0:
            continue  # the step's lower edge: looked at below
        monkeypatch.setitem(vn_wqi.TABLES, parameter, moved)
        with pytest.raises(AssertionError):
            check_breakpoints(parameter)


@pytest.mark.parametrize("name, table", [("PH", PH), ("DO", DO)])
def test_control_of_the_two_sided_ones(name, table, monkeypatch):
    for i in range(len(table)):
        at, q = table[i]
        monkeypatch.setattr(
            vn_wqi, name, (*table[:i], (str(Decimal(at) + Decimal("0.01")), q), *table[i + 1 :])
        )
        with pytest.raises(AssertionError):
            check_breakpoints({"PH": "pH"}.get(name, name))


@pytest.mark.parametrize(
    "parameter, value, index",
    [
        ("NH4", 0.2999, 100),  # a step: 100 below 0.3, 75 at it
        ("NH4", 0.3, 75),
        ("NH4", 0.45, 62.5),
        ("COD", 12.5, 87.5),  # half-way 10..15
        ("COD", 100, 17.5),  # half-way 50..150
        ("pH", 5.75, 75),
        ("pH", 5.49, 10),
        ("pH", 9.01, 10),
        ("pH", 7, 100),
        ("DO", 19.9, 10),
        ("DO", 200.1, 10),
        ("DO", 81.5, 87.5),
        ("DO", 118.5, 87.5),
        ("TSS", 100, 25),
        ("TSS", 100.1, 10),
    ],
)
def test_between_breakpoints(parameter, value, index):
    assert sub_index(parameter, value) == Fraction(str(index))


@pytest.mark.parametrize("parameter", ALLOWED)
def test_those_with_one_limit(parameter):
    limit = float(ALLOWED[parameter])
    assert (sub_index(parameter, limit), sub_index(parameter, limit * 1.001)) == (100, 10)


def test_oxygen():
    """25 °C: 14.652 - 10.2555 + 4.994375 - 1.21521875 = 8.17565625 mg/l; 20 °C: 8.4518, 0 °C: 14.652.

    20 °C: 14.652 - 8.2044 + 3.1964 - 0.622192 = 9.021808.
    """
    assert saturation_mg_l(25.0) == pytest.approx(8.17565625, rel=1e-12)
    assert saturation_mg_l(20.0) == pytest.approx(9.021808, rel=1e-12)
    assert saturation_mg_l(0.0) == 14.652
    percent = oxygen_percent(4.087828125, 25.0)
    assert percent == 50
    assert oxygen_percent(5.0, None) is None and oxygen_percent(None, 25.0) is None
    assert oxygen_percent(5.0, 500.0) is None, "the polynomial gives no saturation there"


SAMPLE = {"pH": 5.75, "COD": 12.5, "BOD5": 5.0, "NH4": 0.45, "Coliform": 3750.0}
# I 75; IV: 87.5, 87.5, 62.5, mean 79.1667; V 87.5


def test_combination_by_hand():
    """(79.1667² x 87.5)^(1/3) = (548394.1)^(1/3) = 81.8531; x 75/100 = 61.39."""
    found = quality(SAMPLE)
    assert (found.value, found.indicative, found.deciding) == (61, 61, "NH4")
    assert found.sub == {"pH": 75.0, "COD": 87.5, "BOD5": 87.5, "NH4": 62.5, "Coliform": 87.5}
    assert found.groups == pytest.approx({"I": 75, "IV": 79.1667, "V": 87.5}, abs=1e-3)
    assert found.rated is not None and found.rated.name.vi == "Trung bình"
    assert [each.split(":")[0] for each in found.missing] == ["group II", "group III"]


def test_pesticides_and_metals_multiply():
    """II: sqrt(100 x 10) = 31.6228; III: sqrt(75 x 50) = 61.2372.

    81.8531 x 0.75 x 0.316228 x 0.612372 = 11.888.
    """
    found = quality(SAMPLE | {"Aldrin": 0.05, "DDT": 1.1, "As": 0.02, "Pb": 0.05})
    assert found.value == 12
    assert found.groups["II"] == pytest.approx(31.6228, abs=1e-4)
    assert found.groups["III"] == pytest.approx(61.2372, abs=1e-4)
    assert found.deciding == "DDT"


def test_the_square_root_is_a_choice():
    """sqrt(79.1667 x 87.5) = 83.2291; x 0.75 = 62.42."""
    assert quality(SAMPLE, Rule(square=True)).value == 62


def test_extra_parameters_are_shown_and_counted_only_on_request():
    """TSS 25: IV becomes (87.5 + 87.5 + 62.5 + 25) / 4 = 65.625; (65.625² x 87.5)^(1/3) = 72.2278; 54.17."""
    assert quality(SAMPLE | {"TSS": 100.0}).value == 61
    assert quality(SAMPLE | {"TSS": 100.0}).sub["TSS"] == 25
    found = quality(SAMPLE | {"TSS": 100.0}, Rule(extra=True))
    assert (found.value, found.deciding) == (54, "TSS")


def test_a_station_with_two_groups_gets_an_indication_only():
    found = quality({"pH": 7.0, "COD": 12.5, "NH4": 0.45, "DO": 8.0, "Temp": 25.0})
    # DO 8 / 8.1757 = 97.9 %: 100. IV (87.5 + 62.5 + 100) / 3 = 83.33
    assert (found.value, found.indicative, found.rated) == (None, 83, None)
    assert found.missing[-1] == "2 of the 3 groups that VN_WQI needs"
    assert quality({"pH": 7.0, "COD": 12.5, "NH4": 0.45, "DO%": 97.9}, Rule(groups_min=2)).value == 83


def test_group_iv_needs_three_parameters():
    found = quality({"pH": 7.0, "COD": 12.5, "NH4": 0.45, "Coliform": 100.0})
    assert (found.value, found.missing[-1]) == (None, "group IV: 2 of the 3 parameters that it needs")
    nothing = quality({"pH": 7.0, "Coliform": 100.0, "As": 0.001})
    assert (nothing.value, nothing.indicative) == (None, None)


def test_what_is_not_there_is_named():
    found = quality({"COD": None, "DO": 5.0, "pH": float("nan")})
    assert found.missing[:2] == ("DO: no water temperature, so no saturation", "COD")
    assert found.sub == {} and found.deciding == ""


@pytest.mark.parametrize(
    "value, name",
    [(9, "Ô nhiễm rất nặng"), (10, "Kém"), (25, "Kém"), (26, "Xấu"), (50, "Xấu"), (51, "Trung bình"),
     (75, "Trung bình"), (76, "Tốt"), (90, "Tốt"), (91, "Rất tốt"), (100, "Rất tốt")],
)  # fmt: skip
def test_classes(value, name):
    rated = vn_wqi.water_class(value)
    assert rated is not None and rated.name.vi == name


def reference(values: dict[str, float]) -> int | None:
    """From the formula, with plain loops and floats; None where it needs more than there is."""
    groups = {
        "I": ["pH"], "II": ["Aldrin", "BHC", "Dieldrin", "DDT", "Heptachlor"],
        "III": ["As", "Cd", "Pb", "Cr6", "Cu", "Zn", "Hg"],
        "IV": ["DO%", "BOD5", "COD", "TOC", "NH4", "NO3", "NO2", "PO4"], "V": ["Coliform", "Ecoli"],
    }  # fmt: skip
    index: dict[str, list[float]] = {}
    for group, members in groups.items():
        index[group] = []
        for member in members:
            if member in values:
                if member in ALLOWED:
                    index[group].append(100.0 if values[member] <= float(ALLOWED[member]) else 10.0)
                else:
                    index[group].append(float(slow(member.rstrip("%"), Decimal(str(values[member])))))
    if sum(bool(each) for each in index.values()) < 3 or len(index["IV"]) < 3:
        return None
    result = sum(index["IV"]) / len(index["IV"])
    if index["V"]:
        result = (result * result * sum(index["V"]) / len(index["V"])) ** (1 / 3)
    for group in ("II", "III"):
        if index[group]:
            product = 1.0
            for each in index[group]:
                product *= each
            result *= product ** (1 / len(index[group])) / 100
    if index["I"]:
        result *= index["I"][0] / 100
    return int(result + 0.5)


def draw(random: Random) -> dict[str, float]:
    values = {}
    for name in (*TABLES, *ALLOWED, "pH", "DO%"):
        if random.random() < 0.4 and name not in vn_wqi.EXTRA:
            top = float(ALLOWED[name]) * 2 if name in ALLOWED else LISTED[name.rstrip("%")][-1][0] * 1.1
            values[name] = round(random.uniform(0.3 if name == "pH" else 0, top), 4)
    return values


def test_equals_a_slow_reference():
    random, indexed = Random(7), 0
    for _ in range(3000):
        values = draw(random)
        expected = reference(values)
        assert quality(values).value == expected, values
        indexed += expected is not None
    assert indexed > 1000


@pytest.mark.parametrize("name, broken", [("_LOWEST", Fraction(1)), ("QUALITIES", (100, 75, 50, 25, 1))])
def test_control_another_lowest_index_is_caught(name, broken, monkeypatch):
    monkeypatch.setattr(vn_wqi, name, broken)
    with pytest.raises(AssertionError):
        test_equals_a_slow_reference()


def test_control_the_square_root_is_caught(monkeypatch):
    monkeypatch.setattr(vn_wqi, "Rule", lambda: Rule(square=True))
    with pytest.raises(AssertionError):
        test_equals_a_slow_reference()
