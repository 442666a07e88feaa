"""What several tests of the simulator need: a profile with every kind of register, clients, waiting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import tty

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from protocol import registers
from protocol.profile import parse

T0_MS = 1_774_371_600_000  # midnight in Vietnam
TYPES = [(kind, order) for kind in registers.TYPES for order in registers.ORDERS]


def profile(**changes):
    """A generic instrument with one status register at 0 and a temperature at 2."""
    table = {
        "name": "rig",
        "title": "Test rig",
        "maker": "none",
        "mark": "GENERIC",
        "source": "tests",
        "station_kinds": ["wastewater"],
        "quantity": [quantity("temp", "float32", "ABCD", 2, status="state")],
        "status": [
            {
                "id": "state",
                "table": "holding",
                "register": 0,
                "values": {"0": "OK", "1": "CALIBRATING", "2": "MAINTENANCE"},
                "otherwise": "FAULT",
            }
        ],
    }
    return parse(table | changes)


def quantity(name, kind, order, register, **changes):
    return {
        "id": name,
        "symbol": name,
        "unit": "",
        "table": "holding",
        "register": register,
        "type": kind,
        "word_order": order,
        "plausible": [0.0, 100.0],
        "decimals": 4,
        "update_s": 10,
    } | changes


def every_type():
    """A profile with one quantity of each type and word order; integers are scaled by 0.01."""
    return profile(
        quantity=[
            quantity(
                f"{kind}-{order.lower()}",
                kind,
                order,
                10 + 4 * i,
                **({"scale": 0.01, "offset": 1.0} if "int" in kind else {}),
            )
            for i, (kind, order) in enumerate(TYPES)
        ],
        status=[],
    )


@contextlib.asynccontextmanager
async def serial_client(path, timeout_s=0.5):
    client = AsyncModbusSerialClient(str(path), baudrate=9600, timeout=timeout_s, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@contextlib.asynccontextmanager
async def tcp_client(port, timeout_s=0.5):
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout_s, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def answered(request) -> bool:
    """Whether a request of a client gets any answer, exceptions of Modbus included."""
    try:
        await request
    except ModbusException:
        return False
    return True


async def until(condition, what: str, seconds: float = 20.0) -> None:
    """Wait for a condition; the limit is only there to end a broken test."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


def open_raw(path) -> int:
    """Open a serial line as a program would; reads do not block."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd, termios.TCSANOW)
    return fd


def read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""
