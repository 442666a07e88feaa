"""simulator/scene_process.py: a scene's instruments as a process, on a real RS-485 line and Modbus TCP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from simulator.clock import mono_ms, write_timeline
from simulator.scene import load_scene
from simulator.scene_process import SceneProcess
from tests.servers.process import free_port
from tests.simulator._rig import T0_MS, answered, serial_client, tcp_client, until


def paths(folder):
    write_timeline(folder / "timeline.json", [[int(mono_ms()), T0_MS, 30]])
    return folder / "timeline.json", folder / "truth.jsonl", folder / "rs485", free_port()


def truth(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_answers_on_both_lines_writes_the_truth_and_stops(tmp_path):
    async def main():
        timeline, path, line, port = paths(tmp_path)
        scene = load_scene("wastewater")
        process = SceneProcess("wastewater", timeline, path, line, port)
        await process.stop()  # before it was started: nothing to do
        await process.start()
        assert process.running
        unit = scene.site("st-01", "00" * 32, {}, line)["units"][0]["unit"]
        async with serial_client(line) as client:
            assert await answered(client.read_holding_registers(0, count=1, device_id=unit))
        async with tcp_client(port) as client:
            await until(lambda: path.exists() and truth(path), "the truth is not written")
            assert client.connected
        await process.stop()
        await process.stop()
        assert not process.running
        rows = truth(path)
        assert rows and all(
            set(row) >= {"t", "channel", "value"} and row["t"] >= T0_MS - 600_000 for row in rows
        )
        assert {row["channel"] for row in rows} == {channel["symbol"] for channel in scene.channels("st-01")}

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["no such scene", "no folder for the truth", "port taken"])
def test_one_that_does_not_start_is_said_and_leaves_nothing(tmp_path, capfd, fault):
    async def main():
        timeline, path, line, port = paths(tmp_path)
        taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        process = SceneProcess(
            "volcano" if fault == "no such scene" else "stack", timeline,
            tmp_path / "absent" / "t.jsonl" if fault.startswith("no folder") else path, line,
            taken.sockets[0].getsockname()[1] if fault == "port taken" else port,
        )  # fmt: skip
        with pytest.raises(RuntimeError, match="did not start"):
            await process.start()
        assert not process.running
        taken.close()

    asyncio.run(main())
    capfd.readouterr()  # the child's own words


def test_it_ends_when_its_stdin_does(tmp_path):
    timeline, path, line, port = paths(tmp_path)
    command = [sys.executable, "-m", "simulator.scene_process", "stack", timeline, path, line, str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ))
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    process.stdout.close()
    assert not os.path.lexists(line), "the line's link is left behind"
