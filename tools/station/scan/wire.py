"""The technician's end of a bus: a serial port, a pty, or a serial server; left as it was found.

Rule 1: a port that somebody else has open is not touched: two masters on one line disturb each other.
Rule 2: a port's settings are read before the first change, and set again at the end, whatever happens.
Rule 3: the timeout of pyserial is never changed: over RFC 2217 that would negotiate all settings again.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import logging
import os
import socket
import termios
import time
from typing import Any

import serial

from tools.people import Failure, UsageError
from tools.station.scan.rfc2217 import asked_settings
from tools.station.scan.settings import Setting

PIECE_S = 0.004  # how long a read waits, at most; a wait longer than that is many of them
ASYNC_LOW_LATENCY = 1 << 13
FIXED = ("tcp://", "socket://")  # servers that hand bytes through, at settings of their own
SCHEMES = ("rfc2217://", *FIXED)


class CannotSet(Failure):
    """The port takes no such speed, parity or stop bits: others may do."""


class Wire:
    """An open port. `fixed`: its settings are those of a serial server, and cannot be changed from here.

    `waited_s` counts the seconds in which nothing came, as they were meant, not as a busy machine made them.
    """

    def __init__(self, port: str) -> None:
        """UsageError when it is no port, Failure when it is in use or cannot be reached."""
        self.port = port
        self.fixed = port.startswith(FIXED)
        self.setting: Setting | None = None
        self.waited_s = 0.0
        self._before: list[Any] | None = None
        self._fd: int | None = None
        self._flags: array.array | None = None  # of the driver, where it has low latency
        self._found: Setting | None = None
        self._serial: Any = self._open()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Any:
        logging.getLogger("pySerial").addHandler(logging.NullHandler())
        if self.port.startswith(SCHEMES):
            return self._open_url()
        try:
            self._fd = os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise UsageError(
                f"{self.port} cannot be opened ({error.strerror}): {_open_hint(error)}."
            ) from None
        try:
            self._before = termios.tcgetattr(self._fd)
            port = serial.Serial(self.port, 9600, timeout=PIECE_S, exclusive=True)
            self._flags = _hurried(self._fd)
            return port
        except termios.error:
            self.close()
            raise UsageError(f"{self.port} is no serial port: name one with --port.") from None
        except serial.SerialException as error:
            self._before = None  # nothing was changed, and it is somebody else's
            self.close()
            if error.errno in (11, None):
                raise Failure(f"{self.port} is in use by another program: stop that first.") from None
            raise Failure(f"{self.port} cannot be opened: {error.strerror}.") from None

    def _open_url(self) -> Any:
        url = self.port.replace("tcp://", "socket://", 1)
        host, _, number = url.partition("://")[2].partition("?")[0].rpartition(":")
        if not host or not number.isdigit() or not 0 < int(number) < 65536:
            raise UsageError(
                f'"{self.port}" names no serial server: write rfc2217://192.168.1.10:4001, '
                "or tcp://192.168.1.10:4001 for one that only hands bytes through."
            )
        try:
            if not self.fixed:
                self._found = asked_settings(host, int(number))
            return serial.serial_for_url(url, 9600, timeout=PIECE_S)
        except (serial.SerialException, OSError, socket.gaierror) as error:
            raise Failure(
                f"{self.port} cannot be reached: check address and port, and that no other program "
                f"uses the serial server ({_short(error)})."
            ) from None

    def close(self) -> None:
        """Set everything as it was and let go. Repeating it does nothing."""
        port, self._serial = getattr(self, "_serial", None), None
        if port is not None and self._found not in (None, self.setting):
            with contextlib.suppress(Exception):  # a server that has gone keeps what it has
                self._apply(port, self._found)
        fd, self._fd = self._fd, None
        if fd is not None:
            if self._flags is not None:
                with contextlib.suppress(OSError):
                    fcntl.ioctl(fd, termios.TIOCSSERIAL, self._flags)
            if self._before is not None:
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(fd, termios.TCSANOW, self._before)
            os.close(fd)
        if port is not None:
            with contextlib.suppress(Exception):
                port.close()

    def set(self, setting: Setting) -> None:
        """Go on at these settings. CannotSet when the port cannot have them."""
        if self.fixed or setting == self.setting:
            self.setting = setting
            return
        try:
            self._apply(self._serial, setting)
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            raise CannotSet(f"{self.port} cannot be set to {setting} ({_short(error)}).") from None
        self.setting = setting

    @staticmethod
    def _apply(port: Any, setting: Setting) -> None:
        port.apply_settings(
            {"baudrate": setting.baud, "parity": setting.parity, "stopbits": setting.stopbits}
        )

    def send(self, data: bytes) -> None:
        """Failure when the port has gone."""
        try:
            self._serial.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from None

    def receive(self, until_s: float) -> bytes:
        """What comes, as soon as something does; b"" when nothing has by then (time.monotonic)."""
        try:
            while True:
                data = self._serial.read(1)
                if data:
                    return data + self._serial.read(min(4096, self._serial.in_waiting))
                if time.monotonic() >= until_s:
                    return b""
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from None

    def _gone(self, error: Exception) -> Failure:
        return Failure(f"{self.port} has gone: plug it in again and repeat the scan ({_short(error)}).")


def _hurried(fd: int) -> array.array | None:
    """Have the driver hand over bytes at once (FTDI keeps them for 16 ms); what to set again afterwards.

    None where there is no such thing: on a pty, for example. The struct is serial_struct of linux/serial.h.
    """
    before = array.array("i", bytes(128))
    try:
        fcntl.ioctl(fd, termios.TIOCGSERIAL, before)
        hurried = array.array("i", before)
        hurried[4] |= ASYNC_LOW_LATENCY
        fcntl.ioctl(fd, termios.TIOCSSERIAL, hurried)
    except OSError:
        return None
    return before


def _open_hint(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "your user may not; add it to the group dialout and log in again"
    return "`quantrac station scan` without --port lists the ports there are"


def _short(error: Exception) -> str:
    said = error.args[-1] if isinstance(error, termios.error) and error.args else error
    text = str(getattr(error, "strerror", None) or said)
    return text if len(text) <= 80 else text[:77] + "..."
