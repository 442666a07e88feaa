"""`quantrac station scan --port`: every fault by its name, none on a healthy line, and nothing is changed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from pymodbus.exceptions import NoSuchIdException
from pymodbus.simulator import DataType, SimData, SimDevice

from protocol.instruments import load
from simulator.mixed_ends import PtyEnd, Rfc2217End, TcpEnd
from simulator.mixed_line import MixedFaults, MixedLine, MixedUnit, Serial
from tests.firmware.bench import ROOT
from tests.tools.scan_rig import Bench, kinds, look, named, served
from tools.people import Failure, UsageError
from tools.station.folder import Folder
from tools.station.scan.command import ScanOptions, run_scan
from tools.station.scan.faults import Evidence, hints
from tools.station.scan.plan import Choice, Plan
from tools.station.scan.run import all_profiles, expected_units, scan
from tools.station.scan.say import bus_object, bus_text
from tools.station.scan.settings import Setting, parse, parse_units, spans
from tools.station.scan.talk import Forbidden, Heard, Read, Spot, Talk, Tally
from tools.station.scan.wire import CannotSet, Wire

USUAL = Setting(9600, "N", 1)


def command(*arguments, wait_for=None):
    """(status, stdout, stderr) of the command; Ctrl-C once wait_for() holds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.cli", "station", "scan", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        if wait_for is not None:
            end_s = time.monotonic() + 60
            while not wait_for() and process.poll() is None and time.monotonic() < end_s:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, out, errors


# ---- faults


def test_a_healthy_line_has_no_fault(tmp_path):
    """The control of every test below."""
    with served(Rfc2217End, Bench(tmp_path).three()) as end:
        result = look(end)
    assert named(result) == {
        (1, "9600-8N1"): ("yosemitech-y504", "identified"),
        (2, "9600-8N1"): ("aqualabo-ntu", "identified"),
        (7, "9600-8N1"): ("generic-water", "fits"),
    }
    assert kinds(result) == set()
    assert "No fault of the wiring showed." in bus_text(result)


def test_a_and_b_swapped(tmp_path):
    with served(Rfc2217End, Bench(tmp_path).three(), MixedFaults(swapped=True)) as end:
        result = look(end, "9600-8N1,19200-8E1", "1-4")
    assert kinds(result) == {"swapped"} and not result.units
    assert [str(setting) for setting in result.gave_up] == ["9600-8N1", "19200-8E1"]


def test_no_termination(tmp_path):
    with served(Rfc2217End, Bench(tmp_path).three(), MixedFaults(no_termination=True), seed=3) as end:
        result = look(end, units="2,7")
    assert kinds(result) == {"termination"}
    assert {unit.spot.unit for unit in result.units} == {2, 7}  # all the same, by repetition


def test_two_units_on_one_address(tmp_path):
    bench = Bench(tmp_path)
    with served(PtyEnd, [*bench.three(), bench.unit("supmea-sup-ph8001", 7, latency_s=0.0083)]) as end:
        result = look(end, units="2,7")
    assert [(hint.kind, hint.unit) for hint in result.hints] == [("twins", 7)]
    assert {unit.spot.unit for unit in result.units} == {2}


def test_an_adapter_that_hears_itself(tmp_path):
    with served(PtyEnd, Bench(tmp_path).three(), MixedFaults(echo=True)) as end:
        result = look(end, units="2,7")
    assert kinds(result) == {"echo"} and len(result.units) == 2


@pytest.mark.parametrize("order", ["CDAB", "BADC", "DCBA"])
def test_another_word_order_than_the_profile_s(tmp_path, order):
    bench = Bench(tmp_path)
    units = [bench.unit("aqualabo-ntu", 2, order=order), bench.unit("generic-water", 7, order=order)]
    with served(PtyEnd, units) as end:
        result = look(end, units="2,7")
    assert [(hint.kind, hint.unit) for hint in result.hints] == [("word-order", 2), ("word-order", 7)]
    assert all(f"word order {order} only" in hint.text for hint in result.hints)
    by_unit = {unit.spot.unit: unit for unit in result.units}
    assert (by_unit[2].profile, by_unit[2].how) == ("aqualabo-ntu", "identified")
    assert by_unit[7].profile == "generic-water"
    values = by_unit[2].orders["temperature"]
    assert set(values) == {"ABCD", "CDAB", "BADC", "DCBA"} and values[order] == 37.5
    assert all(len(line) <= 80 for line in bus_text(result))
    assert any("37.5 *" in line for line in bus_text(result))


def test_a_unit_that_is_silent_after_power_up_is_found_at_the_end(tmp_path):
    asleep = [True]

    async def access(*_):
        if asleep[0]:
            raise NoSuchIdException("silent")

    def progress(what, seconds):
        asleep[0] = asleep[0] and "once more" not in what

    data = SimData(0, values=[0xFFEE, 65000], datatype=DataType.REGISTERS)
    line = MixedLine([MixedUnit(SimDevice(5, [data], action=access), quiet=True)])
    line.units += Bench(tmp_path).three()
    with PtyEnd(line) as end:
        result = look(end, units="1,5,7", progress=progress)
    assert [(hint.kind, hint.unit) for hint in result.hints] == [("late", 5)]


def test_one_address_at_two_settings(tmp_path):
    bench = Bench(tmp_path)
    units = [bench.unit("generic-water", 1), bench.unit("eh-promag-53", 1, Serial(19200))]
    with served(PtyEnd, units) as end:
        result = look(end, "9600-8N1,19200-8N1", "1")
    assert [(hint.kind, hint.unit) for hint in result.hints] == [("two-settings", 1)]
    assert len(result.units) == 2


def test_nobody_is_there(tmp_path):
    with served(PtyEnd, []) as end:
        result = look(end, units="1-3")
    text = " ".join(" ".join(bus_text(result)).split())
    assert kinds(result) == {"nobody"}
    assert "Asked: 1-3 at 9600-8N1" in text and "Elsewhere nothing was looked for" in text


def test_a_slow_unit_is_found_and_is_no_fault(tmp_path):
    """It answers when others are asked: credited by its address, or heard as noise and asked again."""
    with served(PtyEnd, [Bench(tmp_path).unit("generic-water", 20, latency_s=0.06)]) as end:
        result = look(end, units="9-28")
    assert named(result) == {(20, "9600-8N1"): ("generic-water", "fits")}
    assert kinds(result) == set()


def test_another_master_is_noticed():
    seen = Evidence({}, {USUAL: Heard(probes=9, firsts=9, rubbish=9)}, [], unasked_bytes=40)
    assert {hint.kind for hint in hints(seen)} == {"busy"}
    seen = Evidence({}, {USUAL: Heard(probes=9, firsts=9)}, [], strangers=frozenset({4}))
    assert "unit 4" in hints(seen)[0].text


def test_damage_that_never_mends_is_not_taken_for_twins_where_the_line_damages_nearly_everything():
    tallies = {
        Spot(USUAL, 1): Tally(asked=20, clean=2, damaged=18),
        Spot(USUAL, 2): Tally(asked=6, clean=0, damaged=6),
    }
    seen = Evidence(tallies, {USUAL: Heard(26, 4, 3)}, [])
    assert {hint.kind for hint in hints(seen)} == {"termination"}
    tallies[Spot(USUAL, 1)] = Tally(asked=40, clean=38, damaged=2)  # the control
    assert {h.kind for h in hints(Evidence(tallies, {USUAL: Heard(46, 4, 3)}, []))} == {
        "termination",
        "twins",
    }


# ---- the station's folder


def station_folder(path):
    path.mkdir()
    (path / "link.key").write_text("07" * 32 + "\n")
    units = [
        {"bus": "rs485", "profile": "generic-water", "unit": 7, "poll_ms": 1000},
        {"bus": "rs485", "profile": "eh-ca80-cod", "unit": 9, "poll_ms": 1000},
    ]
    bus = {"id": "rs485", "kind": "rtu", "path": "/dev/ttyUSB0", "baud": 9600, "parity": "N", "stopbits": 1}
    (path / "site.json").write_text(json.dumps({"id": "st-01", "buses": [bus], "units": units}))
    return path


def test_what_the_folder_expects_is_asked_and_the_result_is_kept(tmp_path):
    folder = station_folder(tmp_path / "st-01")
    assert expected_units(Folder.at(folder)) == {
        Spot(USUAL, 7): "generic-water",
        Spot(USUAL, 9): "eh-ca80-cod",
    }
    with served(Rfc2217End, Bench(tmp_path).three()) as end:
        status, out, errors = command(
            "--port",
            end.url,
            "--dir",
            folder,
            "--by",
            "Lan",
            "--settings",
            "9600-8N1",
            "--units",
            "7",
            "--json",
        )
    assert status == 0, errors
    found = json.loads(out)
    assert [(one["unit"], one["profile"], one["how"]) for one in found["units"]] == [
        (7, "generic-water", "fits")
    ]
    (hint,) = found["hints"]
    assert (hint["kind"], hint["unit"]) == ("silent", 9) and "120 s after power-up" in hint["text"]
    (record,) = Folder.at(folder).records("scanned")
    assert record["by"] == "Lan" and record["port"] == end.url and record["hints"] == [hint["text"]]
    assert record["units"] == [
        {"unit": 7, "baud": 9600, "parity": "N", "stopbits": 1, "profile": "generic-water", "how": "fits",
         "hints": []}
    ]  # fmt: skip


# ---- the bus is left as it was


def test_nothing_but_reads_can_be_sent(tmp_path):
    """Not even the read that starts an instrument; the line's own count is checked in every test."""
    with served(Rfc2217End, Bench(tmp_path).three()) as end, Wire(end.url) as wire:
        talk = Talk(wire, all_profiles())
        talk.set(USUAL)
        start = load("yosemitech-y504").starts[0]
        for read in (
            Read("holding", start.register, 1), Read("holding", start.register - 1, 2), Read("holding", 0, 0)
        ):  # fmt: skip
            with pytest.raises(Forbidden):
                talk.ask(1, read, 0.1)
        assert end.line.requests == 0 and talk.allowed(Read("input", start.register, 1))


def test_the_line_would_have_seen_a_write(tmp_path):
    """Control of the count: a start command is one."""
    line = MixedLine(Bench(tmp_path).three())
    with Rfc2217End(line) as end, Wire(end.url) as wire:
        wire.set(USUAL)
        from protocol.modbus import rtu
        from protocol.modbus_requests import write_registers_pdu

        request = rtu(2, write_registers_pdu(1, [0x1F]))
        wire.send(request)
        assert wire.receive(time.monotonic() + 60)
    assert line.writes == 1


def test_a_serial_server_keeps_the_settings_it_had(tmp_path):
    line = MixedLine(Bench(tmp_path).three())
    line.serial = Serial(38400, "E", 1)
    with Rfc2217End(line) as end:
        result = look(end, units="7")
        assert line.serial == Serial(38400, "E", 1)
    assert len(result.units) == 1


def test_ctrl_c_leaves_the_port_as_it_was(tmp_path):
    with served(PtyEnd, Bench(tmp_path).three()) as end:
        before = end.modes()
        status, out, errors = command("--port", end.url, wait_for=lambda: end.line.requests > 5)
        assert end.line.requests > 5 and status == 130, errors
        assert "stopped" in errors and "Traceback" not in errors and not out
        assert end.modes() == before


def test_a_pty_and_a_server_that_hands_bytes_through(tmp_path):
    for kind, settings in ((PtyEnd, "19200-8N1,9600-8N1"), (TcpEnd, "9600-8N1")):
        with served(kind, Bench(tmp_path).three()) as end:
            result = look(end, settings, units="2,7")
            assert named(result) == {
                (2, "9600-8N1"): ("aqualabo-ntu", "identified"),
                (7, "9600-8N1"): ("generic-water", "fits"),
            }
            assert bus_object(result)["units"][1]["values"][0]["symbol"] == "Temp"


def test_a_port_that_cannot_have_one_setting_goes_on_with_the_others(tmp_path):
    """A pty takes no parity where there was none."""
    with served(PtyEnd, Bench(tmp_path).three()) as end:
        result = scan(end.url, Choice(parse("9600-8E1,9600-8N1"), (1, 2, 3)), all_profiles())
    if result.refused:  # as this system's ptys do it
        assert [str(setting) for setting in result.refused] == ["9600-8E1"]
        assert any("cannot be set so: 9600-8E1" in line for line in bus_text(result))
    assert {setting for _, setting in named(result)} == {"9600-8N1"}
    with served(PtyEnd, Bench(tmp_path).three()) as end, Wire(end.url) as wire:
        wire._apply = lambda *_: (_ for _ in ()).throw(ValueError("no such speed"))
        with pytest.raises(CannotSet, match=r"cannot be set to 4800-8N1 \(no such speed\)"):
            wire.set(Setting(4800, "N", 1))


def test_a_port_that_somebody_else_has_is_not_touched(tmp_path):
    with served(PtyEnd, []) as end, Wire(end.url), pytest.raises(Failure, match="in use by another"):
        Wire(end.url)


# ---- what a person writes


def test_settings_and_addresses_as_people_write_them():
    assert parse("9600-8n1, 19200 8E1") == [USUAL, Setting(19200, "E", 1)]
    assert parse_units("1-3,247,2") == [1, 2, 3, 247] and spans([247, 1, 2, 3]) == "1-3, 247"
    for wrong in ("9600", "9600-7E1", "9600-8N3", ""):
        with pytest.raises(UsageError, match="write 9600-8N1"):
            parse(wrong)
    for wrong in ("0", "1-248", "5-2", "x"):
        with pytest.raises(UsageError, match="1 to 247"):
            parse_units(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ScanOptions(settings="9600-8N1"), "--port"),
        (ScanOptions("tcp://127.0.0.1:9"), "--settings"),
        (ScanOptions("tcp://127.0.0.1:9", settings="9600-8N1,9600-8E1"), "--settings"),
        (ScanOptions("rfc2217://nowhere"), "rfc2217://192"),
        (ScanOptions("x", full=True, settings="9600-8N1"), "--full"),
        (ScanOptions("/dev/is-not-there"), "cannot be opened"),
        (ScanOptions(str(ROOT / "README.md")), "no serial port"),
    ],
)
def test_a_wrong_use_is_a_sentence(options, words):
    with pytest.raises(UsageError, match=words):
        run_scan(options)


def test_the_default_and_the_full_scan_say_how_long_they_take():
    profiles = all_profiles()
    assert Plan(Choice(), profiles).seconds() < 60
    full = Plan(Choice(full=True), profiles)
    asked = {
        (step.setting, unit) for s in full.settings for step in full.sweep(s, False) for unit in step.units
    }
    likely = {(step.setting, unit) for s in full.settings for step in full.first(s) for unit in step.units}
    assert len(full.settings) == 32 and len(asked | likely) == 32 * 247
    assert full.seconds() > 200
