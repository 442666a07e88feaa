"""The whole path, poll, store, send, on an emulated Pico with a real MicroPython, where RP2_UF2 names one.

All seconds are the emulator's: they are the same on a busy machine.
"""

from __future__ import annotations

import shutil

import pytest

from protocol.quality import OK
from tests.emulated.pico_station import PicoStation, files
from tests.firmware.bench import ROOT, T

pytestmark = pytest.mark.timeout(3600)

START_S = 8.0
SHARE_MAX = 0.4  # of the processor, for 12 quantities at 1 Hz: issue 4
HEAP = 128 * 1024
HEAP_MIN = 48 * 1024  # free after a collection
SLOW_S = 0.2  # instruments that take so long keep the line busy most of the time: the flash has to wait


def _logs(station: PicoStation) -> list[str]:
    return [path for path in station.pico.files() if path.startswith("log/")]


def _started(station: PicoStation) -> None:
    assert station.pico.run(START_S, lambda: len(station.rows()) > 0), station.pico.text


def _undisturbed(station: PicoStation) -> None:
    """No byte was lost on either line, and no transaction met the flash."""
    bus, instruments = station.bus, station.instruments
    assert (bus.cut_off, bus.deaf, instruments.broken, instruments.disturbed) == (0, 0, 0, 0)
    assert [uart.overruns for uart in station.pico.mcu.uart] == [0, 0]


def _missing(station: PicoStation) -> int:
    """Answers that are not at the gateway, of the channel that lags most.

    What is there: the instruments' answers in their order, none left out or doubled, when they came.
    """
    most = 0
    for channel, said in station.measured().items():
        mine = [row for row in station.rows() if row[4] == channel]
        assert {row[6] for row in mine} <= {OK}
        assert [row[5] for row in mine] == [bits for bits, _ in said[: len(mine)]]
        for (_, _, time_ms, clock, *_), (_, seconds) in zip(mine, said, strict=False):
            assert not clock or abs(time_ms - T - 1000 * seconds) < 400
        most = max(most, len(said) - len(mine))
    return most


def test_twelve_quantities_and_an_outage(tmp_path):
    """At 1 Hz: right, complete, within the processor's budget; through 20 s without a link."""
    station = PicoStation(files(tmp_path, (1, 2, 3), 4, 1000), (1, 2, 3), 4)
    _started(station)
    first_s = station.instruments.answered[0][2]
    station.pico.run(2.0)
    share = station.pico.share(4.0)
    print(f"first reading after {first_s:.2f} s, {100 * share:.1f} % of the processor")
    assert share < SHARE_MAX
    assert _missing(station) <= 2 and _logs(station) == []

    station.link.cut = True
    station.pico.run(22.0)
    assert _missing(station) >= 20 and _logs(station) != []
    station.link.cut = False
    assert station.pico.run(
        40.0, lambda: len(station.rows()) >= 12 * (len(station.instruments.answered) // 3 - 2)
    )
    station.pico.run(3.0)
    assert _missing(station) <= 2 and _logs(station) == []
    station.gateway.complete(station.gateway.hellos[0].boot)
    _undisturbed(station)


def test_in_a_heap_of_128_kilobytes(tmp_path):
    """All of it with so much and no more: the rest of the memory is taken before it starts."""
    made = files(tmp_path, (1, 2, 3), 4, 1000)
    made["main.py"] = f"import gc\ntaken = bytearray(gc.mem_free() - {HEAP})\n".encode() + made["main.py"]
    station = PicoStation(made, (1, 2, 3), 4, console=True)
    _started(station)
    station.pico.run(2.0)
    station.link.cut = True
    station.pico.run(16.0)
    assert _missing(station) >= 14 and _logs(station) != []
    station.link.cut = False
    assert station.pico.run(
        40.0, lambda: len(station.rows()) >= 12 * (len(station.instruments.answered) // 3 - 2)
    )
    station.pico.run(12.0)
    status = station.status()
    print(f"of {HEAP} bytes at least {status['heap_low']} were free after a collection")
    assert status["crashes"] == 0 and status["safe"] == "", station.pico.text[:4000]
    assert status["missed_feeds"] == 0
    assert status["heap_free"] < HEAP and status["discarded"] == 0
    assert _missing(station) <= 2
    station.gateway.complete(station.gateway.hellos[0].boot)


def test_power_and_watchdog(tmp_path):
    """What is on flash outlives the power; a processor that stands still is reset by the watchdog."""
    station = PicoStation(files(tmp_path, (1, 2), 2, 1000), (1, 2), 2, SLOW_S, console=True)
    gateway = station.gateway
    _started(station)
    first = gateway.hellos[0].boot
    station.link.cut = True
    before = len(station.rows())
    station.pico.run(25.0)
    assert _logs(station) != []
    assert station.status()["crashes"] == 0 and station.status()["heap_low"] > HEAP_MIN
    kept = (
        2 * len(station.instruments.answered) - 4 * 12
    )  # but for what memory alone may hold: 10 s and a turn
    station.pico.power_cycle()
    station.pico.run(6.0)
    station.link.cut = False
    assert station.pico.run(60.0, lambda: len(gateway.hellos) > 1 and station.rows()[-1][0] > first)
    old = [row for row in station.rows() if row[0] == first]
    numbers = [seq for boot, seq in sorted(gateway.records) if boot == first]
    assert numbers == list(range(1, len(numbers) + 1)) and gateway.doubled == 0
    assert len(old) >= kept > before
    assert gateway.hellos[1].reset == "power"

    station.pico.hang(9.0)
    assert station.pico.resets == 1
    assert station.pico.run(60.0, lambda: len(gateway.hellos) > 2)
    assert gateway.hellos[2].reset == "watchdog"
    assert gateway.hellos[2].boot > gateway.hellos[1].boot > first
    _undisturbed(station)


def test_flash_that_does_not_wait_for_the_bus_is_caught(tmp_path):
    """Control: the same station with an arbiter that lets flash work at any time."""
    for folder in ("firmware", "protocol"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    broken = tmp_path / "firmware" / "arbiter.py"
    text = broken.read_text(encoding="utf-8")
    wait = "            while self._busy:\n                await self._changed.wait()\n"
    assert wait in text
    broken.write_text(text.replace(wait, ""), encoding="utf-8")
    made = files(tmp_path / "made", (1, 2), 2, 1000, root=tmp_path)
    station = PicoStation(made, (1, 2), 2, SLOW_S)
    _started(station)
    station.link.cut = True
    assert station.pico.run(90.0, lambda: station.instruments.disturbed > 0)
