"""tools/station: a site becomes a station.json that polls the right registers, or a list of what is wrong."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import config, identity
from firmware.sealer import Sealer
from firmware.values import judge
from protocol import instruments, messages, modbus_requests, quality, registers
from protocol.errors import ConfigError
from protocol.profile import answered
from protocol.profile_ask import examples
from tools.station.build import SEAL_BYTES, build, files, write

SITE = {
    "id": "st-01",
    "key": "0f" * 32,
    "link": {"kind": "tcp", "host": "127.0.0.1", "port": 7311},
    "buses": [
        {"id": "rs485", "kind": "rtu", "path": "/dev/ttyUSB0", "baud": 9600, "parity": "N", "stopbits": 1},
        {"id": "lan", "kind": "tcp", "host": "127.0.0.1", "port": 5021},
    ],
    "units": [
        {
            "bus": "rs485",
            "unit": 1,
            "profile": "supmea-sup-ph8001",
            "poll_ms": 1000,
            "quantities": ["ph", "temperature"],
        },
        {
            "bus": "rs485",
            "unit": 2,
            "profile": "generic-tss",
            "poll_ms": 10000,
            "phase_ms": 5000,
            "quantities": ["tss"],
        },
        {"bus": "lan", "unit": 1, "profile": "krohne-ifc050", "poll_ms": 1000, "rename": {"flow": "flow-in"}},
    ],
    "calibrations": {"tss": {"id": 7, "points": [[0.0, 0.5], [100.0, 98.0]]}},
}


WIRED = {
    "inputs": [
        {"id": "door", "kind": "door", "pin": 2, "pull": "up"},
        {"id": "service", "kind": "maintenance", "pin": 3, "active": 0, "channels": ["ph", "level"]},
        {"id": "bottle", "kind": "sampler", "pin": 4},
    ],
    "outputs": [
        {"id": "pump", "kind": "relay", "pin": 5},
        {"id": "siren", "kind": "alarm", "pin": 6},
        {"id": "draw", "kind": "sampler", "pin": 7, "pulse_ms": 500, "per_day": 24, "lock_ms": 60000}
        | {"feedback": "bottle", "feedback_ms": 5000},
    ],
    "analogs": [{"channel": "level", "pin": 26, "shunt_ohm": 150, "low": 0, "high": 5, "poll_ms": 1000}],
    "counters": [
        {"channel": "rain", "pin": 8, "take": "amount", "scale": 0.2, "poll_ms": 60000},
    ],
    "alarms": [{"channel": "level", "output": "siren", "max": 4.5, "hysteresis": 0.1}],
    "store": {"thin_at": 0.7, "hold_ms": 1000},
}


def changed(path, value):
    """The site with one place changed; path like ("units", 0, "unit")."""
    site = copy.deepcopy(SITE)
    place = site
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return site


def faults(site):
    with pytest.raises(ConfigError) as caught:
        build(site)
    assert all(fault in str(caught.value) for fault in caught.value.faults)
    return caught.value.faults


def test_a_station():
    station = build(SITE)
    assert [channel["name"] for channel in station["channels"]] == [
        "ph",
        "temperature",
        "tss",
        "flow-in",
        "total",
    ]
    assert station["channels"][2] == {"name": "tss", "calibration": 7, "points": [[0.0, 0.5], [100.0, 98.0]]}
    supmea, tss, flow = station["units"]
    assert supmea["reads"] == [{"function": 3, "address": 0, "count": 2}]
    assert supmea["values"][0] == {
        "channel": 0,
        "read": 0,
        "at": 1,
        "type": "int16",
        "order": "ABCD",
        "multiply": 1,
        "divide": 100,
        "offset": 0.0,
        "min": 0.0,
        "max": 14.0,
        "status": None,
    }
    assert supmea["values"][1]["divide"] == 10 and supmea["values"][1]["at"] == 0
    assert tss["reads"] == [{"function": 3, "address": 0, "count": 4}]
    assert tss["statuses"] == [
        {
            "read": 0,
            "at": 0,
            "type": "uint16",
            "mask": 65535,
            "values": {"0": 0, "1": 1, "2": 2},
            "otherwise": 3,
        }
    ]
    assert tss["values"][0]["status"] == 0 and tss["phase_ms"] == 5000 and tss["retries"] == 2
    assert flow["reads"] == [
        {"function": 4, "address": 30002, "count": 2},
        {"function": 4, "address": 30008, "count": 4},
    ]
    assert (flow["values"][0]["multiply"], flow["values"][0]["divide"]) == (3600, 1)
    assert flow["values"][1]["type"] == "float64"
    assert (flow["values"][1]["read"], flow["values"][1]["at"]) == (1, 0)
    assert json.loads(json.dumps(station)) == station


def test_quantities_at_their_own_pace_are_read_by_requests_of_their_own():
    station = build(changed(("units", 0, "every"), {"temperature": 60000}))
    ph, temperature = station["units"][:2]
    assert (ph["unit"], ph["poll_ms"], temperature["unit"], temperature["poll_ms"]) == (1, 1000, 1, 60000)
    assert ph["reads"] == [{"function": 3, "address": 1, "count": 1}]
    assert temperature["reads"] == [{"function": 3, "address": 0, "count": 1}]
    assert [value["channel"] for value in (*ph["values"], *temperature["values"])] == [0, 1]
    assert [unit["unit"] for unit in station["units"]] == [1, 1, 2, 1]
    config.parse(json.dumps(station).encode())
    # every quantity elsewhere: no entry is left at the unit's own pace
    station = build(changed(("units", 0, "every"), {"temperature": 60000, "ph": 500}))
    assert [unit["poll_ms"] for unit in station["units"]][:2] == [500, 60000]


def test_each_pace_reads_the_states_of_its_own_quantities():
    unit = {"bus": "lan", "unit": 1, "profile": "generic-tss", "poll_ms": 1000, "phase_ms": 900}
    profile = instruments.load("generic-tss")
    ids = [quantity.id for quantity in profile.quantities]
    site = changed(("units",), [unit | {"every": {ids[-1]: 300}}])
    del site["calibrations"]
    station = build(site)
    assert len(ids) > 1 and len(station["units"]) == 2 and station["units"][1]["phase_ms"] == 0
    for entry in station["units"]:
        for value in entry["values"]:
            quantity = profile.quantities[value["channel"]]
            assert (value["status"] is not None) == bool(quantity.statuses)


def test_what_is_wired_to_the_device():
    station = build(SITE | WIRED)
    names = [channel["name"] for channel in station["channels"]]
    assert names == ["ph", "temperature", "tss", "flow-in", "total", "level", "rain"]
    assert station["inputs"][1]["channels"] == [0, 5] and station["inputs"][0]["debounce_ms"] == 50
    assert station["analogs"][0]["channel"] == 5 and station["analogs"][0]["samples"] == 10
    rain = station["counters"][0]
    assert (rain["channel"], rain["multiply"], rain["divide"]) == (6, 1, 5) and "scale" not in rain
    assert station["alarms"] == [
        {"channel": 5, "output": "siren", "min": None, "max": 4.5, "hysteresis": 0.1}
        | {"delay_ms": 0, "hold_ms": 0}
    ]
    read = config.parse(json.dumps(station).encode())
    assert [len(rows) for rows in read[5:10]] == [3, 3, 1, 1, 1]
    assert read.store == {"thin_at": 0.7, "hold_ms": 1000}
    site = SITE | WIRED | {"calibrations": {"level": {"id": 3, "points": [[0.0, 0.1], [5.0, 5.0]]}}}
    assert build(site)["channels"][5]["calibration"] == 3


def test_pins_of_a_boards_uart():
    site = changed(("buses", 0), SITE["buses"][0] | {"path": "uart1 tx=4 rx=5 de=3"})
    assert config.parse(json.dumps(build(site)).encode()).buses[0]["path"] == "uart1 tx=4 rx=5 de=3"
    words = "inputs[2].pin = 4: buses[0].path (tx=4) has this pin already, write another"
    assert words in faults(site | WIRED)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("inputs", 0, "pin"), 3, "inputs[1].pin = 3: inputs[0].pin has this pin already"),
        (("inputs", 0, "pin"), 49, "inputs[0].pin = 49: write a whole number from 0 to 48"),
        (("inputs", 0, "kind"), "window", "inputs[0].kind"),
        (("inputs", 0, "channels"), ["ph"], "inputs[0].channels: only a maintenance switch"),
        (("inputs", 1, "channels"), ["cod"], 'inputs[1].channels = "cod": no such channel'),
        (("outputs", 0, "id"), "door", 'outputs[0].id = "door": inputs[0] is called so already'),
        (("outputs", 0, "kind"), "sampler", "outputs[2].kind: outputs[0] is the sampler"),
        (("outputs", 2, "per_day"), 0, "outputs[2].per_day: write at least 1"),
        (("outputs", 2, "feedback"), "door", 'outputs[2].feedback = "door": write bottle'),
        (("outputs", 2, "feedback_ms"), 0, "outputs[2].feedback_ms"),
        (("analogs", 0, "channel"), "ph", 'analogs[0].channel = "ph": exists already (units[0])'),
        (("analogs", 0, "high"), 0, "analogs[0].low: write another value than high"),
        (("analogs", 0, "shunt_ohm"), 0, "analogs[0].shunt_ohm = 0"),
        (("analogs", 0, "phase_ms"), 1000, "analogs[0].phase_ms: write less than poll_ms"),
        (("counters", 0, "scale"), 0, "counters[0].scale = 0: write a number other than 0"),
        (("counters", 0, "take"), "total", "counters[0].take"),
        (("alarms", 0, "max"), None, "alarms[0].min: write min, max, or both"),
        (("alarms", 0, "output"), "pump", 'alarms[0].output = "pump": write siren'),
        (("alarms", 0, "channel"), "cod", 'alarms[0].channel = "cod": no such channel'),
        (("alarms", 0, "surprise"), 1, "alarms[0].surprise: unknown"),
        (("store", "thin_at"), 1, "store.thin_at = 1"),
        (("store", "hold_ms"), 5000, "store.hold_ms = 5000: write a whole number from 0 to 2400"),
        (("inputs",), {}, "inputs: write a list"),
        (("units", 0, "every"), {"cod": 1000}, "units[0].every.cod: not a chosen quantity"),
        (("units", 0, "every"), {"ph": 1}, "units[0].every.ph = 1: write a whole number from 10"),
        (("units", 0, "every"), [], "units[0].every: write { quantity = poll_ms }"),
    ],
)
def test_faults_of_what_is_wired(path, value, words):
    site = copy.deepcopy(SITE | WIRED)
    place = site
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(words in fault for fault in faults(site)), faults(site)


def test_an_instrument_that_is_started_has_one_pace():
    unit = {"bus": "lan", "unit": 1, "profile": "yosemitech-y550", "poll_ms": 60000, "every": {"cod": 1000}}
    site = changed(("units",), [unit])
    del site["calibrations"]
    assert "units[0].every: yosemitech-y550 is started by a command" in faults(site)[0]


def test_the_firmware_accepts_it():
    read = config.parse(json.dumps(build(SITE)).encode())
    assert [unit.unit for unit in read.units] == [1, 2, 1]


def one(profile, **more):
    site = copy.deepcopy(SITE)
    site["units"] = [{"bus": "lan", "unit": 1, "profile": profile, "poll_ms": 60000} | more]
    del site["calibrations"]
    return build(site)["units"][0]


def test_a_start_command_without_words():
    unit = one("yosemitech-y550", quantities=["cod"])
    assert unit["start"] == [{"function": 3, "address": 0x2500, "words": [], "wait_ms": 2000}]
    # the sensor answers whole blocks only: temperature was not chosen, and is read all the same
    assert unit["reads"] == [{"function": 3, "address": 0x2600, "count": 5}]
    assert [value["at"] for value in unit["values"]] == [2]
    assert unit["statuses"][0]["at"] == 4


def test_one_value_per_request_and_short_blocks():
    unit = one("jxbs-3001-pm")
    assert [(read["address"], read["count"]) for read in unit["reads"]] == [(4, 1), (9, 1)]
    unit = one("keller-series30")
    assert [(read["address"], read["count"]) for read in unit["reads"]] == [(0x0100, 4), (0x020C, 1)]


def test_registers_that_no_source_shows_are_not_read():
    """Between the value and the state of these stands what nobody has seen an answer to."""
    for name, reads in (
        ("hach-codmax2", [(0, 2), (7, 1), (51, 1)]),
        ("hach-amtax-compact2", [(0, 2), (52, 1)]),
        ("krohne-ifc050", [(30002, 2), (30008, 4)]),
    ):
        assert [(read["address"], read["count"]) for read in one(name)["reads"]] == reads, name


@pytest.mark.parametrize("name", ["thermo-42i", "thermo-43i"])
def test_a_zero_check_is_a_calibration_even_while_the_general_alarm_stands(name):
    site = copy.deepcopy(SITE)
    site["units"] = [{"bus": "lan", "unit": 1, "profile": name, "poll_ms": 60000}]
    del site["calibrations"]
    device = config.parse(json.dumps(build(site)).encode()).units[0]
    profile = instruments.load(name)

    def quality_when(**bits):
        replies = {}
        reads = build(site)["units"][0]["reads"]
        for number, read in enumerate(reads):
            words = [0] * read["count"]
            for id, bit in bits.items():
                place = profile.status(id).register - read["address"]
                if read["function"] == 2 and 0 <= place < read["count"]:
                    words[place] = bit
            replies[number] = tuple(words)
        return {judge(value, device.statuses, replies, quality.TIMEOUT)[1] for value in device.values}

    assert quality_when() == {quality.OK}
    assert quality_when(alarm=1) == {quality.FAULT}
    assert quality_when(alarm=1, zero=1) == {quality.CALIBRATING}
    assert quality_when(alarm=1, service=1) == {quality.MAINTENANCE}


def test_several_statuses_become_a_list():
    unit = one("teledyne-t300")
    assert unit["values"][0]["status"] == [0, 1, 2, 3, 4]
    assert {read["function"] for read in unit["reads"]} == {2, 4}
    assert unit["statuses"][3]["values"] == {"0": quality.OK, "1": quality.FAULT}


@pytest.mark.parametrize("name", instruments.names())
def test_every_profile_compiles(name):
    """Each value and status lies in its read, at the register that its profile names."""
    asks = instruments.load(name).asks
    profile = answered(instruments.load(name), examples(asks))
    unit = one(name, answers=examples(asks)) if asks else one(name)
    for quantity, value in zip(profile.quantities, unit["values"], strict=True):
        read = unit["reads"][value["read"]]
        assert read["function"] == modbus_requests.TABLES[quantity.table]
        assert read["address"] + value["at"] == quantity.register
        assert value["at"] + registers.words_of(value["type"]) <= read["count"]
        assert value["multiply"] / value["divide"] == pytest.approx(quantity.scale, rel=1e-12)
    for status in unit["statuses"]:
        read = unit["reads"][status["read"]]
        assert (read["function"], read["address"] + status["at"]) in {
            (modbus_requests.TABLES[s.table], s.register) for s in profile.statuses
        }
    for read in unit["reads"]:
        assert read["count"] <= (2000 if read["function"] < 3 else profile.link.max_block)


def test_link_settings_of_a_line():
    site = changed(("buses", 0), {"id": "rs485", "kind": "rtu", "path": "/dev/ttyUSB0"})
    assert build(site)["buses"][0]["baud"] == 9600  # its units agree
    site["units"][0]["profile"] = site["units"][1]["profile"] = "hach-ldo-aqs"
    site["units"][0]["quantities"], site["units"][1]["quantities"] = ["do"], ["temperature"]
    del site["calibrations"]
    assert build(site)["buses"][0]["baud"] == 19200
    found = faults(
        changed(("units", 0), SITE["units"][0] | {"profile": "hach-ldo-aqs", "quantities": ["do"]})
    )
    assert len(found) == 1
    assert "baud 19200" in found[0] and "baud = 9600" in found[0]
    site = changed(
        ("units", 0), SITE["units"][0] | {"profile": "hach-ldo-aqs", "quantities": ["do"], "baud": 9600}
    )
    assert build(site)["units"][0]["unit"] == 1
    # what its source does not state is not compared
    assert "baud" not in instruments.load("hach-codmax2").link.stated
    site = changed(
        ("units", 0), SITE["units"][0] | {"profile": "hach-codmax2", "quantities": ["cod"], "parity": "E"}
    )
    assert "parity E" in faults(site)[0]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("units", 1, "unit"), 1, ["units[1].unit = 1", "units[0]", "supmea", "rs485"]),
        (("units", 0, "profile"), "supmea", ["units[0].profile", "supmea-sup-ph8001"]),
        (("units", 0, "quantities"), ["ph", "cod"], ['no "cod"', "temperature, ph, orp"]),
        (("units", 0, "quantities"), ["ph", "ph"], ["units[0].quantities", "once"]),
        (("units", 2, "rename"), {"flow": "ph"}, ['channel "ph"', "units[0]", "rename"]),
        (("units", 2, "rename"), {"flow": "total"}, ['channel "total"', "rename"]),
        (("units", 2, "rename"), {"level": "x"}, ["rename.level", "flow, total"]),
        (("units", 2, "rename"), {"flow": "Flow In"}, ["rename.flow", "small letters"]),
        (("units", 0, "bus"), "rs422", ["units[0].bus", "rs485, lan"]),
        (("units", 0, "speed"), 1, ["units[0].speed", "unknown", "poll_ms"]),
        (("units", 0, "poll_ms"), 0, ["units[0].poll_ms", "from 10"]),
        (("units", 1, "phase_ms"), 10000, ["units[1].phase_ms", "less than poll_ms"]),
        (("units", 0, "poll_ms"), 10, ["bus rs485", "times the time there is", "raise poll_ms"]),
        (("key",), "0f", ["key", "64"]),
        (("seal_key",), "0F" * 32, ["seal_key", "64"]),
        (("seal_key",), SITE["key"], ["seal_key", "other digits"]),
        (("id",), "st 1", ["id", "small letters"]),
        (("link", "kind"), "radio", ["link.kind", "serial, tcp"]),
        (("buses", 1, "port"), 0, ["buses[1].port", "65535"]),
        (("buses", 1, "host"), "flow-meter.local", ["buses[1].host", "IPv4 address", "192.168"]),
        (("link", "host"), "gateway.example.vn", ["link.host", "IPv4 address"]),
        (("link", "host"), "::1", ["link.host", "IPv4 address"]),
        (("buses", 1, "id"), "rs485", ['"rs485" twice', "units[2].bus"]),
        (("units",), [], ["units", "at least one"]),
        (("calibrations",), {"cod": {"id": 1, "points": []}}, ["calibrations.cod", "ph, temperature"]),
        (("calibrations", "tss", "points"), [[1, 1], [1, 2]], ["calibrations.tss.points", "rise"]),
        (("calibrations", "tss", "points"), [[1, 1], [1 + 2.0**-25, 2]], ["calibrations.tss.points", "rise"]),
        (("calibrations", "tss", "id"), 0, ["calibrations.tss.id", "1 to 65535"]),
    ],
)
def test_faults(path, value, words):
    found = "; ".join(faults(changed(path, value)))
    for word in words:
        assert word in found, found


def test_a_seal_key_is_a_file_of_its_own_when_there_is_one(tmp_path):
    site = changed(("seal_key",), "ab" * 32)
    write(tmp_path, site)
    path = tmp_path / "seal.key"
    assert path.read_text().split() == ["ab" * 32] and path.stat().st_mode & 0o777 == 0o600
    assert build(site) == build(SITE)  # nothing else has it
    assert set(files(site)) - set(files(SITE)) == {"seal.key"}
    assert [name for name, content in files(site).items() if b"abab" in content] == ["seal.key"]


def test_a_seal_key_fills_a_block_of_its_own_as_the_sealer_writes_it():
    """What littlefs keeps of both: tests/power/test_seal_power.py."""
    content = files(changed(("seal_key",), "ab" * 32))["seal.key"]
    written = {}

    class Files:
        def replace(self, name, data):
            written[name] = data

        def read(self, name):
            return content

    state = identity.seal(Files())
    assert state == (0, 0, bytes.fromhex("ab" * 32), bytes(32))  # a device takes it as it is
    sealer = Sealer(Files(), "st-01", state)
    sealer.make(1, 2, (0, 0), 0)
    sealer._keep(0, 0)
    assert len(content) == SEAL_BYTES == len(written["seal.key"])


def test_all_faults_at_once():
    site = changed(("key",), "x")
    site["units"][0]["profile"] = "nothing"
    site["units"][1]["bus"] = "nowhere"
    site["units"][2]["quantities"] = ["level"]
    site["extra"] = 1
    assert len(faults(site)) >= 5


def test_a_greeting_that_fits_no_frame_is_refused():
    units = [
        {"bus": "lan", "unit": i, "profile": "generic-stack-gas", "poll_ms": 1000}
        | {
            "rename": {
                q.id: f"{q.id}-of-the-long-line-{i}"[:32]
                for q in instruments.load("generic-stack-gas").quantities
            }
        }
        for i in range(1, 5)
    ]
    site = changed(("units",), units)
    del site["calibrations"]
    found = faults(site)
    assert len(found) == 1 and "44 channels do not fit" in found[0]
    site["units"] = units[:2]
    assert len(build(site)["channels"]) == 22


def test_as_many_channels_as_a_greeting_can_name():
    assert messages.CHANNELS_MAX == 255
    units = [
        {"bus": "lan", "unit": i, "profile": "generic-tss", "poll_ms": 1000, "quantities": ["tss"]}
        | {"rename": {"tss": f"t{i}"}}
        for i in range(1, 71)
    ]
    site = changed(("units",), units)
    del site["calibrations"]
    assert not any("channels: write at most" in fault for fault in _faults_or_none(site))


def _faults_or_none(site):
    try:
        build(site)
    except ConfigError as error:
        return error.faults
    return []


def test_the_longest_greeting_is_what_is_measured():
    """One more calibration point may be the one too many: build says so before the device does."""
    site = changed(("units",), [{"bus": "lan", "unit": 1, "profile": "generic-stack-gas", "poll_ms": 1000}])
    names = [q.id for q in instruments.load("generic-stack-gas").quantities]
    points = [[float(i), float(i) + 0.1] for i in range(5)]
    site["calibrations"] = {name: {"id": 1, "points": points} for name in names[:8]}
    build(site)
    site["calibrations"] = {name: {"id": 65535, "points": points} for name in names}
    site["units"].append({"bus": "lan", "unit": 2, "profile": "generic-weather", "poll_ms": 1000})
    site["units"][1]["rename"] = {"temperature": "t2", "humidity": "h2", "pressure": "p2"}
    assert "do not fit" in faults(site)[0]


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [
        ("id",),
        ("key",),
        ("link",),
        ("buses",),
        ("units",),
        ("calibrations",),
        ("buses", 0),
        ("units", 0),
        ("link", "kind"),
    ]
    + [
        ("units", 0, key)
        for key in ("bus", "profile", "unit", "poll_ms", "phase_ms", "quantities", "rename", "baud", "every")
    ]
    + [(kind, 0, key) for kind in WIRED if kind != "store" for key in WIRED[kind][0]]
    + [(kind,) for kind in WIRED]
    + [("buses", 0, key) for key in ("id", "kind", "baud", "path")]
    + [("calibrations", "tss"), ("calibrations", "tss", "points"), ("calibrations", "tss", "id")]
)


@settings(max_examples=300)
@given(places, junk)
def test_nothing_but_config_errors(path, value):
    """And what passes here, the device takes."""
    site = copy.deepcopy(SITE | WIRED)
    place = site
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    try:
        station = build(site)
    except ConfigError as error:
        assert error.faults
    else:
        config.parse(json.dumps(station).encode())
