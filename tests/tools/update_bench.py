"""Packages of the real firmware, compiled once for all workers of a test run, and a station with slots."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pickle
import signal
import sys
from pathlib import Path

from simulator.bus import PtyPair
from simulator.clock import mono_ms, write_timeline
from simulator.station import StationProcess
from tests.firmware import update_rig as rig
from tests.firmware.bench import KEY, ROOT, T, station, unit, value
from tools.station import bytecode, package, packages
from tools.station.access import Access
from tools.station.folder import Folder

RATE = 300  # station time: ten healthy minutes are two seconds
HEAP = "200k"  # out of packages; from source compiling takes more
OLD, NEW, CRASHES = 1, 2, 3
VERSIONS = {OLD: "0.1.0", NEW: "0.2.0", CRASHES: "0.3.0"}
CRASH = 'raise ValueError("this firmware cannot start")\n'


def shared(tmp_path_factory) -> Path:
    """A folder that all workers of this test run have in common, and no other run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


def key(base: Path) -> bytes:
    """The private key of this test run. base: a folder that all its workers have in common."""
    return _once(base, "update.pem", lambda: rig.key(0))


def made(base: Path) -> dict[int, bytes]:
    """The packages by counter: two that live and one that dies while it is imported."""
    return pickle.loads(_once(base, "packages", lambda: pickle.dumps(_make(base))))


def _make(base: Path) -> dict[int, bytes]:
    pem = key(base)
    new = packages.make(pem, VERSIONS[NEW], "unix", NEW)
    files = package.read(new, None).files
    broken = base / "broken.mpy"
    bytecode.compile_to(broken, CRASH, "firmware/station.py")
    variants = {
        OLD: files["firmware/station.mpy"].replace(b"quantrac 0.2.0", b"quantrac 0.1.0"),
        CRASHES: broken.read_bytes(),
    }
    found = {NEW: new}
    for counter, content in variants.items():
        now = package.read(new, None)
        found[counter] = package.make(
            {**files, "firmware/station.mpy": content},
            pem,
            version=VERSIONS[counter],
            counter=counter,
            created_ms=now.created_ms,
            expires_ms=now.expires_ms,
            ports=["unix"],
        )
    return found


def _once(base: Path, name: str, make) -> bytes:
    path = base / f"quantrac-{name}"
    with open(base / f"quantrac-{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(make())
            part.replace(path)
        return path.read_bytes()


class Bench:
    """A station that was provisioned with the package OLD, its folder, and the cable between them.

    `port` is the technician's end of it.
    """

    def __init__(self, path: Path, base: Path, slots: bool = True, rate: float = RATE) -> None:
        self.path, self.base, self.rate = path, base, rate
        self.port = path / "port"
        self._slots = slots
        link = {"kind": "serial", "path": str(path / "link"), "baud": 115200}
        self.directory = station(path, link, [unit(2, [value(0, 0)], poll_ms=60_000)])
        if slots:
            for name, data in package.layout(made(base)[OLD], package.public_text(key(base))).items():
                (self.directory / name).write_bytes(data)
        self.folder = Folder(path / "folder")
        (self.folder.path / "device").mkdir(parents=True)
        (self.folder.path / "site.json").write_text(json.dumps({"id": "st-01"}))
        (self.folder.path / "link.key").write_text(KEY.hex())
        (self.folder.path / "device" / "update.pub").write_bytes(package.public_text(key(base)))
        for name in ("station.json", "a.pkg"):
            if (self.directory / name).exists():
                (self.folder.path / "device" / name).write_bytes((self.directory / name).read_bytes())

    async def __aenter__(self) -> Bench:
        self.cable = await PtyPair(self.path / "link", self.port).start()
        write_timeline(self.path / "timeline.json", [[int(mono_ms()), T, self.rate]])
        more = {"heap": HEAP} if self._slots else {}
        self.device = StationProcess(self.directory, self.path / "timeline.json", **more)
        if self._slots:
            self.device.more_environment = {"MICROPYPATH": ".frozen"}
        await self.device.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.device.kill()
        await self.cable.stop()

    async def power_cut(self) -> None:
        """The power goes, and comes back."""
        await self.device.kill()
        await self.device.start()

    async def replug(self) -> None:
        """The port goes and comes back, as a board's own USB does: the device greets again at once."""
        await self.cable.stop()
        await asyncio.sleep(0.3)
        await self.cable.start()

    def access(self) -> Access:
        return Access(str(self.port), self.folder.path, by="An")

    def package(self, counter: int) -> Path:
        path = self.path / f"{VERSIONS[counter]}.update"
        path.write_bytes(made(self.base)[counter])
        return path

    def state(self) -> dict:
        return json.loads((self.directory / "slot").read_bytes())

    async def command(
        self, *words: object, typed: bytes = b"", kill: tuple[str, int] | None = None, interrupt: str = ""
    ):
        """(status, stdout, stderr) of `quantrac station ...`; kill: SIGKILL before its n-th such command;
        interrupt: Ctrl-C once it has said this.
        """
        program = ["-m", "tools.cli"] if kill is None else ["-c", KILLED.format(*kill)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, "station", *map(str, words),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=ROOT, env={**os.environ, "COLUMNS": "80"},
        )  # fmt: skip
        try:
            said = b""
            if interrupt and process.stdout:
                said = await asyncio.wait_for(process.stdout.readuntil(interrupt.encode()), 120)
                process.send_signal(signal.SIGINT)
            out, errors = await asyncio.wait_for(process.communicate(typed), 120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return process.returncode, (said + out).decode(), errors.decode()


KILLED = """
import os, signal
from tools.station.link import StationLink
asked, plain = [], StationLink.command
async def command(self, name, *args, **more):
    asked.append(name)
    if asked.count({0!r}) == {1}:
        os.kill(os.getpid(), signal.SIGKILL)
    return await plain(self, name, *args, **more)
StationLink.command = command
from tools.cli import main
main()
"""
