"""How a serial server is set now (RFC 2217): asked before pyserial's client sets it to something else.

The codes are those of RFC 2217, section 3: a value of 0 asks for the present one.
"""

from __future__ import annotations

import socket
import time

from serial.serialutil import STOPBITS_ONE, STOPBITS_TWO

from tools.station.scan.settings import Setting

IAC, SB, SE, WILL, DO = 255, 250, 240, 251, 253
COM_PORT, SET_BAUDRATE, SET_PARITY, SET_STOPSIZE = 44, 1, 3, 4
SERVER = 100  # added to a code in the server's answer
PARITIES = {1: "N", 2: "O", 3: "E"}
STOPBITS = {1: STOPBITS_ONE, 2: STOPBITS_TWO}
ANSWER_S = 1.0
CONNECT_S = 5.0


def asked_settings(host: str, port: int) -> Setting | None:
    """Its settings, or None when it does not tell. OSError when nobody listens there."""
    ask = bytes([IAC, WILL, COM_PORT])
    for code, size in ((SET_BAUDRATE, 4), (SET_PARITY, 1), (SET_STOPSIZE, 1)):
        ask += bytes([IAC, SB, COM_PORT, code, *bytes(size), IAC, SE])
    with socket.create_connection((host.strip("[]"), port), timeout=CONNECT_S) as connection:
        connection.sendall(ask)
        end_s = time.monotonic() + ANSWER_S
        heard = b""
        while (left_s := end_s - time.monotonic()) > 0:
            connection.settimeout(left_s)
            try:
                data = connection.recv(4096)
            except TimeoutError:
                return None
            if not data:
                return None
            heard += data
            found = _settings(heard)
            if found is not None:
                return found
    return None


def _settings(heard: bytes) -> Setting | None:
    baud = _answer(heard, SET_BAUDRATE, 4)
    parity = _answer(heard, SET_PARITY, 1)
    stopbits = _answer(heard, SET_STOPSIZE, 1)
    if not baud or parity not in PARITIES or stopbits not in STOPBITS:
        return None
    return Setting(baud, PARITIES[parity], STOPBITS[stopbits])


def _answer(heard: bytes, code: int, size: int) -> int | None:
    head = bytes([IAC, SB, COM_PORT, SERVER + code])
    at = heard.find(head)
    if at < 0:
        return None
    value = heard[at + len(head) :].replace(bytes([IAC, IAC]), bytes([IAC]))
    return int.from_bytes(value[:size], "big") if len(value) >= size else None
