"""simulator/station.py: the firmware as a process, in a real MicroPython and under CPython."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.clock import SimClock, mono_ms, write_timeline
from simulator.scene import load_scene, start_instruments
from simulator.station import ROOT, StationProcess, find_micropython
from simulator.truth import Truth
from tests.simulator._rig import T0_MS, until
from tools.station.build import write

LINK = {"kind": "tcp", "host": "127.0.0.1", "port": 1}  # nobody listens: readings stay in memory
INTERPRETERS = ["", None]


def make_station(tmp_path):
    scene = load_scene("wastewater")
    directory = tmp_path / "st-01"
    directory.mkdir()
    site = scene.site("st-01", "5a" * 32, LINK, tmp_path / "rs485")
    write(directory, site)
    write_timeline(tmp_path / "timeline.json", [[int(mono_ms()), T0_MS, 30]])
    return scene, directory


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_micropython_is_there():
    # Where the set-up installed it, "CPython" below would quietly test something else.
    if (ROOT / ".venv-micropython").exists():
        assert find_micropython() is not None and StationProcess("x").runtime == "MicroPython"
    assert StationProcess("x", interpreter=None).runtime == "CPython"


def test_a_wrong_micropython_is_an_error_not_a_fallback(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(FileNotFoundError, match="unset it"):
        find_micropython()


@pytest.mark.parametrize("interpreter", INTERPRETERS, ids=["micropython", "cpython"])
def test_the_firmware_polls_a_scene_and_stops_when_told(tmp_path, interpreter):
    async def main():
        scene, directory = make_station(tmp_path)
        clock = SimClock.from_file(tmp_path / "timeline.json")
        truth = Truth(tmp_path / "truth.jsonl")
        running = await start_instruments(scene, clock, truth, tmp_path / "rs485")
        station = StationProcess(directory, tmp_path / "timeline.json", interpreter)
        await station.start()
        await until(lambda: station.ledger.get("emitted", 0) > 12, "readings", 40)
        final = await station.stop()
        await running.stop()
        truth.close()
        assert final and final["final"] and station.returncode == 0, (final, list(station.other_lines))
        assert final["boot"] >= 1 and final["acked"] == 0 and final["held"] >= final["emitted"] > 0
        assert (final["timeouts"], final["bad_replies"], final["exceptions"]) == (0, 0, 0)

    asyncio.run(main())


def test_kill_and_start_again_is_a_new_boot(tmp_path):
    async def main():
        _, directory = make_station(tmp_path)
        station = StationProcess(directory, tmp_path / "timeline.json")
        boots = []
        for _ in range(2):
            await station.start()
            await until(lambda: station.ledger, "a ledger")
            assert station.running
            boots.append(station.ledger["boot"])
            await station.kill()
            assert not station.running and station.returncode == -signal.SIGKILL
        assert boots[1] == boots[0] + 1  # the first one is drawn by chance
        assert await station.stop() is None

    asyncio.run(main())


def test_what_it_says_at_a_bad_start_is_kept(tmp_path):
    async def main():
        station = StationProcess(tmp_path)  # no station.json
        await station.start()
        assert await station.stop() is None
        assert station.returncode != 0 and any("cannot start" in line for line in station.other_lines)

    asyncio.run(main())


def program(directory, body):
    """An interpreter of its own: `starts` counts its starts in the device's folder."""
    path = directory / "program"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\nfrom pathlib import Path\n"
                    "starts = Path('starts')\nn = int(starts.read_text()) + 1 if starts.exists() else 1\n"
                    f"starts.write_text(str(n))\n{body}\n")  # fmt: skip
    path.chmod(0o755)
    return path


def test_a_reset_that_it_asks_for_is_a_new_start(tmp_path):
    async def main():
        body = "sys.exit(75) if n < 4 else print('up', flush=True) or time.sleep(600)"
        station = await StationProcess(tmp_path, interpreter=program(tmp_path, body)).start()
        await until(lambda: "up" in station.other_lines, "the fourth start")
        assert station.restarts == 3 and station.running and station.returncode is None
        await station.kill()
        assert station.returncode == -signal.SIGKILL and not station.running
        assert (tmp_path / "starts").read_text() == "4"

    asyncio.run(main())


@pytest.mark.parametrize("status", [0, 1, 2])
def test_any_other_end_is_an_end(tmp_path, status):
    async def main():
        station = await StationProcess(tmp_path, interpreter=program(tmp_path, f"sys.exit({status})")).start()
        await station.ended()
        assert (station.returncode, station.restarts, station.running) == (status, 0, False)

    asyncio.run(main())


def test_it_can_be_stopped_between_two_starts(tmp_path):
    async def main():
        station = await StationProcess(tmp_path, interpreter=program(tmp_path, "sys.exit(75)")).start()
        await until(lambda: station.restarts >= 2, "it restarts for ever")
        await station.kill()
        starts = (tmp_path / "starts").read_text()
        await asyncio.sleep(1)
        assert not station.running and (tmp_path / "starts").read_text() == starts

    asyncio.run(main())


def test_a_device_with_a_starter_of_its_own_is_started_by_it(tmp_path):
    async def main():
        (tmp_path / "main.py").write_text("print('the starter', flush=True)\n")
        station = await StationProcess(tmp_path, interpreter=None).start()
        await station.ended()
        assert station.returncode == 0 and list(station.other_lines) == ["the starter"]

    asyncio.run(main())


def test_the_verb_runs_it_for_a_while(tmp_path):
    _, directory = make_station(tmp_path)
    command = [sys.executable, "-m", "tools.cli", "simulate", "station"]
    done = subprocess.run(
        [*command, directory, "--seconds", "3"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and '"polls"' in lines[0] and lines[-1].endswith(", 0 restarts"), done
    done = subprocess.run([*command, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "identity.json" in done.stderr


def test_it_dies_with_its_parent(tmp_path):
    make_station(tmp_path)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, sys\nfrom simulator.station import StationProcess\n"
            "async def main():\n"
            "    s = await StationProcess(*sys.argv[1:]).start()\n"
            "    print(s.pid, flush=True)\n    await asyncio.sleep(600)\nasyncio.run(main())",
            str(tmp_path / "st-01"),
            str(tmp_path / "timeline.json"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    pid = int(parent.stdout.readline())
    try:
        os.kill(pid, signal.SIGSTOP)  # it cannot see the end of its stdin; the kernel must end it
        assert not gone(pid)  # control
        parent.kill()
        parent.wait()
        asyncio.run(until(lambda: gone(pid), "the child ends"))
    finally:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
        parent.stdout.close()
