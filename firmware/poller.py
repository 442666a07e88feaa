# One bus: asks its instruments when they are due, and puts every poll's outcome into the store.
#
# Rule 1: a poll is due on the station's wall clock (schedule.py), and gives one record per value, whatever
#         happens: a number, or the reason why there is none. It is stamped when the answer arrives.
# Rule 2: LATE. After a failure a unit is left alone until twice the time-out has passed since its request;
#         other units go on meanwhile. An answer that comes within that time can therefore never be taken for
#         that of another request. What was heard at once may be noise, with the answer still to come.
# Rule 3: a unit gets its retries until its next poll is due, then the poll is given up. Of the units
#         that want the bus, the one that had it longest ago goes first: nobody waits for one unit twice.
# Rule 4: after DEAD_POLLS polls without any answer a unit is lost (an event) and gets one try at growing
#         distances, up to a minute. The polls between give their records without touching the bus, so a lost
#         unit costs the others at most one time-out a minute. A line that is too noisy to ask anybody on says
#         nothing about a unit.
# Rule 5: polls that the bus has no time for are counted as skipped; none is ever queued up.
# Rule 6: several entries of the configuration may poll one instrument, each at its own pace. Rest, loss and
#         statistics are the instrument's: they share them.
# Rule 7: somebody else's request (read) takes its turn between ours and follows the same rules. Units that
#         are not in the configuration rest together.

from firmware.bus import LineDown, NoReply
from firmware.schedule import Schedule
from firmware.values import judge
from protocol import messages, quality
from protocol._compat import const
from protocol.errors import BadReply, ExceptionReply, ProtocolError

_DEAD_POLLS = const(3)
_PROBE_MS = const(60000)  # station time between two tries of a lost unit, at most
_PROBE_TIMEOUTS = const(10)  # and at least so many of its time-outs in real time: a tenth of the line
_NAP_MS = const(200)  # the longest sleep: a step of the clock is noticed after it
_COLLECT_MS = const(30)  # a nap that is long enough to collect garbage in
_READ_NAP_MS = const(10)
_BUSY = (5, 6)  # exception codes that another try may cure
_NO_PATH = (10, 11)  # a Modbus gateway says that the unit behind it does not answer


class Counters:
    def __init__(self):
        self.polls = 0  # finished, with or without success
        self.timeouts = 0  # requests that nothing answered
        self.bad_replies = 0
        self.exceptions = 0


# One instrument.
class Unit:
    def __init__(self, number):
        self.number = number
        self.poll_ms = _PROBE_MS  # the shortest of its entries
        self.timeout_ms = 0  # the longest of them: how long an answer may take to come
        self.gap_ms = 0  # the longest of them
        self.counts = [0, 0, 0, 0, 0]  # requests, timeouts, bad replies, exceptions; ms of the last answer
        self.dead = 0  # polls in a row without any answer
        self.lost = False
        self.rest_from = 0  # real ticks from which ...
        self.rest_ms = 0  # ... it is to be left alone for so long
        self.probe_at = 0  # station ticks of the next try, while lost
        self.probe_from = 0


# The state of one entry between polls.
class Entry:
    def __init__(self, config, unit, now):
        self.config = config
        self.unit = unit
        self.schedule = Schedule(config.poll_ms, config.phase_ms, now)
        self.active = False  # a poll has begun and is not finished
        self.due_at = 0  # station ticks when it was due
        self.turn = 0  # when it was served last, in turns of its bus
        self.step = 0  # the request that comes next
        self.tries = 0  # left for it
        self.replies = {}  # read number -> registers
        self.stamps = {}  # read number -> Clock.stamp() of its arrival
        self.reason = quality.TIMEOUT  # of the last failure
        self.heard = False  # it answered something in this poll; None: it was never asked


class Poller:
    def __init__(self, board, clock, store, line, units, channels, counters):
        self.stopped = False
        self.line = line
        self._board = board
        self._clock = clock
        self._store = store
        self._channels = channels
        self._counters = counters
        self._epoch = clock.epoch
        self._turn = 0
        self._collected = 0  # polls when garbage was collected last
        self._question = None  # of read(): [unit number, pdu, timeout_ms], then also registers and error
        self._units = {}
        self._entries = []
        now = clock.now()
        for config in units:
            unit = self._units.setdefault(config.unit, Unit(config.unit))
            unit.poll_ms = min(unit.poll_ms, config.poll_ms)
            unit.timeout_ms = max(unit.timeout_ms, config.timeout_ms)
            unit.gap_ms = max(unit.gap_ms, config.gap_ms)
            self._entries.append(Entry(config, unit, now))
        self._others = Unit(0)

    @property
    def skipped(self):
        return sum([entry.schedule.skipped for entry in self._entries])

    # Of every instrument: bus, unit, requests, timeouts, bad replies, exceptions, ms of the last answer, lost
    def status(self):
        made = []
        for number in sorted(self._units):
            unit = self._units[number]
            made.append([self.line.id, number] + unit.counts + [1 if unit.lost else 0])  # noqa: RUF005 (small)
        return made

    # One request of somebody else: the registers, or NoReply, BadReply, ExceptionReply, LineDown.
    async def read(self, number, pdu, timeout_ms):
        question = [number, pdu, timeout_ms]
        while self._question is not None:
            await self._board.sleep_ms(_READ_NAP_MS)
        self._question = question
        while len(question) == 3:
            if self.stopped:
                raise LineDown(f"bus {self.line.id} has been stopped")
            await self._board.sleep_ms(_READ_NAP_MS)
        if question[4]:
            raise question[4]
        return question[3]

    # alive: called at every turn, so at the latest after the longest time-out.
    async def run(self, alive=None):
        while not self.stopped:
            if alive:
                alive()
            question = self._question
            if question is not None:
                unit = self._units.get(question[0], self._others)
                if self._rested(unit):
                    number, pdu, timeout_ms = question
                    question.extend(await self._ask(unit, number, pdu, timeout_ms, unit.gap_ms))
                    self._question = None
            entry = self._choose()
            if entry is None:
                await self._nap()
            elif self._begin(entry):
                await self._request(entry)
            else:
                await self._board.sleep_ms(0)
        self.line.close()

    # The entry to serve now: a poll that goes on, or one that is due.
    def _choose(self):
        now = self._clock.now()
        if self._epoch != self._clock.epoch:
            self._epoch = self._clock.epoch
            for entry in self._entries:
                entry.schedule.restart(now)
        best = None
        for entry in self._entries:
            due = now >= entry.schedule.next
            if entry.active and due:
                self._finish(entry)
            wants = (entry.active or due) and self._rested(entry.unit)
            if wants and (best is None or entry.turn < best.turn):
                best = entry
        if best is not None:
            self._turn += 1
            best.turn = self._turn
        return best

    def _rested(self, unit):
        rested_ms = self._board.ticks_diff(self._board.ticks_ms(), unit.rest_from)
        if not 0 <= rested_ms < unit.rest_ms:  # below zero: six days without a request
            unit.rest_ms = 0
        return not unit.rest_ms

    # Whether the bus is needed for it.
    def _begin(self, entry):
        if entry.active:
            return True
        board, unit, now = self._board, entry.unit, self._clock.now()
        entry.due_at = self._clock.ticks() - (now - entry.schedule.take(now))
        entry.active = True
        entry.step = 0
        entry.replies = {}
        entry.stamps = {}
        entry.tries = entry.config.retries + 1
        entry.heard = None
        if not unit.lost:
            entry.reason = quality.TIMEOUT
            return True
        real_ms = board.ticks_diff(board.ticks_ms(), unit.probe_from)
        if entry.due_at < unit.probe_at or 0 <= real_ms < _PROBE_TIMEOUTS * entry.config.timeout_ms:
            self._store_poll(entry)
            return False
        entry.tries = 1
        return True

    # One request, counted, and the unit's rest after it: (registers, None) or (None, why not).
    async def _ask(self, unit, number, pdu, timeout_ms, rest_ms):
        counts = unit.counts
        counts[0] += 1
        failed = None
        words = None
        try:
            words = await self.line.transact(number, pdu, timeout_ms)
        except ProtocolError as error:
            failed = error
        if failed is None:
            counts[4] = self.line.response_ms
        elif isinstance(failed, LineDown):
            return None, failed  # says nothing about the unit, and cost no time on the bus
        else:
            rest_ms = max(rest_ms, timeout_ms, unit.timeout_ms)
            if isinstance(failed, NoReply):
                counts[1] += 1
                self._counters.timeouts += 1
            elif isinstance(failed, ExceptionReply):
                counts[3] += 1
                self._counters.exceptions += 1
            else:
                counts[2] += 1
                self._counters.bad_replies += 1
                rest_ms = max(rest_ms, 2 * timeout_ms, 2 * unit.timeout_ms)
        unit.rest_ms = rest_ms
        unit.rest_from = self._board.ticks_ms()
        return words, failed

    async def _request(self, entry):
        config, unit = entry.config, entry.unit
        pdu, wait_ms = config.requests[entry.step]
        rest_ms = max(wait_ms, config.gap_ms)
        words, failed = await self._ask(unit, config.unit, pdu, config.timeout_ms, rest_ms)
        if failed is None:
            entry.heard = True
            read = entry.step - config.starts
            if read >= 0:
                entry.replies[read] = words
                entry.stamps[read] = self._clock.stamp()
            entry.step += 1
            entry.tries = config.retries + 1
            if entry.step == len(config.requests):
                self._finish(entry)
            return
        entry.tries -= 1
        entry.reason = quality.TIMEOUT
        if entry.heard is None and self.line.asked:
            entry.heard = False
        if isinstance(failed, LineDown):
            self._store_poll(entry)
            return
        if isinstance(failed, ExceptionReply):
            if failed.code not in _NO_PATH:
                entry.heard = True
                entry.reason = quality.BAD_REPLY
            if failed.code not in _BUSY:
                entry.tries = 0
        elif isinstance(failed, BadReply):
            entry.reason = quality.BAD_REPLY
        if entry.tries <= 0:
            self._finish(entry)

    # The poll is over, complete or given up.
    def _finish(self, entry):
        unit = entry.unit
        if entry.heard:
            unit.dead = 0
        elif entry.heard is False:
            unit.dead += 1
            if unit.dead >= _DEAD_POLLS:
                wait_ms = max(unit.poll_ms, _PROBE_TIMEOUTS * entry.config.timeout_ms)
                wait_ms <<= min(unit.dead - _DEAD_POLLS, 20)
                unit.probe_at = entry.due_at + min(_PROBE_MS, wait_ms)
                unit.probe_from = self._board.ticks_ms()
        lost = unit.dead >= _DEAD_POLLS
        if lost != unit.lost:
            unit.lost = lost
            self._store.event(messages.UNIT, f"{self.line.id}/{unit.number} {'lost' if lost else 'back'}")
        self._store_poll(entry)

    def _store_poll(self, entry):
        entry.active = False
        self._counters.polls += 1
        missing = self._clock.stamp()
        for value in entry.config.values:
            raw_bits, why = judge(value, entry.config.statuses, entry.replies, entry.reason)
            stamp = entry.stamps.get(value.read, missing)
            self._store.put(value.channel, stamp, raw_bits, why, self._channels[value.channel].calibration)

    # Sleep until something may be due.
    async def _nap(self):
        board = self._board
        now = self._clock.now()
        nap_ms = _READ_NAP_MS if self._question is not None else _NAP_MS
        for entry in self._entries:
            unit = entry.unit
            wait_ms = 1
            if unit.rest_ms:
                wait_ms = max(wait_ms, unit.rest_ms - board.ticks_diff(board.ticks_ms(), unit.rest_from))
            if not entry.active and entry.schedule.next > now:
                wait_ms = max(wait_ms, board.real_ms(entry.schedule.next - now))
            nap_ms = min(nap_ms, wait_ms)
        if nap_ms >= _COLLECT_MS and self._collected != self._counters.polls:
            self._collected = self._counters.polls
            began = board.ticks_ms()
            board.idle()
            nap_ms = max(1, nap_ms - board.ticks_diff(board.ticks_ms(), began))
        await board.sleep_ms(nap_ms)
