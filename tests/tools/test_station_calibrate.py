"""`quantrac station calibrate` end to end: a drifting instrument, real firmware, a real gateway's files."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from gateway.calibration.history import kept
from gateway.journal.bodies import payload
from gateway.journal.kinds import FRAME
from gateway.journal.reader import reading
from protocol.calibration import engineering
from protocol.messages import Readings, decode
from protocol.reading import bits_float
from tests.gateway.app_rig import until
from tests.tools.calibrate_hurried import TIMES
from tests.tools.calibrate_rig import DEVICE, GAIN, OFFSET, POLL_MS, STANDARD, WAIT_S, WINDOW_MS, Bench
from tools.cli import app
from tools.station.calibrate.pending import Pending

pytestmark = pytest.mark.timeout(900)  # a calibration is minutes of readings

ACCURACY = 2.0
"""mg/l: 5 % of a reading of 120 is 6 (what the regulation asks of TSS), and the drift is 19."""
GIVEN = ("--standard", STANDARD, "--serial", "A-4711", "--stdev", 0.8)
QUICK = (*GIVEN, "--within", 20, "--zero", 0, "--span", 100)


def good(bench: Bench, after_ms: int = 0) -> list[int]:
    """Ends of windows that began after this and were sent as measured."""
    return [at for at, line in bench.files().items() if line.status == "00" and at - WINDOW_MS >= after_ms]


def off(bench: Bench, at: int) -> float:
    """How far the file of this window is beside what really was in the process."""
    return abs(float(bench.files()[at].value) - bench.true_mean(at))


def makes(bench: Bench, indicated: float) -> float:
    """What the device's calibration, as it lies on its flash, makes of it."""
    _, points = bench.held()
    return engineering(indicated, [[bits_float(raw), bits_float(value)] for raw, value in points])


def assert_true_again(bench: Bench) -> None:
    """The calibration in force undoes the drift, within the scatter of the readings."""
    for there in (0.0, 50.0, 120.0):
        assert abs(makes(bench, OFFSET + GAIN * there) - there) < ACCURACY, bench.held()


def times_of(bench: Bench) -> list[int]:
    """Of all readings that the gateway has of the device, by their order there."""
    with reading(bench.path / "gw" / "gateway" / "journal.db") as reader:
        frames = [decode(payload(one.body)) for one in reader.entries() if one.kind == FRAME]
    return [
        one.base_ms + row[1] for one in frames if isinstance(one, Readings) and one.clock for row in one.rows
    ]


def test_through_the_gateway_the_next_file_is_true_again(tmp_path):
    """The control is its beginning: before the calibration the files are wrong, and say 00."""

    async def main():
        async with Bench(tmp_path, 20) as bench, bench.gateway():
            await until(lambda: good(bench), WAIT_S)
            before = good(bench)
            assert all(off(bench, at) > 10 for at in before)
            async with bench.calibrate("--gateway", bench.config, *GIVEN, "--points", "0,50,100") as lan:
                await lan.put(0)
                began_ms = bench.clock.now_ms()
                await lan.put(50)
                await lan.put(100)
                await lan.see("drift at span (100): -1")
                await lan.see("BEYOND the limit")
                await lan.see("Write it to the station?")
                assert bench.held() == []
                lan.type("y")
                await lan.see("calibration 1 is in force")
                await lan.see("Put the probe back")
                bench.move(None)
                back_ms = bench.clock.now_ms()
                lan.type()
                assert await lan.ended() == 0, lan.said
            over_ms = bench.clock.now_ms()
            assert_true_again(bench)
            await until(lambda: good(bench, over_ms), WAIT_S)
            files = bench.files()
            assert all(off(bench, at) < ACCURACY for at in good(bench, back_ms)), files
            during = [line.status for at, line in files.items() if began_ms < at < back_ms + WINDOW_MS]
            assert during and set(during) == {"01"}, files
            (record,) = bench.folder.records("calibrated")
            assert record["number"] == 1 and record["standards"][0]["number"] == "VMI-22/118"
            assert abs(record["slope"] - 1 / GAIN) < 0.05 and len(record["points"]) == 3
            certificate = bench.station / record["certificate"]
            assert certificate.read_bytes().startswith(b"%PDF") and certificate.with_suffix(".html").exists()
            with reading(bench.path / "gw" / "gateway" / "journal.db") as reader:
                (entered,) = [one.record for one in kept(reader)]
            assert (entered.kind, entered.channel, entered.who) == ("correction", "TSS", "Lan")

    asyncio.run(main())


def test_over_its_own_port_and_the_gateway_marks_what_comes_late(tmp_path):
    """The cable is plugged over: the gateway gets the readings of that time afterwards, all of them, and they
    are status 01; the next window is true. The record is entered beside it.
    """

    async def main():
        async with Bench(tmp_path, TIMES) as bench, bench.gateway():
            await until(lambda: good(bench), WAIT_S)
            bench.cable.plug(bench.cable.laptop)
            way = ("--port", bench.cable.laptop, "--gateway", bench.config)
            more = (*GIVEN, "--within", 3 * 5 * TIMES, "--zero", 0, "--span", 100)
            async with bench.calibrate(*way, *more, module="tests.tools.calibrate_hurried") as lan:
                await lan.put(0)
                away_ms = bench.clock.now_ms()
                await lan.put(100)
                await lan.see("Write it to the station?")
                lan.type("y")
                await lan.see("The gateway has its record.")
                await lan.see("Put the probe back")
                bench.move(None)
                back_ms = bench.clock.now_ms()
                bench.cable.plug(bench.cable.gateway)
                lan.type()
                assert await lan.ended() == 0, lan.said
            over_ms = bench.clock.now_ms()
            assert_true_again(bench)
            await until(lambda: good(bench, over_ms), WAIT_S)
            files = bench.files()
            assert all(off(bench, at) < ACCURACY for at in good(bench, back_ms)), files
            during = [line.status for at, line in files.items() if away_ms < at < back_ms + WINDOW_MS]
            assert during and set(during) == {"01"}, files
            times = [at for at in times_of(bench) if away_ms - POLL_MS < at < over_ms]
            gaps = [later - at for at, later in pairwise(times)]
            assert times == sorted(set(times)) and max(gaps) < 8 * POLL_MS, gaps  # a busy machine skips polls
            with reading(bench.path / "gw" / "gateway" / "journal.db") as reader:
                (entered,) = [one.record for one in kept(reader)]
                windows = reader.windows(away_ms + WINDOW_MS, back_ms - WINDOW_MS, "TSS")
            assert entered.kind == "adjustment" and len(entered.points) == 2
            assert {window.status for window in windows} == {"01"}  # and so are the revisions

    asyncio.run(main())


def test_interrupted_at_every_step(tmp_path, monkeypatch):
    """Whoever stops, and however: old or new is in force, never half, and it is said what to do."""
    nothing = "Nothing was written"

    async def main():
        async with Bench(tmp_path, 30) as bench, bench.gateway():
            await until(lambda: bench.files(), WAIT_S)
            way = ("--gateway", bench.config)

            async with bench.calibrate(*way, "--zero", 0, "--span", 100) as lan:  # asked for a certificate
                await lan.see("number of its certificate")
                lan.hang_up()
                assert await lan.ended() == 1 and nothing in lan.words and "mark" not in lan.words
            async with bench.calibrate(*way, *QUICK) as lan:  # asked for the first standard: released again
                await lan.see("standard of 0 mg/l")
                lan.interrupt()
                assert await lan.ended() == 130 and nothing in lan.words and "stays marked" not in lan.words
            async with bench.calibrate(*way, *QUICK) as lan:  # waiting
                await lan.put(0)
                await lan.see("waiting for")
                lan.interrupt()
                assert await lan.ended() == 130 and nothing in lan.words
                assert "stays marked" in lan.words and " TSS over --by Lan" in lan.words
            async with bench.calibrate(*way, *QUICK) as lan:  # asked for the second one
                await lan.see("is marked as calibrating")
                await lan.put(0)
                await lan.see("standard of 100 mg/l")
                lan.type("q")
                assert await lan.ended() == 1 and nothing in lan.words
            async with bench.calibrate(*way, *QUICK) as lan:  # killed while it waits
                await lan.put(0)
                await lan.see("waiting for")
                lan.process.kill()
            async with bench.calibrate(*way, *QUICK) as lan:  # asked before it is written
                await lan.put(0)
                await lan.see("standard of 100 mg/l")
                lan.type()  # and forgot to move it
                await lan.see("nearly the same raw value")
                await lan.see("Which point again?")
                lan.type("2")
                await lan.put(100)
                await lan.see("Write it to the station?")
                lan.type("2")  # to be sure
                await lan.put(100)
                await lan.see("Write it to the station?")
                lan.type("n")
                assert await lan.ended() == 1 and nothing in lan.words
            assert bench.held() == [] and not bench.folder.records()

            async def dies(step: str, number: int) -> None:
                monkeypatch.setenv("QUANTRAC_DIES_AT", step)
                module = "tests.tools.calibrate_dying"
                async with bench.calibrate(*way, *QUICK, "--yes", module=module) as lan:
                    await lan.put(0)
                    await lan.put(100)
                    assert await lan.ended() == -9, lan.said
                monkeypatch.delenv("QUANTRAC_DIES_AT")
                assert (bench.held() or [0])[0] == number

            await dies("noted", 0)
            async with bench.calibrate(*way, *QUICK) as lan:
                await lan.see("was not written: 0 is in force")
                await lan.see("standard of 0 mg/l")
                lan.hang_up()
                assert await lan.ended() == 1 and nothing in lan.words
            assert Pending(bench.folder, "tss").found() is None and bench.held() == []

            for number, step in enumerate(("told", "certificate", "recorded"), 1):
                await dies(step, number)
                recorded = step == "recorded"
                assert len(bench.folder.records("calibrated")) == (number if recorded else number - 1)
                async with bench.calibrate(*way, *QUICK) as lan:
                    if not recorded:
                        await lan.see("Finish them now?")
                        lan.type()
                        await lan.see("Put the probe back")
                        bench.move(None)
                        lan.type()
                        assert await lan.ended() == 0, lan.said
                    else:
                        await lan.see("standard of 0 mg/l")
                        lan.type("q")
                        assert await lan.ended() == 1 and "stays marked" in lan.words
                found = bench.folder.records("calibrated")
                assert [one["number"] for one in found] == list(range(1, number + 1))
                assert (bench.station / found[-1]["certificate"]).exists()
                assert Pending(bench.folder, "tss").found() is None
                assert_true_again(bench)

    asyncio.run(main())


def test_a_cable_that_is_pulled(tmp_path):
    """Over its own port, with the gateway on another machine: what to type there is said."""

    async def main():
        async with Bench(tmp_path, TIMES) as bench:
            bench.cable.plug(bench.cable.laptop)
            bench.configure()
            way = ("--port", bench.cable.laptop)
            async with bench.calibrate(*way, *QUICK, "--gateway", bench.config) as lan:  # which does not run
                assert await lan.ended() == 1 and "start" in lan.words.lower(), lan.said
                assert "standard of 0" not in lan.words and "Nothing was written" in lan.words
            async with bench.calibrate(*way, *GIVEN, "--zero", 0, "--span", 100, "--json") as lan:
                await lan.see("quantrac gateway mark CONFIG TSS calibrating --by Lan")
                await lan.put(0)
                await lan.see("waiting for")
                bench.cable.unplug_laptop()
                assert await lan.ended() == 1
                assert "has gone: check its cable" in lan.words and "Nothing was written" in lan.words
            assert bench.held() == [] and not bench.folder.records()

    asyncio.run(main())


def verb(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["station", "calibrate", *map(str, words)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, " ".join(found.output.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--port PORT, or --gateway CONFIG"),
        (("--port", "p", "--zero", 0), "go together"),
        (("--port", "p", "--points", "1,1"), "different standards"),
        (("--port", "p", "--standard", "x"), "write it as"),
        (("--port", "p", "--within", 0), "--within is a number above 0"),
        (("--port", "p", "--stdev", "nan"), "--stdev is a number above 0"),
        (("--port", "p", "--lang", "fr"), "--lang is one of"),
        (("--port", "p", "--dir", "nowhere"), "is no station's folder"),
        (("--gateway", "nowhere.toml", "--piecewise"), "--piecewise needs"),
    ],
)
def test_used_wrongly_is_a_sentence(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.json").write_text(json.dumps({"id": DEVICE}))
    (tmp_path / "link.key").write_text("00" * 32)
    status, text = verb("tss", "--by", "Lan", *words)
    assert status == 2 and says in text, text


def test_a_port_that_is_not_there_and_one_that_the_gateway_holds(tmp_path):
    bench = Bench(tmp_path)
    bench.prepare()
    status, text = verb("tss", "--by", "Lan", "--dir", bench.station, "--port", tmp_path / "none")
    assert status == 1 and "is not there" in text
    bench.configure()
    way = ("--dir", bench.station, "--gateway", bench.config)
    status, text = verb("tss", "--by", "Lan", *way, "--port", tmp_path / "ttyGATEWAY")
    assert status == 2 and "leave out --port" in text
    status, text = verb("tss", "--by", "Lan", *way)
    assert status == 1 and "has this gateway ever run?" in text and "Nothing was written" in text
