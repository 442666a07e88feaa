"""One station device, from bytes on its link to journal entries. No I/O and no clock: links.py brings bytes
and times.

    bytes -> frames (CRC) -> authentic messages (tag) -> records in order (session) -> windows, entries,
    answers

Rule 1: nothing of a frame is used before its tag was checked, and nothing is journaled but what the session
        accepts.
Rule 2: a frame is journaled exactly as it was authenticated.
Rule 3: an acknowledgement names what is on disk, never what was merely taken: committed() comes from the
        journal.
Rule 4: whatever arrives is counted under exactly one name (gateway/counters.py) and never ends the link.
Rule 5: what the session has accepted is journaled, whatever happens to it on the way to its window: a
        record that is left out would be acknowledged together with the next one.
Rule 6: what a device shows ahead of its backlog (NOW) is for people who look: no entry, no window, no count
        of readings, no answer.
Rule 7: records of a device that did not know the time are placed by its first greeting, or by what it says
        afterwards (CLOCK_SET). Those that are in the journal by then are placed from there (replay.py): an
        event "untold" stands before the first of a boot, an event "placed" says where the boot's ticks lie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.counters import LinkCounters
from gateway.ingest import calibrations, tables
from gateway.journal.kinds import CALIBRATION, COMMAND, EVENT, FRAME, HELLO
from gateway.lane import BACK_MS, FUTURE_MS, Lane
from gateway.logs import get_logger
from protocol import cbor, framing
from protocol import gateway_session as session
from protocol.cose import Mac0, kid_of
from protocol.errors import AuthError, CodecError
from protocol.messages import (
    CLOCK_SET,
    START,
    Command,
    Event,
    Hello,
    Readings,
    Result,
    Summary,
    decode,
    encode,
)

log = get_logger("device")

TIME_MAX_MS = (1 << 53) - 1
"""As in messages.cddl, which leaves open what stands in the detail of an event."""


class Moment(NamedTuple):
    """When something happened, on the gateway's clocks. Read once for a whole piece of input."""

    now_ms: int  # station time
    mono_ns: int
    trusted: bool = True  # whether devices may believe now_ms

    @property
    def mono_s(self) -> float:
        return self.mono_ns / 1e9


class Stream:
    """One connection's bytes: what is half-way, and how many authentic frames it has brought."""

    __slots__ = ("authentic", "decoder")

    def __init__(self) -> None:
        self.decoder = framing.Decoder()
        self.authentic = 0


class DeviceIngest:
    """Lives as long as the process, whatever links come and go, each with a Stream of its own.

    `source` is the journal's number of this device, `position` what it holds of it.
    """

    def __init__(
        self,
        device: str,
        key: bytes,
        source: int,
        position: tuple[int, int],
        lane: Lane,
        counters: LinkCounters,
        calibrated: calibrations.Held | None = None,
    ):
        self.device = device
        self.session = session.GatewaySession(device, *position)
        self.counters = counters
        self.lane = lane
        self.calibrated: calibrations.Held = calibrated or {}
        self.urgent = False  # an event or a greeting has come since this was last looked at: nobody waits
        self.answer_due = False  # an acknowledgement is due, whether or not something new was committed
        self.on_result: Callable[[Result], None] = lambda result: None  # whoever commands listens
        self.on_event: Callable[[Event], None] = lambda event: None  # whoever waits for one
        self.send: Callable[[bytes], bool] | None = None  # over the live link: whether it takes the bytes
        self._source = source
        self._mac = Mac0(device, key)
        self._stream = Stream()

    def feed(self, data: bytes, moment: Moment, stream: Stream | None = None) -> tuple[list[tuple], bytes]:
        """Bytes as they came -> (entries to be journaled in this order, bytes to be sent back at once).

        `stream` is the connection they came on; without one there is only one.
        """
        stream = stream or self._stream
        decoder = stream.decoder
        noise, noise_bytes = decoder.noise, decoder.noise_bytes
        entries: list[tuple] = []
        answer = b""
        now_ms, mono_ns, _ = moment
        mono_ms, mono_s = mono_ns // 1_000_000, mono_ns / 1e9
        unseal, receive, add, source = self._mac.open, self.session.receive, self.lane.add, self._source
        counters = self.counters
        bodies = decoder.feed(data)
        for body in bodies:
            try:
                message = decode(unseal(body))
            except AuthError:
                self._count_stranger(body)
                continue
            except CodecError:
                counters.undecodable += 1
                continue
            stream.authentic += 1
            verdict = receive(message)
            if verdict is session.ACCEPT:
                if type(message) is Readings:
                    boot, first_seq, _, _, rows = message
                    try:
                        first_ms, last_ms = add(message, now_ms, mono_s)
                    except Exception:  # rule 5: ours to mend, and no reason to lose the record
                        first_ms = last_ms = None
                        self._not_averaged()
                    last_seq = first_seq + len(rows) - 1
                    counters.readings += len(rows)
                    if first_ms is None:
                        self._not_placed(message, moment, entries)
                    entries.append(
                        (FRAME, source, boot, first_seq, last_seq, now_ms, mono_ms, first_ms, last_ms, body)
                    )
                else:
                    if type(message) is Event:
                        self.urgent = True
                        self.on_event(message)
                    boot, first_seq, last_seq, first_ms, last_ms = self._record(message, moment, entries)
                    entries.append(
                        (FRAME, source, boot, first_seq, last_seq, now_ms, mono_ms, first_ms, last_ms, body)
                    )
                    if type(message) is Event and message.kind == CLOCK_SET:
                        entries += self._clock_set(message, moment)
                    elif type(message) is Event and message.kind == START:
                        entries += self._started(message, moment)
            else:
                self.urgent = True
                answer += self._other(verdict, message, body, moment, entries)
        counters.bytes += len(data)
        counters.frames += len(bodies)
        counters.noise += decoder.noise - noise
        counters.noise_bytes += decoder.noise_bytes - noise_bytes
        counters.unrouted = self.lane.unrouted
        return entries, answer

    def _record(self, message: Any, moment: Moment, entries: list[tuple]) -> tuple:
        """(boot, first and last sequence, first and last ms) of an accepted record other than READINGS."""
        if type(message) is not Summary:
            time_ms = message.time_ms if type(message) is Event and message.clock else None
            return message.boot, message.seq, message.seq, time_ms, time_ms
        boot, first_seq, _, _, _, rows = message
        try:
            first_ms, last_ms = self.lane.add_summary(message, moment.now_ms, moment.mono_s)
        except Exception:  # rule 5
            first_ms = last_ms = None
            self._not_averaged()
        self.counters.summaries += len(rows)
        self.counters.readings += sum([row[4] for row in rows])
        if first_ms is None:
            self._not_placed(message, moment, entries)
        return boot, first_seq, first_seq + len(rows) - 1, first_ms, last_ms

    def _not_placed(self, message: Readings | Summary, moment: Moment, entries: list[tuple]) -> None:
        """Rule 7: say in the journal where the records begin that may be placed later."""
        boot, lane = message.boot, self.lane
        if message.clock == 0 and boot not in lane.placements and boot not in lane.untold:
            lane.untold.add(boot)
            entries.append(self.entry(moment, "untold", boot))

    def _clock_set(self, event: Event, moment: Moment) -> list[tuple]:
        """Where a boot lies in time, by the device's own word: for a boot that no greeting has placed.

        A time that no reading could have is not believed: it would place the boot wrongly for good.
        """
        lane, detail = self.lane, event.detail
        if not isinstance(detail, (list, tuple)) or [type(item) for item in detail] != [int, int]:
            return []
        ticks_ms, time_ms = detail
        if not (0 <= ticks_ms <= TIME_MAX_MS and 0 <= time_ms <= TIME_MAX_MS):
            return []
        credible = moment.now_ms - BACK_MS <= time_ms <= moment.now_ms + FUTURE_MS or not moment.trusted
        if event.boot in lane.placements or not credible or not lane.place(event.boot, time_ms - ticks_ms):
            return []
        return [self.entry(moment, "placed", event.boot, time_ms - ticks_ms)]

    def _started(self, event: Event, moment: Moment) -> list[tuple]:
        """Which configuration a boot had that never greeted."""
        config_hash = tables.named(event)
        if config_hash is None or event.boot in self.lane.tables:
            return []
        tables.recall(self.lane, event.boot, config_hash)
        return [self.entry(moment, "table", event.boot, config_hash)]

    def _not_averaged(self) -> None:
        """A record that our arithmetic tripped over: it is journaled, and no window has it."""
        self.counters.not_averaged += 1
        if self.counters.not_averaged == 1:
            log.exception("a record could not be averaged: it is in the journal", device=self.device)

    def _count_stranger(self, body: bytes) -> None:
        kid = kid_of(body)
        if kid is not None and kid != self.device:
            self.counters.wrong_device += 1
        else:
            self.counters.bad_tag += 1

    def _other(self, verdict: str, message: Any, body: bytes, moment: Moment, entries: list[tuple]) -> bytes:
        """Everything but a record that is accepted. Returns what to send back at once."""
        counters = self.counters
        if verdict == session.GREET:
            counters.hellos += 1
            entries += self._greeting(message, body, moment)
            return self._frame(self.session.welcome(moment.now_ms, moment.trusted))
        if verdict == session.REPEAT:
            counters.repeats += 1
            self.answer_due = True
        elif verdict == session.GAP:
            counters.gaps += 1
            self.answer_due = True
        elif verdict == session.STALE:
            counters.stale += 1
            told = type(message) is Hello and self.session.ahead(message, moment.now_ms, moment.trusted)
            return self._frame(told) if told else b""
        elif verdict == session.SHOW:
            counters.shown += 1
            self._show(message, moment)
        elif verdict == session.ANSWER:
            counters.results += 1
            self.on_result(message)
        else:
            counters.refused += 1
        return b""

    def _show(self, now: Any, moment: Moment) -> None:
        assert self.session.hello is not None  # or it would be stale
        try:
            self.lane.show(now, self.session.hello.boot, moment.now_ms)
        except Exception:  # nothing that people look at may end a link
            self._not_averaged()

    def _greeting(self, hello: Hello, body: bytes, moment: Moment) -> list[tuple]:
        """What is new in a HELLO, as entries: a channel table, a boot's place in time, records that are
        lost.
        """
        entries = []
        table = [tuple(row) for row in hello.channels]
        if self.lane.tables.get(hello.boot) != table:
            tables.greeted(self.lane, hello)
            entries.append(self._entry(HELLO, body, moment))
            brought = calibrations.told(self.calibrated, hello, moment.now_ms)
            entries += [self._entry(CALIBRATION, data, moment) for data in brought]
        offset_ms = moment.now_ms - hello.ticks_ms
        if hello.clock == 0 and moment.trusted and self.lane.place(hello.boot, offset_ms):
            entries.append(self.entry(moment, "placed", hello.boot, offset_ms))
        lost = self.session.skipped - self.counters.skipped
        if lost:
            self.counters.skipped += lost
            entries.append(self.entry(moment, "skipped", hello.store_boot, hello.store_seq, lost))
        return entries

    def located(self, moment: Moment, boot: int, first: int, last: int, times: list[int]) -> tuple:
        """The entry by which journal entries first..last of a boot are in the windows (replay.py, rule 3)."""
        entry = self.entry(moment, "located", boot, first, last)
        return (*entry[:7], min(times), max(times), entry[9]) if times else entry

    def entry(self, moment: Moment, name: str, *details: object) -> tuple:
        """An event about this device, to be journaled: [name, device, ...]."""
        return self._entry(EVENT, cbor.dumps([name, self.device, *details]), moment)

    def commanded(self, moment: Moment, name: str, *details: object) -> tuple:
        """A command to this device, or its result, to be journaled: as entry()."""
        return self._entry(COMMAND, cbor.dumps([name, self.device, *details]), moment)

    def _entry(self, kind: int, body: bytes, moment: Moment) -> tuple:
        return (kind, self._source, 0, 0, 0, moment.now_ms, moment.mono_ns // 1_000_000, None, None, body)

    # Answers ------------------------------------------------------------------------------------------------

    def committed(self, entries: list[tuple]) -> None:
        """These entries of feed() are on disk."""
        for entry in reversed(entries):
            if entry[0] == FRAME:
                self.session.committed(entry[2], entry[4])
                self.answer_due = True
                break
        self.counters.journaled += len(entries)

    def acknowledgement(self, moment: Moment, pause_ms: int) -> bytes:
        """A frame that acknowledges all that is on disk; b"" when none is due."""
        if not self.answer_due or self.session.hello is None:
            return b""
        self.answer_due = False
        self.counters.acks += 1
        return self._frame(self.session.ack(moment.now_ms, moment.trusted, pause_ms))

    def command(self, command: Command) -> bytes:
        """A command as a frame. CodecError for what a command cannot carry."""
        return self._frame(command)

    def _frame(self, message: Any) -> bytes:
        return framing.encode(self._mac.seal(encode(message)))
