"""The whole firmware out of packages, in a process of its own, updated over its link by its own commands."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest

from firmware import trial
from firmware.files import Files
from protocol import messages
from simulator.clock import mono_ms, write_timeline
from simulator.station import StationProcess
from tests.firmware import update_rig as rig
from tests.firmware.bench import KEY, T, station, unit, value
from tests.firmware.test_safe_mode import GatewayEnd
from tests.protocol.test_runtimes import ROOT
from tools.station import bytecode, package

CHUNK = 768
HEAP = "200k"  # in 192k, where pointers have 64 bits, there was once no hole of 770 bytes for a piece
RATE = 60  # station time: ten healthy minutes are ten seconds
_RUN = "        await self.uplink.run()\n"
VERSIONS = {  # counter -> version, what is different in station.py
    1: ("0.1.0", {}),
    2: ("0.2.0", {}),
    3: ("0.3.0", {_RUN: "        raise ValueError('no such link')\n"}),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    made = {}
    for counter, (version, changes) in VERSIONS.items():
        root = tmp_path_factory.mktemp("sources")
        for part in ("firmware", "protocol"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        path = root / "firmware" / "station.py"
        source = path.read_text()
        for before, after in {"quantrac 0.1.0": f"quantrac {version}", **changes}.items():
            assert source.count(before) == 1, before
            source = source.replace(before, after)
        path.write_text(source)
        built = tmp_path_factory.mktemp("built")
        bytecode.build(built, port="unix", root=root)
        made[counter] = rig.make(built, version=version, counter=counter)
    return made


class Bench:
    """A device that was provisioned with the first package, and nothing of ours beside it or on its path."""

    def __init__(self, tmp_path: Path, packages: dict[int, bytes]) -> None:
        self._path, self._packages = tmp_path, packages

    async def __aenter__(self) -> Bench:
        self.link = await GatewayEnd("tcp://127.0.0.1:0", KEY).__aenter__()
        tcp = {"kind": "tcp", "host": "127.0.0.1", "port": self.link.listening}
        self.directory = station(self._path, tcp, [unit(2, [value(0, 0)], poll_ms=60_000)])
        for name, data in package.layout(self._packages[1], package.public_text(rig.key(0))).items():
            (self.directory / name).write_bytes(data)
        write_timeline(self._path / "timeline.json", [[int(mono_ms()), T, RATE]])
        self.device = StationProcess(self.directory, self._path / "timeline.json", heap=HEAP)
        self.device.more_environment = {"MICROPYPATH": ".frozen"}
        self.files = Files(str(self.directory))
        await self.device.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        await self.link.__aexit__(None, None, None)

    async def send(self, data: bytes) -> messages.Result:
        """Stage it, as the gateway does, and apply it."""
        table = {"name": "update", "size": len(data), "sha256": hashlib.sha256(data).digest()}
        result = await self.link.command("stage", table)
        while result.ok and result.data < len(data):
            at = result.data
            result = await self.link.command("chunk", {"at": at, "data": data[at : at + CHUNK]})
        assert result.ok, result
        return await self.link.command("apply", seconds=60)

    async def until(self, condition, seconds: float = 60) -> None:
        assert await self.link.wait(condition, seconds), (self.told(), list(self.device.other_lines))

    async def runs(self, version: str) -> None:
        """Wait for its greeting; it must come out of a slot."""
        await self.until(
            lambda: self.link.station and self.link.station.hello.firmware == f"quantrac {version}"
        )

    def told(self) -> list[str]:
        """What this start said about updates."""
        events = self.link.station.events if self.link.station else ()
        return [event.detail for event in events if event.kind == messages.UPDATE]

    def state(self) -> dict:
        return trial.load(self.files, "slot")


def test_updated_over_the_link_confirmed_and_back_from_one_that_does_not_live(tmp_path, packages, capsys):
    async def main():
        async with Bench(tmp_path, packages) as bench:
            await bench.runs("0.1.0")
            files = {name for name, _ in bench.files.names("")}
            assert files >= {"main.py", "a.pkg", "slot"} and not (bench.directory / "firmware").exists()
            result = await bench.send(packages[2])
            assert result.ok and "0.2.0 is installed" in result.text, result
            await bench.runs("0.2.0")
            await bench.until(lambda: "tried, 0.2.0, start 1 of 2" in bench.told())
            await bench.until(lambda: "confirmed, 0.2.0" in bench.told())
            assert bench.device.restarts == 1
            assert not bench.state()["trying"] and bench.state()["slot"] == "b"
            assert (bench.directory / "b.pkg").read_bytes() == packages[2]
            used = bench.device.ledger["heap_used"]

            result = await bench.send(packages[3])
            assert result.ok, result
            boot = bench.link.station.hello.boot
            await bench.until(lambda: bench.link.station.hello.boot > boot, 90)
            hello = bench.link.station.hello
            assert hello.firmware == "quantrac 0.2.0"
            assert hello.boot == boot + 3  # two starts of the other one
            await bench.until(lambda: any(text.startswith("reverted, 0.3.0, ") for text in bench.told()))
            (reason,) = [text for text in bench.told() if text.startswith("reverted")]
            assert "task uplink" in reason and "no such link" in reason, reason
            assert (bench.state()["slot"], bench.state()["highest"]) == ("b", 3)
            again = await bench.send(packages[3])
            assert not again.ok and "not above 3" in again.text
            with capsys.disabled():
                print(f"\n{len(packages[2]):,} bytes, {reason}; {used:,} of {HEAP} in use", end="")

    asyncio.run(main())
