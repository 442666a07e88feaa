"""station.json: what the tools make is taken, and every single wrong field is named."""

import copy
import json

import pytest

from firmware import config
from protocol import quality
from protocol.errors import ConfigError
from tests.firmware.bench import KEY, unit, value


def _given() -> dict:
    status = {"read": 0, "at": 6, "type": "uint16", "mask": 65535, "values": {"0": 0, "1": 1}, "otherwise": 3}
    start = [{"function": 16, "address": 1, "words": [31], "wait_ms": 500}]
    units = [
        unit(2, [value(0, 0, status=0), value(1, 2, min=0.0, max=1000.0)], statuses=[status], start=start),
        unit(3, [value(2, 0, status=[0, 0])], bus="lan", statuses=[status]),
    ]
    return {
        "id": "st-01",
        "key": KEY.hex(),
        "link": {"kind": "serial", "path": "/dev/ttyX", "baud": 115200},
        "buses": [
            {"id": "rs485", "kind": "rtu", "path": "/dev/ttyY", "baud": 9600, "parity": "N", "stopbits": 1},
            {"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": 5021},
        ],
        "units": units,
        "channels": [
            {"name": f"c{i}", "calibration": i, "points": [[0.0, 0.1], [5.0, 5.2]]} for i in range(3)
        ],
    }


def _parse(given) -> config.Config:
    return config.parse(json.dumps(given).encode())


def _places(node, path=()):
    """Every place of a JSON document."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in entries:
        yield (*path, key)
        yield from _places(child, (*path, key))


def test_a_good_file():
    parsed = _parse(_given())
    assert parsed.key == KEY and len(parsed.hash) == 8 and parsed.memory_records == 0
    assert [len(one.requests) for one in parsed.units] == [2, 1] and parsed.units[0].starts == 1
    assert [one.watched for one in parsed.units[0].values] == [(0,), ()]
    assert parsed.units[1].values[0].watched == (0, 0)
    assert parsed.units[0].statuses[0].values == {0: 0, 1: 1}
    assert parsed.channels[2].calibration == 2


@pytest.mark.parametrize(
    "wrong", [None, True, -1, 1.5, 99999999, "", "no such thing", [], {}, [[]], {"x": 1}, [None]]
)
def test_any_wrong_field_is_refused_or_harmless(wrong):
    for place in _places(_given()):
        given = _given()
        node = given
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = copy.deepcopy(wrong)
        try:
            _parse(given)
        except ConfigError as error:
            assert str(error)


def test_any_missing_or_unknown_field_is_named():
    named = 0
    for place in _places(_given()):
        if isinstance(place[-1], int):
            continue
        given = _given()
        node = given
        for key in place[:-1]:
            node = node[key]
        del node[place[-1]]
        if "values" in place[-2:] and place[-1].isdigit():
            continue
        node["surprise"] = 1
        with pytest.raises(ConfigError) as error:
            _parse(given)
        assert "surprise" in str(error.value) or str(place[-1]) in str(error.value)
        named += 1
    assert named > 50


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"12", b'"x"', b'{"id": 1'])
def test_what_is_no_station_file(data):
    with pytest.raises(ConfigError):
        config.parse(data)


@pytest.mark.parametrize(
    "host", ["gateway", "localhost", "::1", "1.2.3", "1.2.3.256", "1.2.3.04", "1.2.3.4.5"]
)
def test_only_an_address_will_do_for_a_host(host):
    """A name would be looked up by a call that stops all polling while nobody answers it."""
    for node in ("link", "bus"):
        given = _given()
        if node == "link":
            given["link"] = {"kind": "tcp", "host": host, "port": 7311}
        else:
            given["buses"][1]["host"] = host
        with pytest.raises(ConfigError, match="IPv4 address"):
            _parse(given)


@pytest.mark.parametrize("number, good", [(len(quality.NAMES) - 1, True), (len(quality.NAMES), False)])
def test_a_quality_is_one_that_has_a_name(number, good):
    given = _given()
    given["units"][0]["statuses"][0]["otherwise"] = number
    if good:
        _parse(given)
    else:
        with pytest.raises(ConfigError, match="otherwise"):
            _parse(given)


def test_points_that_are_one_point_for_the_gateway():
    given = _given()
    given["channels"][0]["points"] = [[1.0, 0.0], [1.0 + 2.0**-25, 5.0]]
    with pytest.raises(ConfigError, match="rise"):
        _parse(given)


def test_all_faults_come_at_once():
    given = _given()
    given["key"] = "12"
    given["units"][0]["poll_ms"] = 0
    given["units"][1]["bus"] = "nowhere"
    given["channels"][1]["name"] = ""
    with pytest.raises(ConfigError) as error:
        _parse(given)
    for word in ("key", "units[0].poll_ms", "channels[1].name"):
        assert word in str(error.value)
