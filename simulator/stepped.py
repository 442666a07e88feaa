"""A device in virtual time: the controller of firmware/boards/stepped.py.

Rule 1: one clock, here. The device runs between two instants, then says until when it has nothing to do; what
        is due before that happens first, in order. Nothing waits for real time, so days take minutes.
Rule 2: everything that happens is drawn from the seed. What is left to chance is the order of the device's
        tasks that become ready in the same millisecond.
Rule 3: the device may be killed and started again on the same directory at any instant that it waits (power).

The other ends of its streams are peers (simulator/stepped_line.py, simulator/stepped_link.py): objects with
    opened(port) -> bool    the device opens the stream: False refuses
    received(port, data)    the device wrote
    closed(port)            the device closed it, or died
    flashed()               the device writes to its flash, which stops its UARTs on some boards
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import random
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from simulator.child import dying_with_parent

ROOT = Path(__file__).resolve().parent.parent
TICKS_BEFORE_WRAP = 0x3FFFFFFF - 20 * 60 * 1000
"""The device's millisecond counter at its first start: it wraps after twenty minutes."""
SECOND = 1_000_000
HOUR = 3600 * SECOND
FOR_EVER = 1 << 61

_START = "from firmware.boards import stepped; stepped.main()"
_HEAD = struct.Struct("<BBH")
_ITEM = struct.Struct("<BBHq")
_UNTIL = struct.Struct("<q")
_REPLY = struct.Struct("<qqI")


class Died(Exception):
    """The firmware ended by itself, or broke the protocol; the text is what it printed."""


class Peer(Protocol):
    def opened(self, port: Port) -> bool: ...
    def received(self, port: Port, data: bytes) -> None: ...
    def closed(self, port: Port) -> None: ...
    def flashed(self) -> None: ...


class Port:
    """One open stream of the device."""

    def __init__(self, world: Stepped, number: int, peer: Peer | None) -> None:
        self.world, self.number, self.peer = world, number, peer
        self.alive = True

    def send(self, data: bytes) -> None:
        """To the device, now. Nothing when the stream is closed."""
        while data and self.alive:
            self.world.post(b"d", self.number, data[:4096])
            data = data[4096:]

    def hang_up(self) -> None:
        """The device reads and writes OSError from now on."""
        if self.alive:
            self.world.post(b"c", self.number)


class Stepped:
    """A virtual clock with one device. `peers` are found by the name under which the device opens a stream.

    `code` is the folder that holds firmware/ and protocol/, source or bytecode. `turn_us` is charged for each
    turn of the device's event loop (0: the firmware itself costs nothing; an RP2040 takes some 500).
    `prelude` is Python that the device runs first: how a test breaks the firmware on purpose.
    """

    def __init__(
        self,
        micropython: str,
        directory: Path,
        heap: str = "192k",
        code: Path = ROOT,
        seed: int = 0,
        turn_us: int = 0,
        rtc_ms: int | None = None,
        prelude: str = "",
    ) -> None:
        self.now_us = 0
        self.random = random.Random(seed)
        self.peers: dict[str, Peer] = {}
        self.on_report: Callable[[dict[str, Any]], None] | None = None
        self.crashes: list[str] = []  # tracebacks that the firmware showed
        self.bites = 0  # of the watchdog
        self.resets: list[str] = []  # that the firmware asked for
        self.outputs: dict[str, int] = {}
        self.heaps: list[tuple[int, int, int]] = []  # (us, bytes allocated, bytes free) after a collection
        self.longest_feed_ms = 0  # between two feeds of the watchdog, as of the last weighing
        self.flash_writes = 0
        self.exchanges = 0
        self.starts = 0
        self.cpu_s = 0.0  # of the processes that have ended
        self.ended = False  # the firmware has ended as it was told to
        self._command = [micropython, "-X", f"heapsize={heap}", "-c", f"{prelude}\n{_START}"]
        self._code, self._directory, self._turn_us = code, directory, turn_us
        self._rtc = None if rtc_ms is None else rtc_ms * 1000
        self._ticks = TICKS_BEFORE_WRAP
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ports: dict[int, Port] = {}
        self._pins: dict[str, int] = {}
        self._posts: list[bytes] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (close() does)
        self._until: int | None = None  # what the device waits for; None while it runs
        self._status = b"{}"

    @property
    def running(self) -> bool:
        """Whether the device has power, and its firmware has not ended."""
        return self._process is not None

    @property
    def last(self) -> dict[str, Any]:
        """The newest status line."""
        return json.loads(self._status)

    # ---- the world's side

    def at(self, us: int, act: Callable[[], None]) -> None:
        """Do it at that time; at once when it has passed."""
        heapq.heappush(self._events, (max(us, self.now_us), next(self._numbers), act))

    def after(self, us: int, act: Callable[[], None]) -> None:
        self.at(self.now_us + us, act)

    def every(self, us: int, act: Callable[[], None]) -> None:
        def again() -> None:
            self.after(us, again)
            act()

        self.after(us, again)

    def post(self, kind: bytes, port: int = 0, data: bytes = b"") -> None:
        """An item for the device, delivered at this instant."""
        self._posts.append(_HEAD.pack(kind[0], port, len(data)) + data)

    def pin(self, pin: str | int, level: int) -> None:
        """What an input, an ADC pin (microvolts) or a counter shows from now on; kept through restarts."""
        self._pins[str(pin)] = level
        self.post(b"p", 0, f"{pin}={level}".encode())

    def say(self, line: str) -> None:
        """Type a line on the device's console."""
        self.post(b"d", 0, line.encode() + b"\n")

    def weigh(self) -> None:
        """Have the device collect garbage and tell its heap: see `heaps`."""
        self.post(b"h")

    # ---- the device's process

    def start(self, reason: str = "power") -> Stepped:
        assert self._process is None
        rtc = "" if self._rtc is None else str((self._rtc + self.now_us) // 1000)
        options = [str(self.random.getrandbits(30)), str(self._ticks), str(self._turn_us), rtc, reason]
        self._process = subprocess.Popen(
            [*self._command, str(self._directory), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={**os.environ, "MICROPYPATH": f"{self._code}:.frozen"},
            cwd=self._directory,
            preexec_fn=dying_with_parent(),
        )
        self._in = os.fdopen(os.dup(self._process.stdout.fileno()), "rb")
        self.starts += 1
        self._posts = [_HEAD.pack(b"p"[0], 0, len(data)) + data for data in self._pin_items()]
        self._until = None
        return self

    def _pin_items(self) -> list[bytes]:
        return [f"{pin}={level}".encode() for pin, level in self._pins.items()]

    def kill(self) -> None:
        """The power goes. Everything that was not in the device's directory is gone."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill() would collect its status
            self._bury()

    def _bury(self) -> int:
        process, self._process = self._process, None
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s += used.ru_utime + used.ru_stime
        self._in.close()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()
        for port in list(self._ports.values()):
            self._close(port)
        self._posts.clear()
        self._until = None
        return process.returncode

    def restart(self, reason: str = "power") -> None:
        self.kill()
        self._ticks = 0
        self.start(reason)

    def process_user_s(self) -> float:
        """User CPU seconds of the running device: without what the kernel did for it."""
        return int(self._stat()[11]) / os.sysconf("SC_CLK_TCK")

    def process_cpu_s(self) -> float:
        """CPU seconds of the device so far, all its lives."""
        if self._process is None:
            return self.cpu_s
        fields = self._stat()
        return self.cpu_s + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def process_rss_mib(self) -> float:
        """Resident memory of the running device."""
        return int(self._stat()[21]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024

    def _stat(self) -> list[str]:
        return Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()

    def errors(self) -> str:
        """What the device wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close(self) -> None:
        self.kill()
        self._errors.close()

    # ---- running

    def run(self, until_us: int) -> None:
        """Go on to that time, or to the firmware's end. Died when the firmware ended by itself."""
        while self.now_us < until_us and not self.ended:
            if self._process is not None and self._until is None:
                self._listen()
                continue
            wanted = FOR_EVER if self._until is None or self._until < 0 else self._until
            due = self._events[0][0] if self._events else FOR_EVER
            if self._posts and self._process is not None:
                self._answer(until_us)
            elif due <= min(wanted, until_us):
                _, _, act = heapq.heappop(self._events)
                self.now_us = max(self.now_us, due)
                act()
            elif wanted <= until_us:
                self.now_us = max(self.now_us, wanted)
                self._answer(until_us)
            else:
                self.now_us = until_us

    def run_until(self, condition: Callable[[], bool], what: str, limit_us: int = HOUR) -> None:
        """Go on until condition() holds, looked at each 10 ms; AssertionError when it never does."""
        end = self.now_us + limit_us
        while not condition():
            assert self.now_us < end and not self.ended, f"never came true: {what}"
            self.run(self.now_us + 10_000)

    def stop(self, limit_us: int = 60 * SECOND) -> dict[str, Any]:
        """Have the firmware end as by its console; its last status line."""
        self.say("stop")
        self.run(self.now_us + limit_us)
        assert self.ended, f"it never ended: {self.last}"
        return self.last

    def _answer(self, limit_us: int) -> None:
        due = self._events[0][0] if self._events else FOR_EVER
        reply = _REPLY.pack(self.now_us, min(due, limit_us), len(self._posts)) + b"".join(self._posts)
        self._posts.clear()
        self._until = None
        self.exchanges += 1
        with contextlib.suppress(BrokenPipeError):
            view = memoryview(reply)
            while view:
                view = view[os.write(self._process.stdin.fileno(), view) :]

    def _listen(self) -> None:
        """Items up to the one with which the device waits."""
        process, read = self._process, self._in.read
        while self._process is process:
            head = read(_ITEM.size)
            if len(head) < _ITEM.size:
                self._over(head)
                return
            kind, number, size, us = _ITEM.unpack(head)
            if not kind & 128:  # text: a traceback, or somebody prints
                text = head + (self._in.read() if self._has_ended() else self._in.peek())
                self.kill()
                raise Died(f"{text.decode(errors='replace')}\n{self.errors()}")
            data = read(size) if size else b""
            self.now_us = max(self.now_us, us)
            if kind == 128 + 87:
                (self._until,) = _UNTIL.unpack(data)
                return
            _ACTS[kind & 127](self, number, data)

    def _has_ended(self) -> bool:
        """Whether the process is over within a second: then all that it printed is there to be read."""
        for _ in range(100):
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            time.sleep(0.01)
        return False

    def _over(self, rest: bytes) -> None:
        status = self._bury()
        if status or rest:
            raise Died(f"the firmware ended with status {status}: {rest.decode()}\n{self.errors()}")
        self.ended = True

    # ---- what the device says

    def _open(self, number: int, data: bytes) -> None:
        peer = self.peers.get(data.decode())
        port = Port(self, number, peer)
        if peer is not None and peer.opened(port):
            self._ports[number] = port
            self.post(b"o", number)
        else:
            port.alive = False
            self.post(b"x", number)

    def _data(self, number: int, data: bytes) -> None:
        port = self._ports.get(number)
        if port is not None:
            port.peer.received(port, data)

    def _closed(self, number: int, data: bytes) -> None:
        port = self._ports.get(number)
        if port is not None:
            self._close(port)

    def _close(self, port: Port) -> None:
        port.alive = False
        del self._ports[port.number]
        self._posts = [post for post in self._posts if post[1] != port.number or post[0] not in b"dc"]
        port.peer.closed(port)

    def _report(self, number: int, data: bytes) -> None:
        self._status = data
        if self.on_report is not None:
            self.on_report(self.last)

    def _output(self, number: int, data: bytes) -> None:
        pin, _, level = data.decode().partition("=")
        self.outputs[pin] = int(level)

    def _heap(self, number: int, data: bytes) -> None:
        used, free, longest_ms = map(int, data.split())
        self.heaps.append((self.now_us, used, free))
        self.longest_feed_ms = max(self.longest_feed_ms, longest_ms)

    def _reset(self, number: int, data: bytes) -> None:
        self.resets.append(data.decode())
        self.restart("reset asked")

    def _bite(self, number: int, data: bytes) -> None:
        self.bites += 1
        self.restart("watchdog")

    def _crash(self, number: int, data: bytes) -> None:
        self.crashes.append(data.decode(errors="replace"))

    def _flash(self, number: int, data: bytes) -> None:
        self.flash_writes += 1
        for port in self._ports.values():
            port.peer.flashed()

    def _set_rtc(self, number: int, data: bytes) -> None:
        self._rtc = int(data) * 1000 - self.now_us


_ACTS = {
    ord("O"): Stepped._open,
    ord("D"): Stepped._data,
    ord("C"): Stepped._closed,
    ord("R"): Stepped._report,
    ord("P"): Stepped._output,
    ord("H"): Stepped._heap,
    ord("X"): Stepped._reset,
    ord("B"): Stepped._bite,
    ord("K"): Stepped._crash,
    ord("F"): Stepped._flash,
    ord("T"): Stepped._set_rtc,
}
