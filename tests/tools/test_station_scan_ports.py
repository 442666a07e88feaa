"""`quantrac station scan` without --port: what is behind each serial port; looking disturbs nobody."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import termios
import tty

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from simulator.bus import PtyPair
from simulator.station import StationProcess
from tests.firmware.bench import DEVICE, station, unit, value
from tests.tools.repl_rig import ReplBoard
from tools.people import UsageError
from tools.station.scan import ports as ports_of
from tools.station.scan.command import ScanOptions, run_scan
from tools.station.scan.ports import known_ports, look
from tools.station.scan.say import ports_text

PICO, CH340 = (0x2E8A, 0x0005), (0x1A86, 0x7523)


def plugged(monkeypatch, *devices):
    """The machine has these ports: (path, USB ids or None)."""

    def comports():
        found = []
        for path, ids in devices:
            info = ListPortInfo(str(path), skip_link_detection=True)
            if ids is not None:
                info.vid, info.pid = ids
                info.hwid = "USB"
            found.append(info)
        return found

    monkeypatch.setattr(list_ports, "comports", comports)


@pytest.fixture
def line():
    """A pty: (our end, the name of the other)."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_what_usb_ids_tell(monkeypatch, capsys):
    plugged(
        monkeypatch,
        ("/dev/ttyUSB0", CH340), ("/dev/ttyUSB1", (0x0403, 0x6001)), ("/dev/ttyUSB2", (0x10C4, 0xEA60)),
        ("/dev/ttyACM0", PICO), ("/dev/ttyACM1", (0x303A, 0x1001)), ("/dev/ttyACM2", (0x2E8A, 0x1234)),
        ("/dev/ttyACM3", (0x1234, 0x5678)), ("/dev/ttyS7", None),
    )  # fmt: skip
    assert run_scan(ScanOptions(listen_s=0, json=True)) == 0
    found = {one["device"]: one for one in json.loads(capsys.readouterr().out)["ports"]}
    assert {device: one["kind"] for device, one in found.items()} == {
        "/dev/ttyUSB0": "adapter", "/dev/ttyUSB1": "adapter", "/dev/ttyUSB2": "adapter",
        "/dev/ttyACM0": "board", "/dev/ttyACM1": "board", "/dev/ttyACM2": "board", "/dev/ttyACM3": "unknown",
    }  # fmt: skip
    assert found["/dev/ttyACM0"]["usb"] == "2e8a:0005" and "MicroPython" in found["/dev/ttyACM0"]["what"]
    assert "CH340" in found["/dev/ttyUSB0"]["what"] and found["/dev/ttyUSB0"]["station"] is None
    assert run_scan(ScanOptions(listen_s=0)) == 0
    text = capsys.readouterr().out
    assert "station scan --port" in text and all(len(text) <= 80 for text in text.splitlines())


def test_no_port_at_all(monkeypatch, capsys):
    plugged(monkeypatch)
    assert run_scan(ScanOptions()) == 1
    assert "Plug the board" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--port"):
        run_scan(ScanOptions(units="1-9"))


def test_our_own_device_is_known_by_its_greeting(tmp_path, monkeypatch):
    """The real firmware on a real MicroPython; beside it a silent adapter."""

    async def main():
        cable = await PtyPair(tmp_path / "link", tmp_path / "port").start()
        quiet = await PtyPair(tmp_path / "far", tmp_path / "adapter").start()
        link = {"kind": "serial", "path": str(tmp_path / "link"), "baud": 115200}
        device = await StationProcess(station(tmp_path, link, [unit(2, [value(0, 0)])])).start()
        try:
            plugged(monkeypatch, (tmp_path / "port", PICO), (tmp_path / "adapter", CH340))
            adapter, port = known_ports()
            await look([port], 60)
            await look([adapter], 0.5, ask=False)
            assert (port.kind, port.station) == ("station", DEVICE) and port.firmware
            assert adapter.kind == "adapter" and not adapter.station
            assert cable.bytes_b_to_a == quiet.bytes_b_to_a == 0  # nothing was sent to either
            assert any(f"station {DEVICE}, firmware {port.firmware}" in line for line in ports_text([port]))
        finally:
            await device.kill()
            await cable.stop()
            await quiet.stop()

    asyncio.run(main())


def test_a_bare_board_tells_its_version_when_asked(monkeypatch):
    with ReplBoard() as board:
        plugged(monkeypatch, (board.port, PICO))
        (port,) = known_ports()
        asyncio.run(look([port], 0.3))
        assert not port.micropython  # the control: nobody asked
        asyncio.run(look([port], 0.3, ask=True))
        assert port.kind == "board" and port.micropython.startswith("v1."), port


def test_a_device_that_talks_is_not_asked(line, monkeypatch):
    ours, name = line
    plugged(monkeypatch, (name, PICO))
    (port,) = known_ports()
    os.write(ours, b"21.5 C\r\n")
    asyncio.run(look([port], 0.3, ask=True))
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    assert "no greeting" in port.note and not port.micropython


def test_the_port_s_settings_are_the_same_afterwards(line, monkeypatch):
    _, name = line
    plugged(monkeypatch, (name, CH340))
    fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
    modes = termios.tcgetattr(fd)
    modes[4] = modes[5] = termios.B4800
    termios.tcsetattr(fd, termios.TCSANOW, modes)
    before = termios.tcgetattr(fd)
    asyncio.run(look(known_ports(), 0.2, ask=True))
    assert termios.tcgetattr(fd) == before
    os.close(fd)


def test_a_port_that_another_program_has_is_not_opened(line, monkeypatch):
    _, name = line
    script = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "1\n"
        plugged(monkeypatch, (name, CH340))
        (port,) = known_ports()
        assert f"process {holder.pid}" in port.in_use_by
        monkeypatch.setattr(ports_of, "_listen", None)  # would fail if it were called
        asyncio.run(look([port], 0.2))
        assert "in use by" in " ".join(ports_text([port]))
    finally:
        holder.communicate("\n", timeout=60)


def test_a_port_that_is_gone_is_said_and_no_error(tmp_path, monkeypatch):
    plugged(monkeypatch, (tmp_path / "ttyACM9", PICO))
    (port,) = known_ports()
    asyncio.run(look([port], 0.2))
    assert "cannot be opened" in port.note
