# runs on: cpython, micropython
# What a field of a configuration file may be, and what is said where it may not.

from protocol import fields, profile_fields
from tests.protocol._check import raises

NOTHING = float("nan")
ENDLESS = float("inf")


def _good(check, *values):
    for value in values:
        assert check(value) is None, value


def _bad(check, wanted, *values):
    for value in values:
        assert check(value) == wanted, value


def test_numbers():
    _good(fields.number, 0, 5, -3, 2.5, 1e30)
    _bad(fields.number, "a number", True, "1", None, NOTHING, ENDLESS, -ENDLESS, [1])
    _good(fields.not_zero, 1, -0.5)
    _bad(fields.not_zero, "a number other than 0", 0, 0.0, False, "1", NOTHING)
    _good(fields.seconds, 0.1, 60)
    _bad(fields.seconds, "a number of seconds above 0", 0, -1, True, None)


def test_whole_numbers_with_both_ends():
    check = fields.whole(1, 247)
    _good(check, 1, 247)
    _bad(check, "a whole number from 1 to 247", 0, 248, 1.0, True, "1", None)


def test_the_limits_of_a_link_are_those_of_modbus():
    check = {key: check for key, check, _ in profile_fields.LINK}
    _good(check["unit"], 1, 247)
    _bad(check["unit"], "a whole number from 1 to 247", 0, 248)
    _good(check["max_block"], 1, 125)
    _bad(check["max_block"], "a whole number from 1 to 125", 0, 126)
    _good(check["stopbits"], 1, 2)
    _bad(check["stopbits"], "one of 1, 2", 0, 3, 1.0, True)


def test_choices_are_exact():
    check = fields.choice(("N", "E", 2))
    _good(check, "N", "E", 2)
    _bad(check, "one of N, E, 2", "n", 2.0, None, "")
    _good(fields.flag, True, False)
    _bad(fields.flag, "true or false", 1, 0, None, "true")


def test_texts():
    _good(fields.text, "", "a")
    _bad(fields.text, "a text", 1, None, b"a")
    _good(fields.filled, "a", " a ")
    _bad(fields.filled, "a text that is not empty", "", "  ", None)
    _good(fields.identifier, "a", "a-9_z")
    _bad(fields.identifier, "small letters, digits, - and _", "", "A", "a b", "ä", None, 1)
    _good(fields.solid, "", "a.b")
    _bad(fields.solid, "a text without spaces", "a b", " a", "a ", "a\tb", 1)


def test_addresses():
    wanted = "an IPv4 address such as 192.168.1.20 (a device looks no names up)"
    _good(fields.address, "0.0.0.0", "192.168.1.20", "255.255.255.255")
    _bad(fields.address, wanted, "256.1.1.1", "1.1.1", "1.1.1.1.1", "01.1.1.1", "1.1.1.", "a.b.c.d", "", 1)
    _bad(fields.address, wanted, "1111.1.1.1", "-1.1.1.1", "1.1.1.+1")


def test_pairs_and_lists():
    _good(fields.span, [0, 1], [-1.5, 2])
    wanted = "[lowest, highest], two numbers that rise"
    _bad(fields.span, wanted, [1, 1], [2, 1], [1], [1, 2, 3], ["1", 2], [1, "2"], (1, 2), None)
    check = fields.list_of(fields.whole(0, 3))
    _good(check, [], [0, 3])
    _bad(check, "a list of a whole number from 0 to 3", [4], [0, "1"], (0,), None, 1)


TABLE = (("id", fields.identifier, fields.MUST), ("n", fields.whole(0, 9), 5), ("any", None, fields.MUST))


def test_a_table_with_every_fault_at_once():
    faults = []
    assert fields.read(faults, "x", {"id": "a", "any": 1}, TABLE) == {"id": "a", "n": 5, "any": 1}
    assert faults == []
    values = fields.read(faults, "x", {"n": 10, "zz": 1, "b": 2}, TABLE)
    assert values == {"id": None, "n": None, "any": None}
    assert faults == [
        "x.b: unknown, write one of id, n, any",
        "x.zz: unknown, write one of id, n, any",
        "x.id: missing, write small letters, digits, - and _",
        "x.n = 10: write a whole number from 0 to 9",
        "x.any: missing, write a table",
    ]


def test_a_value_that_is_there_and_false_is_no_default():
    faults = []
    assert fields.read(faults, "", {"id": "a", "n": 0, "any": None}, TABLE)["n"] == 0
    assert fields.read(faults, "", [], TABLE) is None
    assert faults == ["file: write a table"]
    assert fields.read(faults, "x", [], TABLE) is None and faults[1:] == ["x: write a table"]


def test_tables_in_a_row():
    faults = []

    def make(faults, where, values):
        return where, values["id"]

    given = [{"id": "a", "any": 0}, 7, {"id": "b", "any": 0}, {"id": "a", "any": 0}, {"any": 0}, {"any": 0}]
    made = fields.each(faults, "x", given, TABLE, make)
    assert made == (("x[0]", "a"), ("x[2]", "b"), ("x[3]", "a"), ("x[4]", None), ("x[5]", None))
    assert faults[0] == "x[1]: write a table" and faults[1] == 'x[3].id = "a": twice, write another'
    assert len(faults) == 4
    assert fields.each(faults, "x", None, TABLE, make) == () and len(faults) == 4
    assert fields.each(faults, "x", {}, TABLE, make) == ()
    assert faults[4] == "x: write a list of tables, each under [[x]]"


def test_one_error_for_all_of_them():
    def fail():
        raise fields.fail("name", ["one", "two"])

    error = raises(fields.ConfigError, fail)
    assert error.faults == ["one", "two"] and str(error) == "name: one; two"
