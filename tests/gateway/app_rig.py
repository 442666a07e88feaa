"""The gateway as a process, watched as systemd and a monitor would; a device with awkward readings."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.counters import Counters
from gateway.documents import Draft
from gateway.journal.journal import Journal
from gateway.journal.outbox import JournalOutbox
from protocol import quality as q
from protocol.cose import Mac0
from protocol.messages import Readings
from protocol.reading import float_bits
from protocol.session import DeviceSession
from simulator.child import dying_with_parent
from tests.gateway import intake_rig
from tests.servers.process import free_port
from tools.demo.site import table

STOP_S_MAX = 10.0
"""What the gateway promises for SIGTERM."""
WAIT_S_MAX = 90.0
"""For what must happen; a test that gets here fails."""
IMPATIENT = "tests.gateway.impatient"
"""A module that is `quantrac`, with a gateway that waits for seconds where it waits for minutes."""
KEY = bytes(range(32))
STATION = {"province": "LCa", "facility": "DEMO", "code": "NUO001", "name": "test", "kind": "wastewater"}


def write_config(folder: Path, *parts: str, web_port: int = 0, **gateway: Any) -> Path:
    """A configuration with state_dir "gateway"; `parts` are tables made by the functions below."""
    settings = {
        "state_dir": "gateway",
        "web": {"host": "127.0.0.1", "port": web_port or free_port()},
        **gateway,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text("\n".join([table("[station]", STATION), table("[gateway]", settings), *parts]), "utf-8")
    return path


def secret(folder: Path, name: str, text: str) -> str:
    """A file with a secret beside the configuration; its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return name


def bus(id: str, link: str, **settings: Any) -> str:
    return table("[[bus]]", {"id": id, "link": link, "timeout_ms": 200, "retries": 0, **settings})


def bus_channel(symbol: str, bus: str, register: int, poll_ms: int = 100, **settings: Any) -> str:
    """A float32 as simulator.modbus_load serves it."""
    source = {"bus": bus, "unit": 1, "register": register, "type": "float32", "poll_ms": poll_ms}
    return table("[[channel]]", {"symbol": symbol, "unit": "mg/l", "source": source, **settings})


def device(folder: Path, id: str, link: str) -> str:
    return table("[[device]]", {"id": id, "link": link, "key_file": secret(folder, f"{id}.link", KEY.hex())})


def device_channel(symbol: str, device: str, quantity: str, **settings: Any) -> str:
    source = {"device": device, "quantity": quantity}
    return table("[[channel]]", {"symbol": symbol, "unit": "mg/l", "source": source, **settings})


def sftp(folder: Path, port: int, host_key: str, **settings: Any) -> str:
    return table("[[destination]]", {
        "id": "province", "kind": "sftp", "host": "127.0.0.1", "port": port, "user": "station",
        "password_file": secret(folder, "province.password", "right"),
        "host_key_file": secret(folder, "province.hostkey", host_key), "send": ["windows"], **settings,
    })  # fmt: skip


def mqtt(port: int, *send: str, **settings: Any) -> str:
    return table("[[destination]]", {
        "id": "national", "kind": "mqtt", "host": "127.0.0.1", "port": port,
        "send": list(send or ("windows",)), **settings,
    })  # fmt: skip


def directory(path: str = "sent") -> str:
    return table("[[destination]]", {"id": "local", "kind": "directory", "path": path, "send": ["windows"]})


def draft(destination: str, number: int, kind: str = "windows") -> Draft:
    """A small document, as a window makes it."""
    name = f"LCa_DEMO_NUO001_202603250{number:05}.txt" if destination != "national" else "quantrac/t/window"
    key, body = f"window/NUO001/{number}/1", json.dumps({"id": f"w{number}"}).encode()
    return Draft(destination, key, kind, name, "", intake_rig.START + number, body)


async def queue(config: Path, drafts: list[Draft]) -> None:
    """Put documents into the outbox of a gateway that does not run."""
    folder = config.parent / "gateway"
    journal = Journal(folder / "journal.db")
    journal.open(["gateway"])
    journal.start()
    await JournalOutbox(journal, lambda: intake_rig.START, Counters()).queue(drafts)
    await journal.close()


class GatewayRun:
    """`quantrac gateway run CONFIG`; `said` holds what it told systemd, line by line."""

    def __init__(self, config: Path, clock: Path | None = None):
        self.config = config
        self.said: list[str] = []
        self._clock = ["--clock", str(clock)] if clock else []
        self.module = "tools.cli"  # what is run as `quantrac`,
        self.before: list[str] = []  # and by whom
        self._log = config.parent / "gateway.log"
        text = config.read_text("utf-8").split("port = ", 1)
        self._page = f"http://127.0.0.1:{text[1].split()[0]}" if len(text) > 1 else ""
        self.process: asyncio.subprocess.Process

    async def start(self) -> GatewayRun:
        """Start the process; ready() waits for it."""
        path = self.config.parent / f"notify{len(list(self.config.parent.glob('notify*')))}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(os.path.relpath(path))
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.before, sys.executable, "-m", self.module, "gateway", "run", str(self.config),
                *self._clock,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, NOTIFY_SOCKET=os.path.relpath(path)), preexec_fn=dying_with_parent(),
            )  # fmt: skip
        return self

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said += self._socket.recv(4096).decode().splitlines()

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    async def ready(self) -> GatewayRun:
        await until(lambda: "READY=1" in self.said or self.process.returncode is not None)
        assert self.process.returncode is None, self.log
        return self

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        return await asyncio.wait_for(self.process.wait(), WAIT_S_MAX)

    async def stop(self) -> int:
        """SIGTERM; its exit status. A gateway that takes longer than it promises fails the test."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), STOP_S_MAX)

    async def kill(self) -> None:
        """SIGKILL, as when the power goes."""
        self.process.kill()
        await self.process.wait()

    async def close(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self.process.returncode is None:
            await self.kill()
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def get(self, path: str) -> tuple[int, str]:
        """(status, text) of one of its pages, which it serves soon after it is ready."""
        return await until(lambda: asyncio.to_thread(_get, self._page + path))

    async def current(self) -> dict[str, Any]:
        return json.loads((await self.get("/api/v1/current"))[1])

    async def health(self) -> tuple[int, list[str]]:
        status, text = await self.get("/healthz")
        body = json.loads(text)
        assert body["ok"] == (status == 200) == (not body["reasons"])
        return status, body["reasons"]

    async def metrics(self) -> dict[tuple[str, str], float]:
        """{(name, label): number} of /metrics, without quantrac_ and _total."""
        found = {}
        for family in text_string_to_metric_families((await self.get("/metrics"))[1]):
            for sample in family.samples:
                name = sample.name.removeprefix("quantrac_").removesuffix("_total")
                found[name, next(iter(sample.labels.values()), "")] = sample.value
        return found


def _get(url: str) -> tuple[int, str] | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return None
        raise


@contextlib.asynccontextmanager
async def running(
    config: Path, clock: Path | None = None, module: str = "tools.cli"
) -> AsyncIterator[GatewayRun]:
    """A gateway that is ready, and gone afterwards."""
    gateway = GatewayRun(config, clock)
    gateway.module = module
    await gateway.start()
    try:
        yield await gateway.ready()
    finally:
        await gateway.close()


async def until(condition: Callable[[], Any], seconds: float = WAIT_S_MAX) -> Any:
    """Wait until the condition (a function, or one that gives an awaitable) holds; what it gave."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.05)


POINTS = ((0.0, 10.0), (100.0, 210.0))
"""Calibration 1 of the first quantity: engineering = 10 + 2 x raw, exact in binary for the values used."""
QUANTITIES = ("cod", "ph", "tss")
STEP_MS = 1000


class AwkwardStore(intake_rig.Store):
    """Records of every sort from `base_ms` on, a second each turn: see row()."""

    def __init__(self, total: int, base_ms: int, boot: int = 1):
        super().__init__(total, boot, rows=9)
        self.base_ms = base_ms
        self.back = (0, 0, 0)  # records after the first up to the second number are so many ms too early

    def row(self, seq: int) -> tuple[int, int, float | None, int, int]:
        """(channel, time_ms, raw value or None, quality, calibration) of record `seq`."""
        turn, channel = divmod(seq - 1, len(QUANTITIES))
        quality = {3: q.TIMEOUT, 5: q.MAINTENANCE, 8: q.FAULT}.get(turn % 11, q.OK)
        value = None if quality == q.TIMEOUT else (seq * 7919 % 1000) / 8
        after, until, back_ms = self.back
        time_ms = self.base_ms + turn * STEP_MS + channel - (back_ms if after < seq <= until else 0)
        return channel, time_ms, value, quality, int(channel == 0)

    def batch(self, boot: int, seq: int) -> Readings | None:
        if boot != self.boot or seq <= self.released or seq > self.total:
            return None
        rows = [self.row(number) for number in range(seq, min(seq + self.rows, self.total + 1))]
        base_ms = rows[0][1]
        self.handed = max(self.handed, seq + len(rows) - 1)
        return Readings(boot, seq, base_ms, 1, tuple(
            (channel, time_ms - base_ms, None if value is None else float_bits(value), quality, calibration)
            for channel, time_ms, value, quality, calibration in rows
        ))  # fmt: skip

    def told(self, seq: int) -> tuple[str, int, float | None, str]:
        """What the raw feed has to say of it: (quantity, time_ms, engineering value, status)."""
        channel, time_ms, value, quality, _ = self.row(seq)
        if value is not None and channel == 0:
            value = 10 + 2 * value
        return QUANTITIES[channel], time_ms, value, q.status(quality)


class AwkwardDevice(intake_rig.Device):
    """The real device session over that store; run(port) until all is acknowledged."""

    def __init__(self, total: int, base_ms: int, device: str = "st-01", boot: int = 1):
        super().__init__(0, device, boot)
        self.store: AwkwardStore = AwkwardStore(total, base_ms, boot)
        self._mac = Mac0(device, KEY)
        nonces = itertools.count(boot << 32)
        channels = (("cod", STEP_MS, 1, POINTS), ("ph", STEP_MS, 0, ()), ("tss", STEP_MS, 0, ()))
        self.session = DeviceSession(
            lambda: intake_rig.hello(device, boot, next(nonces), self.store.first(), channels=channels),
            self.store, lambda a, b: a - b, window_frames=8, ack_timeout_ms=2000,
        )  # fmt: skip
