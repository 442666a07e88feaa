"""station.json: what the tools make is taken, and every single wrong field is named."""

import copy
import json

import pytest

from firmware import config
from protocol import quality
from protocol.errors import ConfigError
from tests.firmware.bench import REST, unit, value

OUTSIDE = {  # what no field of the name may be
    "bus": "nowhere",
    "kind": "radio",
    "host": "1.2.3.400",
    "order": "ABDC",
    "type": "int8",
    "take": "mode",
    "parity": "M",
    "pull": "sideways",
    "feedback": "nowhere",
    "output": "nowhere",
    "id": "Door 1",
    "name": " ",
    "path": "",
    "words": [70000],
    "channels": [255],
    "status": 3,
    "multiply": 0,
    "divide": 0,
    "shunt_ohm": 0,
    "hysteresis": -1,
    "points": [[1, 2], [1, 3]],
    "values": {"x": 0},
    "profile": 7,
    "offset": 1e39,
    "min": 1e39,
    "max": -1e39,
    "low": 1e39,
    "high": 1e39,
}
NULL_IS_GOOD = {"min", "max", "status", "pull", "feedback", "output"}
ANYTHING = {"profile"}  # a text for people


def _given() -> dict:
    status = {"read": 0, "at": 6, "type": "uint16", "mask": 65535, "values": {"0": 0, "1": 1}, "otherwise": 3}
    start = [{"function": 16, "address": 1, "words": [31], "wait_ms": 500}]
    units = [
        unit(2, [value(0, 0, status=0), value(1, 2, min=0.0, max=1000.0)], statuses=[status], start=start),
        unit(3, [value(2, 0, status=[0, 0])], bus="lan", statuses=[dict(status)]),
    ]
    inputs = [
        {
            "id": "door",
            "kind": "door",
            "pin": 2,
            "active": 1,
            "pull": "up",
            "debounce_ms": 50,
            "channels": [],
        },
        {
            "id": "mains",
            "kind": "mains",
            "pin": 3,
            "active": 1,
            "pull": None,
            "debounce_ms": 0,
            "channels": [],
        },
        {
            "id": "service",
            "kind": "maintenance",
            "pin": 4,
            "active": 0,
            "pull": "up",
            "debounce_ms": 50,
            "channels": [0, 2],
        },
        {
            "id": "bottle",
            "kind": "sampler",
            "pin": 5,
            "active": 0,
            "pull": "up",
            "debounce_ms": 9,
            "channels": [],
        },
    ]
    outputs = [
        {"id": "pump", "kind": "relay", "pin": 6, "active": 1, "pulse_ms": 0, "feedback": None}
        | {"per_day": 0, "lock_ms": 0, "feedback_ms": 0},
        {"id": "siren", "kind": "alarm", "pin": 7, "active": 1, "pulse_ms": 0, "feedback": None}
        | {"per_day": 0, "lock_ms": 0, "feedback_ms": 0},
        {"id": "draw", "kind": "sampler", "pin": 8, "active": 0, "pulse_ms": 500, "feedback": "bottle"}
        | {"per_day": 24, "lock_ms": 60000, "feedback_ms": 5000},
    ]
    return {
        "buses": [
            {"id": "rs485", "kind": "rtu", "path": "/dev/ttyY", "baud": 9600, "parity": "N", "stopbits": 1},
            {"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": 5021},
        ],
        "units": units,
        "channels": [
            {"name": f"c{i}", "calibration": i, "points": [[0.0, 0.1], [5.0, 5.2]]} for i in range(5)
        ],
        **copy.deepcopy(REST),
        "inputs": inputs,
        "outputs": outputs,
        "analogs": [
            {"channel": 3, "pin": 26, "shunt_ohm": 150, "low": 0, "high": 14, "samples": 10, "take": "mean"}
            | {"poll_ms": 1000, "phase_ms": 2500, "min": 0, "max": 14}
        ],
        "counters": [
            {"channel": 4, "pin": 27, "pull": "up", "gap_ms": 5, "take": "rate", "multiply": 1, "divide": 10}
            | {"per_ms": 3600000, "wrap": 65536, "poll_ms": 60000, "phase_ms": 0, "min": None, "max": 500}
        ],
        "alarms": [
            {"output": "siren", "channel": 1, "min": None, "max": 90, "hysteresis": 5}
            | {"delay_ms": 10000, "hold_ms": 60000},
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
    assert (
        len(parsed.hash) == 8
        and parsed.memory_records == 0
        and parsed.store == {"thin_at": 0.5, "hold_ms": 2400}
    )
    assert [len(one.requests) for one in parsed.units] == [2, 1] and parsed.units[0].starts == 1
    assert [one.watched for one in parsed.units[0].values] == [(0,), ()]
    assert parsed.units[1].values[0].watched == (0, 0)
    assert parsed.units[0].statuses[0].values == {0: 0, 1: 1}
    assert parsed.channels[2].calibration == 2
    assert parsed.inputs[2] == ("service", "maintenance", 4, 0, "up", 50, [0, 2])
    assert parsed.outputs[2] == ("draw", "sampler", 8, 0, 500, 24, 60000, "bottle", 5000)
    assert parsed.analogs == ((3, 26, 150, 0, 14, 10, "mean", 1000, 500, 0, 14),)
    assert parsed.counters == ((4, 27, "up", 5, "rate", 1, 10, 3600000, 65536, 60000, 0, None, 500),)
    assert parsed.alarms == (("siren", 1, None, 90, 5, 10000, 60000),)


@pytest.mark.parametrize(
    "wrong", [None, True, -1, 1.5, 99999999, 1e39, "", "no such thing", [], {}, [[]], {"x": 1}, [None]]
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


def _faults(given) -> list[str]:
    try:
        _parse(given)
    except ConfigError as error:
        return error.faults
    return []


def _named(change) -> int:
    """Does `change` to every field in turn: each time the fault has to name its place. How many fields."""
    fields = 0
    for place in _places(_given()):
        key = place[-1]
        if isinstance(key, int) or key.isdigit():
            continue  # an item of a list or a status code: the field is the list
        given = _given()
        node = given
        for step in place[:-1]:
            node = node[step]
        if change(node, key) is None:
            continue
        faults = _faults(given)
        where = "".join([f"[{step}]" if isinstance(step, int) else "." + step for step in place])[1:]
        assert any(fault.startswith(where) for fault in faults), (where, faults)
        fields += 1
    return fields


def test_every_missing_field_is_named():
    assert _named(lambda node, key: [node.pop(key)]) > 120


def test_every_unknown_field_is_named():
    def change(node, key):
        node[key + "x"] = node.pop(key)
        return True

    assert _named(change) > 120
    given = _given()
    given["inputs"][0]["surprise"] = 1
    with pytest.raises(ConfigError, match=r"inputs\[0\]\.surprise: unknown"):
        _parse(given)


def test_every_null_is_named():
    def change(node, key):
        if key not in NULL_IS_GOOD:
            node[key] = None
            return True

    assert _named(change) > 100


@pytest.mark.parametrize("wrong", [True, 1.5, "no number", [None], {"x": 1}, {}])
def test_every_wrong_type_is_named(wrong):
    def change(node, key):
        before = node[key]
        both = isinstance(before, (int, float)) and isinstance(wrong, (int, float)) and wrong is not True
        floats = ("offset", "min", "max", "low", "high", "multiply", "divide", "shunt_ohm", "hysteresis")
        if (both and key in floats) or (key in NULL_IS_GOOD and before is None and isinstance(wrong, float)):
            return None
        if isinstance(before, str) and isinstance(wrong, str) and key in ("path", "profile", "name"):
            return None
        if key == "id" and wrong == "no number" and ("path" in node or "host" in node):
            return None  # a bus may be called anything
        if isinstance(before, dict) and wrong == {} and key == "values":
            return None
        node[key] = copy.deepcopy(wrong)
        return True

    assert _named(change) > 100


@pytest.mark.parametrize("wrong", [-1, 1 << 40, 10**400])
def test_every_number_out_of_range_is_named(wrong):
    def change(node, key):
        if not isinstance(node[key], (int, float)):
            return None
        if abs(wrong) < 1e38 and key in (
            "offset",
            "min",
            "max",
            "low",
            "high",
            "multiply",
            "divide",
            "shunt_ohm",
            "hysteresis",
        ):
            return None
        node[key] = wrong
        return True

    assert _named(change) > 50


def test_every_field_out_of_range_is_named():
    def change(node, key):
        wrong = OUTSIDE.get(key, -1)
        if isinstance(node[key], (list, dict)) and key not in ("words", "channels", "points"):
            return None
        if key == "id" and ("path" in node or "host" in node):
            return None  # a bus may be called anything
        if key == "status" and node[key] is None:
            wrong = 5
        node[key] = copy.deepcopy(wrong)
        return True

    assert _named(change) > 110


@pytest.mark.parametrize(
    "place, wrong, words",
    [
        (("inputs", 1, "pin"), 2, "inputs[1].pin = 2: inputs[0].pin has this one already"),
        (("outputs", 0, "pin"), 26, "analogs[0].pin = 26: outputs[0].pin has this one already"),
        (("buses", 0, "path"), "uart1 tx=27", "counters[0].pin = 27: buses[0].path has this one already"),
        (("counters", 0, "pin"), 49, "counters[0].pin = 49: write a whole number from 0 to 48"),
        (("outputs", 0, "id"), "door", "outputs[0].id = door: inputs[0].id has this one already"),
        (
            ("analogs", 0, "channel"),
            1,
            "analogs[0].channel = 1: units[0].values[1].channel has this one already",
        ),
        (("units", 1, "values", 0, "channel"), 0, "units[1].values[0].channel = 0"),
        (("analogs", 0, "channel"), 5, "analogs[0].channel = 5: there are 5 channels"),
        (("alarms", 0, "channel"), 5, "alarms[0].channel = 5: there are 5 channels"),
        (("alarms", 0, "max"), None, "alarms[0].min: write min, max, or both"),
        (("alarms", 0, "min"), 90, "alarms[0].min: write less than max"),
        (("alarms", 0, "output"), "pump", "alarms[0].output: write the id of an output of kind alarm"),
        (("outputs", 2, "feedback"), "door", "outputs[2].feedback: write the id of an input of kind sampler"),
        (("outputs", 2, "pulse_ms"), 0, "outputs[2].pulse_ms: write at least 1"),
        (("outputs", 2, "per_day"), 0, "outputs[2].per_day: write at least 1"),
        (("outputs", 2, "feedback_ms"), 0, "outputs[2].feedback_ms"),
        (("outputs", 0, "kind"), "sampler", "outputs[2].kind: there is a sampler already"),
        (("inputs", 0, "channels"), [1], "inputs[0].channels: write []"),
        (("inputs", 2, "channels"), [5], "inputs[2].channels: write []"),
        (("analogs", 0, "high"), 0, "analogs[0].low: write another value than high"),
        (("units", 0, "values", 1, "min"), 1000.0, "units[0].values[1].min: write less than max"),
        (("units", 0, "reads", 0, "count"), 126, "units[0].reads[0]: 126 values in one request"),
        (("buses", 1, "id"), "rs485", "buses[1].id: there is one of this name already"),
        (("store", "thin_at"), 1, "store.thin_at = 1: write a number from 0.05 to 0.95"),
        (("store", "hold_ms"), 2401, "store.hold_ms = 2401: write a whole number from 0 to 2400"),
        (("memory_records",), 63, "memory_records = 63: write 0, or at least 64"),
        (("channels", 1, "name"), "c0", "channels[1].name: there is one of this name already"),
        (("channels", 0, "name"), "x" * 33, "write a text that is not empty, of at most 32 bytes"),
        (("channels", 0, "name"), "ngưỡng" * 5, "write a text that is not empty, of at most 32 bytes"),
        (("channels", 0, "name"), "\ud800", "write a text that is not empty, of at most 32 bytes"),
        (("buses", 0, "id"), "\ud800", "buses[0].id = "),
    ],
)
def test_what_does_not_go_together(place, wrong, words):
    given = _given()
    node = given
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = wrong
    with pytest.raises(ConfigError) as error:
        _parse(given)
    assert words in str(error.value)


def test_a_fault_can_always_be_told():
    """Half of a letter in a key is no reason that cannot be sent."""
    given = _given()
    given["\ud800"] = 1
    given["units"][0]["statuses"][0]["values"]["\udfff"] = 1
    assert all([fault.encode() for fault in _faults(given)])
    given.pop("\ud800")
    assert [fault.encode() for fault in _faults(given)]


def test_a_name_of_any_letters_that_fits():
    given = _given()
    given["channels"][0]["name"] = "nước thải (mương 2)"
    assert _parse(given).channels[0].name == "nước thải (mương 2)"


def test_pins_of_a_bus_stand_in_its_path():
    given = _given()
    given["buses"][0]["path"] = "uart1 tx=40 rx=41 de=42"
    assert _parse(given).buses[0]["path"] == "uart1 tx=40 rx=41 de=42"
    given["buses"][0]["path"] = "uart1 tx=" + "9" * 5000  # more digits than CPython takes for a number
    assert _parse(given)  # the board says what is wrong with it
    given["buses"][0]["path"] = "uart1 tx=40 rx=40"
    assert _faults(given) == ["buses[0].path = 40: buses[0].path has this one already, write another"]


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"12", b'"x"', b'{"id": 1', b"[" * 100000, b'{"a":' * 100000],
)
def test_what_is_no_station_file(data):
    with pytest.raises(ConfigError):
        config.parse(data)


@pytest.mark.parametrize(
    "host", ["gateway", "localhost", "::1", "1.2.3", "1.2.3.256", "1.2.3.04", "1.2.3.4.5"]
)
def test_only_an_address_will_do_for_a_host(host):
    """A name would be looked up by a call that stops all polling while nobody answers it."""
    given = _given()
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
    given["memory_records"] = 12
    given["units"][0]["poll_ms"] = 0
    given["units"][1]["bus"] = "nowhere"
    given["channels"][1]["name"] = ""
    with pytest.raises(ConfigError) as error:
        _parse(given)
    for word in ("memory_records", "units[0].poll_ms", "channels[1].name"):
        assert word in str(error.value)
