"""A technician's end of the link to a station: what the gateway would say, but nothing is ever acknowledged.

Rule 1: the device keeps every record until the real gateway has it: no frame from here says "I hold ...".
        What arrives is shown, and will be sent again.
Rule 2: nothing is believed before its tag is checked. Without the key only the greeting is looked at, and
        everything from there is marked as not proven.
Rule 3: a command is sent again, the same to the byte, until its answer comes: the device acts on it once. A
        counter that was used is replaced by the one the device asks for; not so when it was this command that
        used it, before the device started anew.
Rule 4: our time is never told as one to trust: a laptop's clock may be wrong. The command "time" does it,
        when a person means it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import termios
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import framing, messages
from protocol.calibration import engineering
from protocol.cose import Mac0, kid_of, payload_of
from protocol.errors import ProtocolError
from protocol.messages import Ack, Command, Event, Hello, Now, Readings, Result, Summary, Welcome
from protocol.quality import NAMES
from protocol.reading import bits_float
from tools.people import Failure, UsageError

BAUD = 115_200
REPEAT_S = 2.0
"""A command goes out again after so long without its answer: the device may just be greeting."""
COUNTERS_MAX = 4
"""Counters that are tried for one command: a device that refuses one says which it needs."""
AHEAD_MS = 60_000
"""By so much a counter is above the needed one where that was not enough: our clock is far behind."""
PAUSE_MS = 5_000
"""How long the device may leave out its records: without acknowledgements it would only repeat them."""
NONE = bytes(8)  # the nonce of nobody


@dataclass
class Reading:
    """The newest of a channel. `raw` is what the instrument indicated, `value` in engineering units."""

    time_ms: int
    told: bool  # time_ms is Unix time; else ms since the device's start
    raw: float | None
    value: float | None
    quality: str
    boot: int = 0  # the start of the device in which it was taken: times of two starts cannot be compared


@dataclass
class Station:
    """What is known of the device. `proven`: its tag was checked with the key."""

    id: str
    proven: bool
    hello: Hello
    readings: dict[str, Reading] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def safe_mode(self) -> str | None:
        """Why it is in safe mode, as its events of this start say; None when they do not."""
        kind, boot = messages.SAFE_MODE, self.hello.boot
        reasons = [event.detail for event in self.events if event.kind == kind and event.boot == boot]
        return str(reasons[-1]) if reasons else None


def read_key(path: Path) -> bytes:
    """The 32 bytes of a link key file. UsageError when it holds anything else."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): name the file with the key.") from error
    except ValueError:  # no digits, or no text at all
        key = b""
    if len(key) != 32:
        raise UsageError(f"{path} is no link key: it has to hold 64 hexadecimal digits.")
    return key


class StationLink:
    """The gateway's end on `port`: a serial port, a pty, or tcp://host:port.

    A device dials: tcp:// listens when the address is one of this machine, and connects when it is another's
    or taken (a serial server). `on_message(message)` is called with each message once it is believed;
    `on_link(text)` when the way to the device changes. Use as an async context manager.
    """

    def __init__(
        self,
        port: str,
        key: bytes | None = None,
        id: str | None = None,
        on_message: Callable[[Any], None] | None = None,
        on_link: Callable[[str], None] | None = None,
    ) -> None:
        self.port = port
        self.station: Station | None = None
        self.listening: int | None = None  # the port that a station may connect to
        self.strangers = 0  # whole frames of others, or with a wrong tag
        self._key = key
        self._id = id
        self._on_message = on_message or (lambda message: None)
        self._on_link = on_link or (lambda text: None)
        self._mac: Mac0 | None = None
        self._decoder = framing.Decoder()
        self._write: Callable[[bytes], None] | None = None
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._counter = 0
        self._changed = asyncio.Event()
        self._closers: list[Callable[[], object]] = []

    async def __aenter__(self) -> StationLink:
        if self.port.startswith("tcp://"):
            await self._open_tcp(*_host_port(self.port))
        else:
            self._open_serial()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.station is not None:  # the pause that it was asked for ends with us
            self.send(self._pause(self.station.hello, 1))
        for close in reversed(self._closers):
            close()
        self._closers.clear()

    # ---- the wire

    def _open_serial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            fd = os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Failure(
                f"{self.port} is not there: name the station's port; `quantrac station scan` lists them."
            ) from None
        self._closers.append(lambda: os.close(fd))
        try:
            tty.setraw(fd, termios.TCSANOW)
            modes = termios.tcgetattr(fd)
            modes[4] = modes[5] = termios.B115200
            termios.tcsetattr(fd, termios.TCSANOW, modes)
        except termios.error as error:
            self._closers.pop()()
            raise UsageError(f"{self.port} is no serial port ({error.args[-1]}).") from error

        def readable() -> None:
            try:
                data = os.read(fd, 4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # unplugged
                loop.remove_reader(fd)
                self._write = None
                self._on_link(f"{self.port} has gone")
                return
            self.feed(data)

        def write(data: bytes) -> None:
            try:
                os.write(fd, data)
            except OSError:
                pass  # what does not fit is lost, as on a UART; it is sent again

        loop.add_reader(fd, readable)
        self._closers.append(lambda: loop.remove_reader(fd))
        self._write = write
        self._on_link(f"{self.port} is open")

    async def _open_tcp(self, host: str, port: int) -> None:
        try:
            server = await asyncio.start_server(self._serve, host, port)
        except (UnicodeError, socket.gaierror) as error:
            raise UsageError(f'"{self.port}" names no address: write tcp://192.168.1.10:7311.') from error
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EACCES):
                raise
            reader, writer = await asyncio.open_connection(host, port)
            task = asyncio.create_task(self._serve(reader, writer))
            self._closers.append(task.cancel)
            return
        self._closers.append(server.close)
        self.listening = server.sockets[0].getsockname()[1]
        self._on_link(f"waiting for a station to connect to {host}:{self.listening}")

    @property
    def connected(self) -> bool:
        return self._write is not None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._on_link(f"connected with {writer.get_extra_info('peername')}")
        self._write = write = writer.write
        self._closers.append(writer.close)
        self._decoder = framing.Decoder()
        try:
            while data := await reader.read(4096):
                self.feed(data)
        except (ConnectionError, asyncio.CancelledError):
            pass  # it ends anyway; a server of Python 3.11 would show the traceback of a cancelled task
        finally:
            writer.close()
            if self._write is write:
                self._write = None
                self._on_link("the connection has ended")

    # ---- what comes

    def feed(self, data: bytes) -> None:
        """Bytes as they came."""
        for body in self._decoder.feed(data):
            message = self._open_body(body)
            if message is None:
                self.strangers += 1
            else:
                self._take(message)

    def _open_body(self, body: bytes) -> Any:
        id = kid_of(body)
        if id is None or (self._id is not None and id != self._id):
            return None
        try:
            if self._key is None:
                message = messages.decode(payload_of(body))
                return message if isinstance(message, Hello) else None
            if self._mac is None or self._mac.kid != id:
                mac = Mac0(id, self._key)
                message = messages.decode(mac.open(body))
                self._mac = mac  # the first that proves itself is ours
                self._id = id
                return message
            return messages.decode(self._mac.open(body))
        except ProtocolError:
            return None

    def _take(self, message: Any) -> None:
        if isinstance(message, Hello):
            if self.station is None or self.station.hello.boot != message.boot:
                self.station = Station(message.device, self._key is not None, message)
            self.station.hello = message
            self.send(Welcome(messages.VERSION, message.nonce, 0, 0, _now_ms(), False))
        elif self.station is None:
            return  # from before our greeting
        elif isinstance(message, Readings | Now):
            self._note(message, self.station)
        elif isinstance(message, Event) and message not in self.station.events:
            self.station.events.append(message)
        elif isinstance(message, Result):
            waiting = self._waiting.pop(message.id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        if self.station is not None and isinstance(message, Readings | Event | Summary):
            self._hold_off(self.station.hello)
        self._changed.set()
        self._on_message(message)

    def _hold_off(self, hello: Hello) -> None:
        self.send(self._pause(hello, PAUSE_MS))

    @staticmethod
    def _pause(hello: Hello, pause_ms: int) -> Ack:
        """Asks for a pause, at the position that the device declared: nothing is claimed to be held."""
        return Ack(hello.nonce, hello.store_boot, hello.store_seq - 1, _now_ms(), False, pause_ms)

    def _note(self, message: Readings | Now, station: Station) -> None:
        for channel, offset_ms, bits, quality, _ in message.rows:
            if channel >= len(station.hello.channels):
                continue
            name, _, _, points = station.hello.channels[channel]
            at_ms = message.base_ms + offset_ms
            known = station.readings.get(name)
            boot = message.boot if isinstance(message, Readings) else station.hello.boot
            if known and (known.boot, known.told, known.time_ms) >= (boot, bool(message.clock), at_ms):
                continue
            raw = None if bits is None else bits_float(bits)
            value = None if raw is None else engineering(raw, points)
            station.readings[name] = Reading(at_ms, bool(message.clock), raw, value, NAMES[quality], boot)

    # ---- what goes

    def send(self, message: Any) -> None:
        """Send a message now, if there is a way and a key."""
        if self._mac is not None and self._write is not None:
            self._write(framing.encode(self._mac.seal(messages.encode(message))))

    async def wait(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Wait until condition() holds; looked at after each message. False when it never does."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return bool(condition())
        return True

    async def greeted(self, seconds: float = 15.0) -> Station:
        """The station, once it has greeted. Failure with what to look at when it does not."""
        await self.wait(lambda: self.station is not None, seconds)
        if self.station is not None:
            return self.station
        if self.strangers:
            what = f"{self.strangers} frames came with another key or id: check --key and --id"
        elif self._decoder.noise:
            what = "only noise came: check that nothing else uses the line, and the baud rate"
        elif not self.connected:
            what = "no station connected: check the address in its identity.json, and that no gateway listens"
        else:
            what = "nothing came: check the cable, the port, and that the station has power"
        raise Failure(f"No station on {self.port} for {seconds:.0f} s: {what}.")

    async def command(self, name: str, args: Any = None, seconds: float = 30.0) -> Result:
        """Have a command done, once. Failure when no answer comes; a refusal is a Result like others."""
        if self._key is None:
            raise UsageError("A command needs the station's link key: write --key FILE.")
        tries = 0
        while True:
            tries += 1
            self._counter = max(self._counter + 1, _now_ms())
            result = await self._ask(Command(self._counter, self._counter & 0x7FFFFFFF, name, args), seconds)
            needed = result.data if not result.ok and f"{self._counter} was used" in result.text else None
            if not isinstance(needed, int) or tries == COUNTERS_MAX:
                break
            if needed == self._counter + 1:  # by this very command, whose answer a restart has lost
                raise Failure(
                    f'The station took "{name}" and started anew: its answer is lost. '
                    "Look at its status before you repeat it."
                )
            self._counter = needed - 1 + (AHEAD_MS if tries > 1 else 0)  # what is old grows while it travels
        if name == "time" and result.ok and self.station:
            self.station.readings.clear()  # what comes may be older than what was shown
        return result

    async def _ask(self, command: Command, seconds: float) -> Result:
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = answer
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.send(command)
                done, _ = await asyncio.wait([answer], timeout=min(REPEAT_S, left))
                if done:
                    return answer.result()
        finally:
            self._waiting.pop(command.id, None)
        raise Failure(f'No answer to "{command.name}" within {seconds:.0f} s: is the station still there?')


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _host_port(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UsageError(f'"{url}" names no port: write tcp://host:port, such as tcp://192.168.1.10:7311.')
    return host.strip("[]"), int(port)
