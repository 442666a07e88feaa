"""The host's ends of a mixed line: a serial server (RFC 2217, pyserial's own), raw TCP, and a pty.

    python -m simulator.mixed_ends        # eight units at mixed settings; prints the port's URL

RFC 2217 carries baud, parity and stop bits. A pty carries baud and stop bits (the master reads the slave's
termios); Linux drops parity there, so units of any parity answer with the pty's. Raw TCP carries nothing:
the line keeps the settings that it was given.

Rule 1: a change of settings takes place, and is acknowledged, once the line is silent. So an answer never
        meets settings that were made after it was asked for, however late this thread is.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import termios
import threading
import time
import tty
from collections.abc import Callable

from serial.rfc2217 import PortManager

from simulator.mixed_line import MixedLine

PIECE = 4096
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in BAUDS}


class _Uart:
    """What PortManager knows of a serial port: its settings are those of the line's host."""

    def __init__(self, line: MixedLine) -> None:
        self._line = line
        self.bytesize = 8
        self.xonxoff = self.rtscts = self.dtr = self.rts = self.break_condition = False
        self.cts = self.dsr = self.cd = True
        self.ri = False

    baudrate = property(lambda self: self._line.serial.baud, lambda self, v: self._line.set(baud=v))
    parity = property(lambda self: self._line.serial.parity, lambda self, v: self._line.set(parity=v))
    stopbits = property(lambda self: self._line.serial.stopbits, lambda self, v: self._line.set(stopbits=v))

    def reset_input_buffer(self) -> None:
        """Nothing is kept back here."""

    def reset_output_buffer(self) -> None:
        """Nor here."""


class _End:
    """A thread that serves the line at one end. Use as a context manager; `url` is what a host opens."""

    url: str

    def __init__(self, line: MixedLine) -> None:
        self.line = line
        self.error: BaseException | None = None
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="mixed line", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._stop_write, b".")
        self._thread.join()
        os.close(self._stop_read)
        os.close(self._stop_write)
        self.line.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # shown by whoever ends it
            self.error = error

    def _serve(self) -> None:
        raise NotImplementedError

    def _pump(self, fd: int, received: Callable[[float], bool]) -> bool:
        """Serve until received() says that the host has gone (True), or until told to stop (False)."""
        while True:
            due_s = self.line.due_s()
            wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
            readable, _, _ = select.select([fd, self._stop_read], [], [], wait_s)
            now_s = time.monotonic()
            self.line.deliver(now_s)
            if self._stop_read in readable:
                return False
            if fd in readable and not received(0.0 if due_s is None else now_s - due_s):
                return True


class _Listening(_End):
    """An end on a TCP port of the loopback interface; one host at a time."""

    scheme: str

    def __init__(self, line: MixedLine, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(line)
        self._server = socket.create_server((host, port))
        self.url = f"{self.scheme}://{host}:{self._server.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            self._server.close()

    def _serve(self) -> None:
        while True:
            readable, _, _ = select.select([self._server, self._stop_read], [], [])
            if self._stop_read in readable:
                return
            connection, _ = self._server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self._host(connection):
                    return

    def _host(self, connection: socket.socket) -> bool:
        raise NotImplementedError


class Rfc2217End(_Listening):
    """A serial server as sites have them: rfc2217://127.0.0.1:port."""

    scheme = "rfc2217"

    def _host(self, connection: socket.socket) -> bool:
        class Writer:
            def write(self, data: bytes) -> None:
                with contextlib.suppress(OSError):
                    connection.sendall(data)

        manager = PortManager(_Uart(self.line), Writer())
        self.line.write = lambda data: Writer().write(data.replace(b"\xff", b"\xff\xff"))

        def received(lag_s: float) -> bool:
            try:
                data = connection.recv(PIECE)
            except OSError:
                return False
            held = b""
            for byte in manager.filter(data):  # settings that stand between are made in their place
                held += byte
                if len(held) == 8:
                    self.line.sent(held, lag_s)
                    held, lag_s = b"", 1.0
            if held:
                self.line.sent(held, lag_s)
            return bool(data)

        return self._pump(connection.fileno(), received)


class TcpEnd(_Listening):
    """A serial server that hands bytes through, at the settings that it was given: tcp://127.0.0.1:port."""

    scheme = "tcp"

    def _host(self, connection: socket.socket) -> bool:
        def write(data: bytes) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(data)

        def received(lag_s: float) -> bool:
            try:
                data = connection.recv(PIECE)
            except OSError:
                return False
            self.line.sent(data, lag_s)
            return bool(data)

        self.line.write = write
        return self._pump(connection.fileno(), received)


class PtyEnd(_End):
    """A pty; `url` is its name. Parity is not there: every unit is served at its own."""

    def __init__(self, line: MixedLine) -> None:
        super().__init__(line)
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs, termios.TCSANOW)
        self.url = os.ttyname(self._theirs)
        for unit in line.units:
            unit.serial = unit.serial._replace(parity="N")

    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            os.close(self._ours)
            os.close(self._theirs)

    def modes(self) -> list:
        """The termios of the host's side, as it stands now."""
        return termios.tcgetattr(self._theirs)

    def _serve(self) -> None:
        def received(lag_s: float) -> bool:
            data = os.read(self._ours, PIECE)
            modes = termios.tcgetattr(self._ours)
            stopbits = 2 if modes[2] & termios.CSTOPB else 1
            self.line.set(baud=SPEEDS.get(modes[5], 0), stopbits=stopbits)
            self.line.sent(data, lag_s)
            return True

        self.line.write = lambda data: void(os.write(self._ours, data))
        self._pump(self._ours, received)


def void(_: object) -> None:
    """Nothing comes of it."""
