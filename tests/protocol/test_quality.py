# runs on: cpython, micropython

from protocol import quality
from protocol.errors import ConfigError
from tests.protocol._check import raises


def test_numbers_and_names_belong_together():
    assert len(quality.NAMES) == 12
    for number, name in enumerate(quality.NAMES):
        assert quality.by_name(name) == number == getattr(quality, name)


def test_an_unknown_name_says_what_to_write():
    error = raises(ConfigError, quality.by_name, "GOOD")
    assert "GOOD" in str(error) and "MAINTENANCE" in str(error)


def test_status():
    found = [quality.status(number) for number in range(12)]
    assert found == ["00", "01", "01"] + ["02"] * 9


def test_values():
    without = [name for number, name in enumerate(quality.NAMES) if not quality.has_value(number)]
    assert without == ["TIMEOUT", "BAD_REPLY", "OFF", "NO_DATA"]
