"""An emulated Pico (rp2040py) that boots a real MicroPython image, and what is wired to it.

Time here is the emulator's: 125,000,000 cycles are a second, however long they take to work out (15 seconds,
when it never sleeps). The CPU share is the cycles of executed instructions by all cycles that passed; asleep
(WFE) it executes none. Instructions take the cycles of the Cortex-M0+; what a miss of the flash's cache costs
on silicon is not in the model.

What the model does not do by itself, and this file adds:
- its UART has no transmit FIFO, no time per byte, and raises the transmit interrupt whenever anything is
  asked of it: machine.UART then never leaves its interrupt. `Uart` below is a PL011 with both FIFOs, their
  trigger levels, the receive time-out, overruns, and bytes that take as long as the baud rate says.
- its flash erases and programs in no time. `Flash` lets the time of a W25Q16JV's data sheet (typical) pass,
  with the processor standing still: interrupts wait, and a receive FIFO runs over.
- its ring oscillator gives no random bits.
No USB host is there, as in a cabinet. (With one the model's USB keeps the processor awake all the time.)
"""

from __future__ import annotations

import random
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from littlefs import LittleFS
from rp2040py.device.bootrom import BOOTROM_B1
from rp2040py.device.load_flash import load_uf2
from rp2040py.execute_batch import execute_batch
from rp2040py.memory_map import FLASH_START_ADDRESS
from rp2040py.peripherals.peripheral import BasePeripheral
from rp2040py.peripherals.ssi import RPSSI
from rp2040py.peripherals.uart import RPUART
from rp2040py.rp2040 import RP2040
from rp2040py.simulator import Simulator
from rp2040py.utils.logging import ConsoleLogger, LogLevel

from protocol.modbus import crc16

HZ = 125_000_000
FLASH_BYTES = 2 << 20
ERASE_S = {0x20: 0.045, 0xD8: 0.15}  # 4 KB, 64 KB
PROGRAM_S = 0.0004  # 256 bytes
CPU_S = 600.0  # what one run() may take of this machine's processor
DISK_VERSION = 0x00020000  # littlefs of an image; a newer MicroPython raises it at its first write
_TICKS_AT_ONCE = 64  # instructions between two looks at the clock, when no alarm is due
_BEAT_NS = 1_000_000  # a chip without a single alarm to wait for would stand still for ever
_LOOK_BEATS = 20  # between two looks whether what was waited for is there
_UARTS = (0x40034, 0x40038)
_ROSC = 0x40060
_MAILBOX = 0x40068  # nothing is there on the chip: the console writes where its text lies

# Offsets and bits of the PL011 (RP2040 data sheet, 4.2.8).
_DR, _FR, _LCR_H, _CR, _IFLS, _IMSC, _RIS, _MIS, _ICR, _DMACR = (
    *(0x00, 0x18, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48),
)
_BUSY, _RXFE, _TXFF, _RXFF, _TXFE = 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
_RX, _TX, _RT, _OE = 1 << 4, 1 << 5, 1 << 6, 1 << 10
_LEVELS = (4, 8, 16, 24, 28)

CONSOLE = b"""
import io, machine, os, uctypes
class _Out(io.IOBase):
    def write(self, data):
        machine.mem32[0x40068004] = len(data)
        machine.mem32[0x40068000] = uctypes.addressof(data)
        return len(data)
    def readinto(self, data):
        return None
os.dupterm(_Out())
"""


class Uart(RPUART):
    """A PL011 in time. `on_begin()` is called when a byte's start bit leaves, `on_end(byte)` after its stop
    bit, receive(byte) when one has arrived."""

    def wire(self) -> Uart:
        clock = self.rp2040.clock
        self.on_begin: Callable[[], None] = lambda: None
        self.on_end: Callable[[int], None] = lambda byte: None
        self.overruns = 0
        self._shift_alarm = clock.create_alarm(self._shifted)
        self._idle_alarm = clock.create_alarm(self._timed_out)
        self._tx: deque[int] = deque()
        self._shifting: int | None = None
        self._ifls = 0b010010
        return self

    def reset(self) -> None:
        super().reset()
        self._shift_alarm.cancel()
        self._idle_alarm.cancel()
        self._tx.clear()
        self._shifting = None
        self._ifls = 0b010010

    @property
    def bit_ns(self) -> float:
        return 1e9 * 16 * self.baud_divider / self.rp2040.clk_peri

    @property
    def bits(self) -> int:
        """Of one character, start and stop bits included."""
        line = self._line_ctrl_register
        return 1 + self.word_length + (line >> 1 & 1) + 1 + (line >> 3 & 1)

    @property
    def flags(self) -> int:
        room = 32 if self.fifos_enabled else 1
        return (
            (_RXFF if self.rx_fifo.item_count >= room else 0)
            | (_RXFE if self.rx_fifo.empty else 0)
            | (_TXFE if not self._tx else 0)
            | (_TXFF if len(self._tx) >= room else 0)
            | (_BUSY if self._tx or self._shifting is not None else 0)
        )

    def check_interrupts(self) -> None:
        self.rp2040.set_interrupt(self.irq, bool(self._interrupt_status & self._interrupt_mask))

    def _level(self, shift: int) -> int:
        return _LEVELS[min(self._ifls >> shift & 7, 4)] if self.fifos_enabled else 1

    def receive(self, byte: int) -> None:
        if not self.enabled:
            return
        if self.rx_fifo.item_count >= (32 if self.fifos_enabled else 1):
            self.overruns += 1
            self._interrupt_status |= _OE
        else:
            self.rx_fifo.push(byte)
        if self.rx_fifo.item_count >= self._level(3):
            self._interrupt_status |= _RX
        self._idle_alarm.schedule(32 * self.bit_ns)
        self.check_interrupts()

    def _timed_out(self) -> None:
        if not self.rx_fifo.empty:
            self._interrupt_status |= _RT
            self.check_interrupts()

    def _begin(self) -> None:
        before = len(self._tx)
        self._shifting = self._tx.popleft()
        self._shift_alarm.schedule(self.bits * self.bit_ns)
        level = self._level(0) if self.fifos_enabled else 0
        if before > level >= len(self._tx):
            self._interrupt_status |= _TX
            self.check_interrupts()
        self.on_begin()

    def _shifted(self) -> None:
        byte, self._shifting = self._shifting, None
        self.on_end(byte)
        if self._tx:
            self._begin()

    def read_uint32(self, offset: int) -> int:
        if offset == _DR:
            value = self.rx_fifo.pull()
            if self.rx_fifo.item_count < self._level(3):
                self._interrupt_status &= ~_RX
            if self.rx_fifo.empty:
                self._interrupt_status &= ~_RT
            self.check_interrupts()
            return value
        if offset in (_IFLS, _DMACR):
            return self._ifls if offset == _IFLS else 0
        return super().read_uint32(offset)

    def write_uint32(self, offset: int, value: int) -> None:
        if offset == _DR:
            if len(self._tx) < (32 if self.fifos_enabled else 1):
                self._tx.append(value & 0xFF)
            if len(self._tx) > self._level(0):
                self._interrupt_status &= ~_TX
                self.check_interrupts()
            if self._shifting is None and self.enabled:
                self._begin()
        elif offset == _IFLS:
            self._ifls = value
        elif offset != _DMACR:
            super().write_uint32(offset, value)


class Flash(RPSSI):
    """Flash whose erasing and programming take time. After `operations_left` of them the power is gone."""

    def wire(self) -> None:
        self.erases = self.programs = 0
        self.seconds = 0.0
        self.operations_left: int | None = None
        self.on_work: Callable[[], None] = lambda: None

    def _apply_command(self) -> None:
        command = self._tx_buffer[0] if self._tx_buffer else 0
        works = self._write_enabled and len(self._tx_buffer) > 3 and (command == 0x02 or command in ERASE_S)
        if works and self.operations_left is not None:
            if self.operations_left <= 0:
                self._tx_buffer = bytearray()
                self.rp2040.simulator.stopped = True
                return
            self.operations_left -= 1
        super()._apply_command()
        if works:
            self.on_work()
            seconds = ERASE_S.get(command, PROGRAM_S)
            self.erases += command in ERASE_S
            self.programs += command == 0x02
            self.seconds += seconds
            self.rp2040.clock.tick(seconds * 1e9)  # the processor stands still, everything else goes on


class _Rosc(BasePeripheral):
    def read_uint32(self, offset: int) -> int:
        return random.getrandbits(1) if offset == 0x1C else 0xFFFFFFFF

    def write_uint32(self, offset: int, value: int) -> None:
        pass


class _Mailbox(BasePeripheral):
    text = b""
    _length = 0

    def write_uint32(self, offset: int, value: int) -> None:
        if offset == 4:
            self._length = value
        else:
            self.text += bytes([self.rp2040.read_uint8(value + i) for i in range(self._length)])


class Wire:
    """The other end of a UART: `on_byte(byte)` for every byte that arrives here, send(data) back.

    de: the pin that turns the device's RS-485 transceiver to sending. What the UART shifts out while it is
    low reaches nobody (`cut_off`); what arrives while it is high the device does not hear (`deaf`).
    """

    def __init__(self, number: int, baud: int, de: int | None = None) -> None:
        self.number = number
        self.baud = baud
        self.cut = False  # the cable is out
        self.cut_off = 0
        self.deaf = 0
        self.on_byte: Callable[[int], None] = lambda byte: None
        self._de = de
        self._queue: deque[int] = deque()
        self._driven = True

    def attach(self, pico: Pico) -> None:
        self._queue.clear()
        self._pico = pico
        self._uart = pico.mcu.uart[self.number]
        self._uart.on_begin = self._begin
        self._uart.on_end = self._end
        self._alarm = pico.mcu.clock.create_alarm(self._arrived)

    @property
    def byte_ns(self) -> float:
        return 10e9 / self.baud

    def _sending(self) -> bool:
        if self._de is None:
            return True
        pin = self._pico.mcu.gpio[self._de]
        return bool(pin.output_enable and pin.output_value)

    def _begin(self) -> None:
        self._driven = self._sending()

    def _end(self, byte: int) -> None:
        if abs(self._uart.baud_rate - self.baud) > 0.03 * self.baud:
            byte ^= 0xA5  # something, not what was sent
        if self.cut:
            return
        if self._driven and self._sending():
            self.on_byte(byte)
        else:
            self.cut_off += 1

    @property
    def busy(self) -> bool:
        """Bytes are on their way, in either direction."""
        return bool(self._queue or self._uart.flags & _BUSY)

    def send(self, data: bytes) -> int:
        if not self.cut:
            idle = not self._queue
            self._queue.extend(data)
            if idle:
                self._alarm.schedule(self.byte_ns)
        return len(data)

    def _arrived(self) -> None:
        byte = self._queue.popleft()
        if self._queue:
            self._alarm.schedule(self.byte_ns)
        if self.cut:
            return
        if self._de is not None and self._sending():
            self.deaf += 1
        else:
            self._uart.receive(byte)


class Instruments:
    """Modbus RTU instruments on one line, each with `count` floats in its holding registers from 0.

    answered: (unit, number of the answer from 1, seconds) of every request that was answered. The float at
    position i is 10000 * unit + 1000 * i + number, exact in 32 bits. disturbed: how often the flash was
    written between the first byte of a request and the last one of its answer.
    """

    def __init__(self, wire: Wire, units: tuple[int, ...], count: int, turnaround_s: float = 0.01) -> None:
        self.answered: list[tuple[int, int, float]] = []
        self.broken = 0
        self.disturbed = 0
        self._wire = wire
        self._units = units
        self._count = count
        self._turnaround_s = turnaround_s
        self._frame = bytearray()
        self._numbers = dict.fromkeys(units, 0)
        wire.on_byte = self._byte

    def attach(self, pico: Pico) -> None:
        self._pico = pico
        self._frame.clear()
        self._silence = pico.mcu.clock.create_alarm(self._end)
        self._answer = pico.mcu.clock.create_alarm(self._speak)
        self._out = b""
        pico.mcu.ssi.on_work = self._written

    def _written(self) -> None:
        self.disturbed += bool(self._frame or self._out or self._wire.busy)

    def _byte(self, byte: int) -> None:
        self._frame.append(byte)
        self._silence.schedule(max(1.75e6, 3.5 * self._wire.byte_ns))

    def _end(self) -> None:
        frame = bytes(self._frame)
        self._frame.clear()
        if len(frame) != 8 or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
            self.broken += 1
            return
        unit, function, address, count = struct.unpack(">BBHH", frame[:6])
        if unit not in self._units or function != 3 or address + count > 2 * self._count:
            return
        self._numbers[unit] += 1
        number = self._numbers[unit]
        self.answered.append((unit, number, self._pico.elapsed))
        values = struct.pack(
            f">{self._count}f", *[10000 * unit + 1000 * i + number for i in range(self._count)]
        )
        answer = bytes((unit, 3, 2 * count)) + values[2 * address :][: 2 * count]
        self._out = answer + crc16(answer).to_bytes(2, "little")
        self._answer.schedule(self._turnaround_s * 1e9)

    def _speak(self) -> None:
        self._wire.send(self._out)
        self._out = b""


_geometries: dict[Path, tuple[int, int, int]] = {}


def geometry(image: Path) -> tuple[int, int, int]:
    """(offset in flash, bytes of a block, blocks) of the file system that this image makes on empty flash."""
    if image not in _geometries:
        pico = Pico(image, None)
        found: list[tuple[int, int, int]] = []

        def look() -> bool:
            flash = bytes(pico.mcu.flash[:FLASH_BYTES])
            at = flash.find(b"littlefs\x2f\xe0\x00\x10")
            while at >= 0 and not found:
                if at % 4096 == 8:
                    found.append((at - 8, *struct.unpack_from("<II", flash, at + 16)))
                at = flash.find(b"littlefs\x2f\xe0\x00\x10", at + 1)
            return bool(found)

        while not look():
            pico.run(0.05)
            assert pico.elapsed < 10, (
                "this image made no littlefs: is it one of MicroPython for a board with an RP2040?"
            )
        _geometries[image] = found[0]
    return _geometries[image]


class Pico:
    """A board with this image and these files (path -> content) on its flash, powered on.

    wires: what is attached at every power-on. console: what the device prints is kept in `text`; that takes
    some of its time, so not while measuring.
    """

    def __init__(
        self, image: Path, files: dict[str, bytes] | None, wires: tuple = (), console: bool = False
    ) -> None:
        self._image = image
        self._wires = wires
        self._before_ns = 0.0
        self._until: Callable[[], bool] | None = None
        self._beats = 0
        self.resets = 0  # by the watchdog, asked for or not
        flash = bytearray(b"\xff" * FLASH_BYTES)
        if files is not None:
            if console:
                files = {**files, "boot.py": CONSOLE}
            offset, size, blocks = geometry(image)
            content = littlefs(files, size, blocks)
            flash[offset : offset + len(content)] = content
        self._power_on(flash)

    def _power_on(self, flash: bytes) -> None:
        self.mcu = mcu = RP2040()
        mcu.logger = ConsoleLogger(LogLevel.ERROR)
        mcu.clk_peri = 48_000_000  # where MicroPython takes its UARTs' clock from: the model knows one only
        self._simulator = Simulator(rp2040=mcu)
        mcu.load_bootrom(BOOTROM_B1)
        mcu.flash[:FLASH_BYTES] = bytes(flash)
        load_uf2(self._image, mcu)
        for number, at in enumerate(_UARTS):
            plain = mcu.uart[number]
            mcu.uart[number] = mcu.peripherals[at] = Uart(mcu, plain.name, plain.irq, plain.dreq).wire()
        mcu.ssi.__class__ = Flash  # it listens to the chip select: it has to stay the same object
        mcu.ssi.wire()
        mcu.peripherals[_ROSC] = _Rosc(mcu, "ROSC")
        self._mailbox = mcu.peripherals[_MAILBOX] = _Mailbox(mcu, "mailbox")
        self._pio = mcu.pio
        mcu.pio = []  # nobody uses them, and they would be asked after every instruction
        mcu.watchdog.on_watchdog_trigger = self._watchdog
        self._beat = mcu.clock.create_alarm(self._tick)
        self._beat.schedule(_BEAT_NS)
        self._end = mcu.clock.create_alarm(self._stop)
        for wire in self._wires:
            wire.attach(self)
        mcu.core.pc = FLASH_START_ADDRESS

    def _watchdog(self) -> None:
        self.resets += 1
        self.mcu.pio = self._pio
        self.mcu.enter_reset(from_watchdog=True)
        self.mcu.leave_reset()
        self.mcu.pio = []

    def power_cycle(self) -> None:
        """Off and on again: the flash stays, all else is new."""
        self._before_ns += self.mcu.clock.nanos
        self._power_on(bytes(self.mcu.flash[:FLASH_BYTES]))

    def hang(self, seconds: float) -> None:
        """The processor stands still, the rest of the chip (its watchdog) does not."""
        self.mcu.clock.tick(seconds * 1e9)

    @property
    def elapsed(self) -> float:
        """Emulated seconds since the first power-on."""
        return (self._before_ns + self.mcu.clock.nanos) / 1e9

    @property
    def text(self) -> str:
        return self._mailbox.text.decode(errors="replace")

    def _stop(self) -> None:
        self._simulator.stopped = True

    def _tick(self) -> None:
        self._beat.schedule(_BEAT_NS)
        self._beats += 1
        if self._until and self._beats % _LOOK_BEATS == 0 and self._until():
            self._simulator.stopped = True

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let so many emulated seconds pass, fewer once until() holds; whether it does (True without)."""
        began = time.process_time()
        end = self.elapsed + seconds
        self._until = until
        self._end.schedule(seconds * 1e9)
        self._simulator.stopped = False
        while not self._simulator.stopped:
            execute_batch(self._simulator, _TICKS_AT_ONCE)
            took = time.process_time() - began
            assert took < CPU_S, f"{took:.0f} s for {seconds - end + self.elapsed:.1f} s of emulated time"
        self._end.cancel()
        self._until = None
        return until is None or until()

    def share(self, seconds: float) -> float:
        """Of so many seconds from now, the part in which the processor executed instructions."""
        cycles, ns = self.mcu.core.cycles, self.mcu.clock.nanos
        self.run(seconds)
        return (self.mcu.core.cycles - cycles) / ((self.mcu.clock.nanos - ns) * HZ / 1e9)

    def files(self) -> dict[str, bytes]:
        """What is on its file system now."""
        offset, size, blocks = geometry(self._image)
        fs = LittleFS(block_size=size, block_count=blocks, mount=False)
        fs.context.buffer[:] = bytes(self.mcu.flash[offset : offset + size * blocks])
        fs.mount()
        found = {}
        for folder, _, names in fs.walk("/"):
            for name in names:
                path = f"{folder.rstrip('/')}/{name}"
                with fs.open(path, "rb") as file:
                    found[path[1:]] = file.read()
        return found


def littlefs(files: dict[str, bytes], size: int, blocks: int) -> bytes:
    fs = LittleFS(block_size=size, block_count=blocks, disk_version=DISK_VERSION)
    for path, data in files.items():
        if "/" in path:
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        with fs.open(path, "wb") as file:
            file.write(data)
    return bytes(fs.context.buffer)
