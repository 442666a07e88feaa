# UARTs and the USB console as streams, on boards.
#
# A serial line is named by its UART and pins: "uart1 tx=4 rx=5 de=6". de is the pin that turns an RS-485
# transceiver to sending; leave it out where the transceiver does that itself.
#
# Rule 1: RS-485: pin up, write, flush, pin down, without an await in between: whoever got a turn there could
#         keep the line from the instrument that answers. A request of 8 bytes at 9,600 baud takes 9 ms.
# Rule 2: a link's writes are paced by txdone(), so that they never wait inside of write().
# Rule 3: what a port finds wrong with a line (ValueError) is an OSError here: the line is not there.
#
# pyright: reportAttributeAccessIssue=false

import asyncio
import sys

import machine

from firmware.boards.stream import Stream


# "uart1 tx=4 rx=5" -> 1, {"tx": 4, "rx": 5}
def parse(path):
    words = path.split()
    if not words or not words[0].startswith("uart"):
        raise ValueError(f'"{path}": write like "uart1 tx=4 rx=5 de=6"')
    pins = {}
    for word in words[1:]:
        name, _, number = word.partition("=")
        if name not in ("tx", "rx", "de"):
            raise ValueError(f'"{path}": there is no pin "{name}"')
        pins[name] = int(number)
    return int(words[0][4:]), pins


# room: bytes of each buffer; taken: pins and UARTs that it cannot have
def open_line(table, room, taken):
    try:
        number, pins = parse(table["path"])
        if f"uart{number}" in taken or [pin for pin in pins.values() if pin in taken]:
            raise ValueError("{}: the link or the network has it".format(table["path"]))
        de = pins.pop("de", None)
        direction = None if de is None else machine.Pin(de, machine.Pin.OUT, value=0)
        uart = machine.UART(
            number,
            baudrate=table["baud"],
            bits=8,
            parity={"N": None, "E": 0, "O": 1}[table.get("parity", "N")],
            stop=table.get("stopbits", 1),
            rxbuf=room,
            txbuf=room,
            timeout=0,
            **pins,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(str(error))  # noqa: B904 (MicroPython cannot chain and says so each time)
    line = Uart(uart, direction)
    line.read_now()
    return line


class Uart(Stream):
    def __init__(self, uart, direction):
        super().__init__(uart)
        self._direction = direction

    async def write(self, data):
        uart = self._open()
        direction = self._direction
        view = memoryview(data)
        at = 0
        if direction:
            direction(1)
            try:
                while at < len(view):
                    at += uart.write(view[at:]) or 0
                uart.flush()
            finally:
                direction(0)
            return
        while at < len(view):
            at += uart.write(view[at : at + 128]) or 0
            while not uart.txdone():
                await asyncio.sleep_ms(1)
                uart = self._open()

    # A read() of more than is there waits for another byte, as long as one takes, after each: what comes in
    # faster than that would keep everything else waiting.
    def _take(self, n):
        file = self._open()
        n = min(n, file.any())
        return file.read(n) or b"" if n else b""

    def _shut(self, file):
        file.deinit()


# The console as a link: it gives one byte at a time, or waits.
class Usb(Stream):
    slice = 64

    def __init__(self):
        super().__init__(sys.stdin.buffer, sys.stdout.buffer)

    def _take(self, n):
        data = bytearray()
        file = self._open()
        while len(data) < n and self._poller.poll(0):
            byte = file.read(1)
            if not byte:
                break
            data += byte
        return bytes(data)

    def _shut(self, file):
        pass
