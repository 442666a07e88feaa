"""Requests on a bus and who answered them. Nothing here can write to an instrument.

Rule 1: the only requests there are, are reads (functions 1 to 4) of at least one register. A register that
        some instrument takes as a start command when it is read is never read.
Rule 2: an answer belongs to the unit that it names, whenever it comes. Only the settings have to be the same:
        before they change, the line is listened to until it has been silent for a while.
Rule 3: damaged answers are counted, never thrown away: faults.py tells the wiring's fault from their numbers.
        They count against a unit only when it was asked in patience, on a silent line: in a quick sweep the
        next request may have run over a slow answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol import modbus
from protocol.modbus import EXCEPTION_LENGTH
from protocol.modbus_requests import TABLES, read_pdu
from protocol.profile import Profile
from tools.station.scan.frames import Answer, Frames
from tools.station.scan.settings import Setting
from tools.station.scan.wire import Wire

PIECES_S = 0.02  # bytes of one answer come at most so far apart, beyond 3.5 characters: USB hands over late
DAMAGED_BYTES = EXCEPTION_LENGTH - 1  # fewer are no answer, damaged or not
LINGER_S = 0.06  # silence before the settings change: slower answers are those of patience


class Read(NamedTuple):
    """A read of `size` registers or bits from `register` on."""

    table: str
    register: int
    size: int

    @property
    def pdu(self) -> bytes:
        return read_pdu(TABLES[self.table], self.register, self.size)


class Spot(NamedTuple):
    """A unit at some settings."""

    setting: Setting
    unit: int


@dataclass
class Tally:
    """What became of the requests to one spot. `damaged`: of those that were made in patience (rule 3)."""

    asked: int = 0
    clean: int = 0
    damaged: int = 0
    slowest_s: float = 0.0


@dataclass
class Heard:
    """What the line did at one setting. `rubbish`: of the first questions, those that only noise followed."""

    probes: int = 0
    firsts: int = 0  # not in patience
    rubbish: int = 0
    echoes: int = 0
    units: list[int] = field(default_factory=list)


class Outcome(NamedTuple):
    """Of one request: the unit's own answer if it came, and how many bytes of noise did."""

    answer: Answer | None
    noise: int


class Forbidden(Exception):
    """A read that would be a start command to some instrument: refused before it is sent."""


class Talk:
    """Asks on a wire, and keeps count. `tallies` by spot, `heard` by setting."""

    def __init__(self, wire: Wire, profiles: list[Profile]) -> None:
        self.wire = wire
        self.tallies: dict[Spot, Tally] = {}
        self.heard: dict[Setting, Heard] = {}
        self.strangers: set[int] = set()  # units that answered nobody's question
        self.requests = 0
        self._starts = {
            (start.function, start.register)
            for profile in profiles
            for start in profile.starts
            if start.function in TABLES.values()
        }
        self._frames = Frames()
        self._asked_s: dict[int, float] = {}
        self._last_s = 0.0  # of the last byte that came

    def set(self, setting: Setting) -> None:
        """Change the line's settings, after late answers have been waited for."""
        if setting == self.wire.setting:
            return
        if self.wire.setting is not None and self.heard[self.wire.setting].probes:
            self.listen(LINGER_S)
        self.wire.set(setting)
        self.heard.setdefault(setting, Heard())
        self._frames = Frames()
        self._asked_s = {}
        self.hear_out()

    def hear_out(self) -> None:
        """Drop what the change of settings itself may have left in the port."""
        self.wire.receive(time.monotonic())

    def listen(self, seconds: float) -> int:
        """Credit what comes while nothing is asked; the bytes of noise."""
        end_s = time.monotonic() + seconds
        noise = 0
        while data := self.wire.receive(end_s):
            noise += self._take(data)
            end_s = max(end_s, time.monotonic() + self._quiet_s)
            if noise > 4096:
                break
        self.wire.waited_s += seconds
        return noise + self._frames.rest()

    def allowed(self, read: Read) -> bool:
        """Whether no instrument takes this read as a command."""
        function = TABLES[read.table]
        touched = range(read.register, read.register + read.size)
        return read.size > 0 and not any(f == function and r in touched for f, r in self._starts)

    def ask(self, unit: int, read: Read, wait_s: float, patient: bool = False) -> Outcome:
        """Ask and wait: `wait_s` for the first byte after the request's last, then as long as bytes come.

        `patient`: the line is silent, so a damaged answer is the line's fault and counts.
        """
        if not self.allowed(read):
            raise Forbidden(read)
        request = modbus.rtu(unit, read.pdu)
        setting = self._setting
        heard, tally = self.heard[setting], self.tallies.setdefault(Spot(setting, unit), Tally())
        clean, echoes = tally.clean, self._frames.echoes
        heard.probes += 1
        heard.firsts += not patient
        tally.asked += 1
        self.requests += 1
        self._keep_silence(setting)
        self._frames.sent(request)
        self.wire.send(request)
        sent_s = time.monotonic() + len(request) * setting.char_s
        self._asked_s[unit] = sent_s
        answer, noise = self._await(unit, sent_s + wait_s, read, patient)
        if answer is None:
            self.wire.waited_s += wait_s
        heard.echoes += self._frames.echoes > echoes
        if noise and tally.clean == clean:
            tally.damaged += patient and noise >= DAMAGED_BYTES
            heard.rubbish += not patient
        return Outcome(answer, noise)

    def _keep_silence(self, setting: Setting) -> None:
        """A frame begins 3.5 characters after the one before."""
        left_s = self._last_s + setting.silence_s - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)

    def _await(self, unit: int, end_s: float, read: Read, patient: bool) -> tuple[Answer | None, int]:
        noise, whole = 0, _answer_bytes(read)
        while True:
            data = self.wire.receive(end_s)
            if not data:
                return None, noise + self._frames.rest()
            self._last_s = time.monotonic()
            answers, more = self._frames.feed(data)
            noise += more
            for answer in answers:
                self._credit(answer)
            mine = [a for a in answers if a.unit == unit and _fits(a, read)]
            if mine:
                return mine[-1], noise
            if self._frames.held:  # an answer, or noise, that may go on
                quiet_s = time.monotonic() + self._quiet_s
                damaged = patient and len(self._frames.held) >= whole
                end_s = quiet_s if damaged else max(end_s, quiet_s)
            if noise > 4096:  # somebody talks without end
                return None, noise

    def _take(self, data: bytes) -> int:
        answers, noise = self._frames.feed(data)
        for answer in answers:
            self._credit(answer)
        return noise

    def _credit(self, answer: Answer) -> None:
        setting = self._setting
        tally = self.tallies.get(Spot(setting, answer.unit))
        if tally is None or answer.unit not in self._asked_s:
            self.strangers.add(answer.unit)
            return
        tally.clean += 1
        tally.slowest_s = max(tally.slowest_s, time.monotonic() - self._asked_s[answer.unit])
        if answer.unit not in self.heard[setting].units:
            self.heard[setting].units.append(answer.unit)

    @property
    def _setting(self) -> Setting:
        assert self.wire.setting is not None, "settings are made before anything is asked"
        return self.wire.setting

    @property
    def _quiet_s(self) -> float:
        return self._setting.silence_s + self._setting.char_s + PIECES_S


def _fits(answer: Answer, read: Read) -> bool:
    if answer.function != TABLES[read.table]:
        return False
    if answer.exception is not None:
        return True
    return len(answer.data) == _answer_bytes(read) - EXCEPTION_LENGTH


def _answer_bytes(read: Read) -> int:
    return modbus.rtu_reply_length(read.pdu)
