# MicroPython's `machine` as far as firmware/boards uses it: remembers every call in `log`, and refuses what
# the real ports refuse (their C sources, 1.28 and 1.29). `port` says which one it plays.
# ruff: noqa: RUF012 (MicroPython has no ClassVar)

import io

log = []
port = "rp2"
cause = 1
PWRON_RESET = 1
WDT_RESET = 3
clock = [2021, 1, 1, 4, 0, 0, 0, 0]  # what RTC().datetime() shows
chips = {}  # of I2C: address -> bytearray of registers


def play(name):
    global port, clock, cause
    port = name
    cause = PWRON_RESET
    clock = [2021, 1, 1, 4, 0, 0, 0, 0] if name == "rp2" else [2000, 1, 1, 5, 0, 0, 0, 0]
    log[:] = []
    chips.clear()
    Pin.levels.clear()
    Pin.handlers.clear()


def unique_id():
    return b"\xe6\x61\x64\x08"


def reset_cause():
    return cause


def reset():
    log.append(("reset",))


class Pin:
    IN = 0
    OUT = 1
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_FALLING = 4
    IRQ_RISING = 8
    levels = {}
    handlers = {}

    def __init__(self, number, mode=-1, pull=None, *, value=None):
        if not 0 <= number < 48:
            raise ValueError("invalid pin")
        self.number = number
        if mode != -1:
            log.append(("pin", number, mode, pull, value))

    def __call__(self, level=None):
        if level is None:
            return self.levels.get(self.number, 0)
        log.append(("put", self.number, level))

    def irq(self, handler=None, trigger=0, **more):
        if more and port != "rp2":
            raise TypeError("extra keyword arguments given")
        log.append(("irq", self.number, trigger, more))
        self.handlers[self.number] = handler


class UART(io.IOBase):
    flush_fails = False

    def __init__(
        self, number, baudrate=0, bits=0, parity=-1, stop=0, *, tx=None, rx=None, txbuf=0, rxbuf=0, timeout=0
    ):
        if number > 1 or (tx is not None and tx % 4):
            raise ValueError("bad TX pin")
        log.append(("uart", number, baudrate, bits, parity, stop, tx, rx))
        self.coming = b""
        self._txbuf = txbuf
        self._busy = 0

    def any(self):
        return len(self.coming)

    def read(self, n):
        assert n <= len(self.coming), "this read would wait"
        data, self.coming = self.coming[:n], self.coming[n:]
        return data or None

    def write(self, data):
        assert len(data) <= self._txbuf and not self._busy, "this write would wait"
        log.append(("write", bytes(data)))
        self._busy = 3
        return len(data)

    def flush(self):
        log.append(("flush",))
        self._busy = 0
        if self.flush_fails:
            raise OSError(110)

    def txdone(self):
        self._busy = max(0, self._busy - 1)
        return not self._busy

    def ioctl(self, request, flags):
        return (flags & 4 | (1 if self.coming else 0) & flags) if request == 3 else 0

    def deinit(self):
        log.append(("deinit",))


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, **more):
        assert isinstance(pin, Pin) and bool(more) == (port == "esp32")

    def read_u16(self):
        assert port == "rp2"
        return 32768

    def read_uv(self):
        assert port == "esp32"
        return 1234567


class WDT:
    def __init__(self, id=0, timeout=5000):
        if port == "rp2" and timeout > 8388:
            raise ValueError("timeout exceeds 8388")
        log.append(("wdt", timeout))

    def feed(self):
        log.append(("feed",))


class RTC:
    def datetime(self, new=None):
        if new is None:
            return tuple(clock)
        log.append(("rtc", tuple(new)))
        clock[:] = list(new)
        if port == "rp2":
            clock[7] = 0  # no parts of a second


class I2C:
    def __init__(self, number, sda=None, scl=None, freq=0):
        pass

    def readfrom_mem(self, address, register, n):
        if address not in chips:
            raise OSError(19)
        return bytes(chips[address][register : register + n])

    def writeto_mem(self, address, register, data):
        if address not in chips:
            raise OSError(19)
        chips[address][register : register + len(data)] = data


class SPI:
    def __init__(self, number, baudrate=0, sck=None, mosi=None, miso=None):
        log.append(("spi", number, sck.number, mosi.number, miso.number))


class Counter:
    RISING = 1
    FALLING = 2

    def __init__(self, number, source, edge=RISING):
        log.append(("counter", number, source.number, edge))

    def value(self):
        return 77
