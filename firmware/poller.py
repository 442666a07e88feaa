# One bus: asks its instruments when they are due, and puts every poll's outcome into the store.
#
# Rule 1: a poll is due on the station's wall clock (schedule.py), and gives one record per value, whatever
#         happens: a number, or the reason why there is none. It is stamped when the answer arrives.
# Rule 2: LATE. After any failure a unit is left alone for another time-out; other units go on meanwhile. An
#         answer that comes within twice the time-out of its request can therefore never be taken for that of
#         another one.
# Rule 3: a unit gets its retries until its next poll is due, then the poll is given up. Of the units
#         that want the bus, the one that had it longest ago goes first.
# Rule 4: after DEAD_POLLS polls without any answer a unit gets one try at growing distances. The polls
#         between give their records without touching the bus, so a dead unit costs the others at most one
#         time-out a minute.
# Rule 5: polls that the bus has no time for are counted as skipped; none is ever queued up.

from firmware.bus import LineDown, NoReply
from firmware.schedule import Schedule
from firmware.values import judge
from protocol import quality
from protocol.errors import BadReply, ExceptionReply

DEAD_POLLS = 3
PROBE_MS = 60000  # station time between two tries of a dead unit, at most
PROBE_TIMEOUTS = 10  # and at least so many of its time-outs in real time: a tenth of the line
NAP_MS = 200  # the longest sleep: a step of the clock is noticed after it
COLLECT_MS = 30  # a nap that is long enough to collect garbage in
BUSY = (5, 6)  # exception codes that another try may cure
NO_PATH = (10, 11)  # a Modbus gateway says that the unit behind it does not answer


class Counters:
    def __init__(self):
        self.polls = 0  # finished, with or without success
        self.timeouts = 0  # requests that nothing answered
        self.bad_replies = 0
        self.exceptions = 0


# The state of one instrument between polls.
class Unit:
    def __init__(self, config, now):
        self.config = config
        self.schedule = Schedule(config.poll_ms, config.phase_ms, now)
        self.active = False  # a poll has begun and is not finished
        self.turn = 0  # when it was served last, in turns of its bus
        self.step = 0  # the request that comes next
        self.tries = 0  # left for it
        self.replies = {}  # read number -> registers
        self.stamps = {}  # read number -> Clock.stamp() of its arrival
        self.reason = quality.TIMEOUT  # of the last failure
        self.heard = False  # it answered something in this poll
        self.dead = 0  # polls in a row without any answer
        self.rest_from = 0  # real ticks from which ...
        self.rest_ms = 0  # ... the unit is to be left alone for so long
        self.probe_at = 0  # station ticks of the next try, while dead
        self.probe_from = 0


class Poller:
    def __init__(self, board, clock, store, line, units, channels, counters):
        self.stopped = False
        self._board = board
        self._clock = clock
        self._store = store
        self._line = line
        self._channels = channels
        self._counters = counters
        self._epoch = clock.epoch
        self._turn = 0
        self._collected = 0  # polls when garbage was collected last
        now = clock.now()
        self._units = [Unit(config, now) for config in units]

    @property
    def skipped(self):
        return sum([unit.schedule.skipped for unit in self._units])

    async def run(self):
        while not self.stopped:
            unit = self._choose()
            if unit is None:
                await self._nap()
            elif self._begin(unit):
                await self._request(unit)
            else:
                await self._board.sleep_ms(0)
        self._line.close()

    # The unit to serve now: a poll that goes on, or one that is due.
    def _choose(self):
        now = self._clock.now()
        if self._epoch != self._clock.epoch:
            self._epoch = self._clock.epoch
            for unit in self._units:
                unit.schedule.restart(now)
        best = None
        for unit in self._units:
            due = unit.schedule.due(now)
            if unit.active and due:
                self._finish(unit)
            if (unit.active or due) and self._rested(unit) and (best is None or unit.turn < best.turn):
                best = unit
        if best is not None:
            self._turn += 1
            best.turn = self._turn
        return best

    def _rested(self, unit):
        if unit.rest_ms and self._board.ticks_diff(self._board.ticks_ms(), unit.rest_from) >= unit.rest_ms:
            unit.rest_ms = 0
        return not unit.rest_ms

    def _rest(self, unit, rest_ms):
        unit.rest_ms = rest_ms
        unit.rest_from = self._board.ticks_ms()

    # Whether the bus is needed for it.
    def _begin(self, unit):
        if unit.active:
            return True
        unit.schedule.take(self._clock.now())
        unit.active = True
        unit.step = 0
        unit.replies = {}
        unit.stamps = {}
        unit.tries = unit.config.retries + 1
        unit.heard = False
        if unit.dead < DEAD_POLLS:
            unit.reason = quality.TIMEOUT
            return True
        board = self._board
        real_ms = board.ticks_diff(board.ticks_ms(), unit.probe_from)
        if self._clock.ticks() < unit.probe_at or real_ms < PROBE_TIMEOUTS * unit.config.timeout_ms:
            self._store_poll(unit)
            return False
        unit.tries = 1
        return True

    async def _request(self, unit):
        config = unit.config
        pdu, wait_ms = config.requests[unit.step]
        try:
            words = await self._line.transact(config.unit, pdu, config.timeout_ms)
        except NoReply:
            self._counters.timeouts += 1
            self._failed(unit, quality.TIMEOUT, True)
        except BadReply:
            self._counters.bad_replies += 1
            self._failed(unit, quality.BAD_REPLY, True)
        except ExceptionReply as error:
            self._counters.exceptions += 1
            unit.heard = error.code not in NO_PATH
            reason = quality.TIMEOUT if error.code in NO_PATH else quality.BAD_REPLY
            self._failed(unit, reason, error.code in BUSY)
        except LineDown:
            unit.reason = quality.TIMEOUT
            self._store_poll(unit)  # says nothing about the unit, and cost no time on the bus
        else:
            self._answered(unit, words, max(wait_ms, config.gap_ms))

    def _answered(self, unit, words, rest_ms):
        unit.heard = True
        read = unit.step - unit.config.starts
        if read >= 0:
            unit.replies[read] = words
            unit.stamps[read] = self._clock.stamp()
        unit.step += 1
        unit.tries = unit.config.retries + 1
        self._rest(unit, rest_ms)
        if unit.step == len(unit.config.requests):
            self._finish(unit)

    def _failed(self, unit, reason, again):
        unit.reason = reason
        unit.tries -= 1
        self._rest(unit, max(unit.config.timeout_ms, unit.config.gap_ms))
        if unit.tries <= 0 or not again:
            self._finish(unit)

    # The poll is over, complete or given up.
    def _finish(self, unit):
        if unit.heard:
            unit.dead = 0
        else:
            unit.dead += 1
            if unit.dead >= DEAD_POLLS:
                poll_ms = unit.config.poll_ms
                wait_ms = min(PROBE_MS, poll_ms << min(unit.dead - DEAD_POLLS + 1, 20))
                unit.probe_at = self._clock.ticks() + wait_ms - poll_ms // 2  # the poll nearest to it
                unit.probe_from = self._board.ticks_ms()
        self._store_poll(unit)

    def _store_poll(self, unit):
        unit.active = False
        self._counters.polls += 1
        missing = self._clock.stamp()
        for value in unit.config.values:
            raw_bits, why = judge(value, unit.config.statuses, unit.replies, unit.reason)
            stamp = unit.stamps.get(value.read, missing)
            self._store.put(value.channel, stamp, raw_bits, why, self._channels[value.channel].calibration)

    # Sleep until something may be due.
    async def _nap(self):
        board = self._board
        now = self._clock.now()
        nap_ms = NAP_MS
        for unit in self._units:
            wait_ms = 1
            if unit.rest_ms:
                wait_ms = max(wait_ms, unit.rest_ms - board.ticks_diff(board.ticks_ms(), unit.rest_from))
            if not unit.active and unit.schedule.next > now:
                wait_ms = max(wait_ms, board.real_ms(unit.schedule.next - now))
            nap_ms = min(nap_ms, wait_ms)
        if nap_ms >= COLLECT_MS and self._collected != self._counters.polls:
            self._collected = self._counters.polls
            began = board.ticks_ms()
            board.idle()
            nap_ms = max(1, nap_ms - board.ticks_diff(board.ticks_ms(), began))
        await board.sleep_ms(nap_ms)
