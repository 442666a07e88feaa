"""The boards that cannot run here, on stand-ins for their modules: every case inside MicroPython."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.firmware.bench import ROOT
from tests.protocol.test_runtimes import HEAP, interpreter

FAKES = ROOT / "tests" / "firmware" / "fakes"
PORTS = {"rp2": [FAKES], "esp32": [FAKES / "epoch2000", FAKES]}


def _run(tmp_path: Path, port: str, root: Path = ROOT) -> dict:
    path = ":".join(str(folder) for folder in [*PORTS[port], root, ROOT, ".frozen"])
    done = subprocess.run(
        [interpreter(), "-X", "heapsize=1m", "-m", f"tests.firmware.fakes.{port}_cases", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "text": done.stdout + done.stderr}


@pytest.mark.parametrize("port", PORTS)
def test_every_case_holds(tmp_path, port):
    got = _run(tmp_path, port)
    written = [
        name
        for file in ("cases.py", f"{port}_cases.py")
        for name in re.findall(r"^def (\w+)\(make\)", (FAKES / file).read_text(encoding="utf-8"), re.M)
    ]
    assert got["failed"] == [], got["text"]
    assert got["passed"] == len(written) > 25


USB = """
import asyncio, json, sys
import machine
from firmware.boards.{port} import Board

async def main():
    machine.play("{port}")
    board = Board(sys.argv[1])
    link = await board.open_link({{"kind": "usb"}})
    board.report("nobody may hear this")
    got = await link.read(5, 5000) + await link.read(100, 5000)
    await link.write(got * 20)

asyncio.run(main())
"""


@pytest.mark.parametrize("port", PORTS)
def test_a_usb_link_carries_every_byte_and_nothing_else(tmp_path, port):
    (tmp_path / "identity.json").write_text('{"link": {"kind": "usb"}}')
    (tmp_path / "usb.py").write_text(USB.format(port=port))
    every = bytes(range(80))  # 3 is Ctrl-C
    done = subprocess.run(
        [interpreter(), "-X", f"heapsize={HEAP}", str(tmp_path / "usb.py"), str(tmp_path)],
        env={**os.environ, "MICROPYPATH": ":".join(map(str, [*PORTS[port], ROOT, ".frozen"]))},
        input=every,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", every * 20)


CONTROLS = [  # file, what it says, what a broken one says, a case that must fail
    (
        "uart.py",
        "            finally:\n                direction(0)\n",
        "            except KeyError:\n                pass\n",
        "direction_pin_goes_down_when_the_uart_fails",
    ),
    (
        "uart.py",
        "        direction = self._direction\n",
        "        await asyncio.sleep_ms(0)\n        direction = None\n",
        "direction_pin_goes_up_before_and_down_after_with_no_turn_between",
    ),
    ("metal.py", ", value=off)", ")", "relays_are_off_from_the_first_moment"),
    ("metal.py", " or pin in self._taken", "", "no_configuration_gets_the_pins_of_the_link"),
    ("metal.py", "(count - total[1]) & mask", "count - total[1]", "a_counter_goes_on_when_its_cell_wraps"),
    (
        "metal.py",
        "        def edge(_):\n            now = time.ticks_ms()\n",
        "        ms, diff = time.ticks_ms, time.ticks_diff\n\n"
        "        def edge(_):\n            now = ms() if diff else 0\n",
        "an_interrupt_allocates_nothing",
    ),
    ("metal.py", "if since >= gap_ms or since < 0", "if True", "pulses_are_counted_and_bounces_are_not"),
    ("metal.py", "if self.FEED_MAX_MS:", "if False:", "the_watchdog_is_fed_and_counted"),
    ("common.py", "self.files.remove(WHY_FILE)", "pass", "a_reset_tells_the_next_start_why"),
    ("rtc.py", "946684800 if", "0 if", "a_clock_that_nobody_set_shows_nothing"),
    ("net.py", "if not self._asked:", "if True:", "wifi_comes_up_without_holding_anybody"),
]


@pytest.mark.parametrize("file, good, bad, case", CONTROLS, ids=[control[3] for control in CONTROLS])
def test_control_a_broken_board_is_seen(tmp_path, file, good, bad, case):
    shutil.copytree(ROOT / "firmware", tmp_path / "firmware", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "firmware" / "boards" / file
    text = path.read_text(encoding="utf-8")
    assert good in text
    path.write_text(text.replace(good, bad), encoding="utf-8")
    (tmp_path / "work").mkdir()
    failed = {name for port in PORTS for name in _run(tmp_path / "work", port, tmp_path)["failed"]}
    assert case in failed
