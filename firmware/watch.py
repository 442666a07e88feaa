# Supervision: who has reported lately, and what happens when somebody has not.
#
# Rule 1: the hardware watchdog is fed once a second, and only while every task has reported within its
#         limit. A task that has not is named in a crash report, then the board is reset. What stops this
#         task, too, is the watchdog's business.
# Rule 2: a task that ends by an exception is reported and started again after AGAIN_MS. FAILURES_MAX times
#         in a row without STEADY_TICKS between: the board is reset, except in safe mode, where the link has
#         to stay.
# Rule 3: silence is counted in turns of this task, not by the clock: a process that was stopped as a whole,
#         or a board that stood still for all, has no task to blame.
# Rule 4: what is seldom needed (crash reports, safe mode) is crashes.py, loaded for the call. If even that
#         fails, for want of memory or flash, the reset's reason still says whose fault it was.
# Rule 5: ten minutes of station time without a fault are health: crashes.py forgets the streak, what was on
#         trial is confirmed, and safe mode ends: at the next start, which comes by itself; where flash cannot
#         keep what is held meanwhile, once nothing is.

import asyncio

from firmware.lazy import call
from protocol._compat import const
from protocol.messages import CRASH

_TICK_MS = const(1000)
_DOG_MS = const(8000)  # RP2 can count to 8,388
_AGAIN_MS = const(1000)
_FAILURES_MAX = const(5)
_STEADY_TICKS = const(60)
_UP_TICKS = const(5)  # so long after its begin a start is no longer one that died
_HEAP_TICKS = const(10)
_HEALTHY_MS = const(600000)
_CRASHES = "firmware.crashes"
REASON_MAX = const(32)  # bytes of a reset's reason in a HELLO


class Watch:
    # safe: why only what is needed runs, "" in normal running. leave(reason): starts anew, with what is held
    # on flash; None: safe mode does not end by itself.
    def __init__(self, board, store, safe="", leave=None, arbiter=None):
        self.crashes = 0
        self.headroom = None  # lowest free heap after a collection, in bytes
        self.safe = safe
        self._leave = leave
        self._arbiter = arbiter
        self._kept = False  # that ten minutes were healthy
        self._keeping = None
        self._board = board
        self._store = store
        self._tasks = {}  # name -> [ms left until it has to report]
        self._ticks = 0
        self._well_at = board.station_ticks()
        self._told = 0  # sequence number of the last CRASH event that the gateway is to hold
        self._reason = ""

    # alive(), to be called by the task at least every limit_ms.
    def add(self, name, limit_ms):
        left = self._tasks[name] = [limit_ms]

        def alive():
            left[0] = limit_ms

        return alive

    async def guard(self, name, run):
        failures = 0
        while True:
            began = self._ticks
            try:
                await run()
                self._tasks.pop(name, None)
                return
            except Exception as error:
                failures = 1 if self._ticks - began > _STEADY_TICKS else failures + 1
                self.crashes += 1
                self._board.crash(error)
                fatal = failures >= _FAILURES_MAX and not self.safe
                self.report(f"task {name} ended", error, name if fatal else None)
            await self._board.sleep_ms(_AGAIN_MS)

    # Keeps a crash. fatal: whose fault it is that the board is now reset, None when it is not.
    def report(self, reason, error=None, fatal=None):
        board, store = self._board, self._store
        self._well_at = board.station_ticks()
        if fatal is None and reason == self._reason:
            return  # the same again: known
        self._reason = reason
        try:
            up_ms = board.station_ticks()
            dead = fatal is not None
            reason = call(_CRASHES, "record", board.files, store.boot, up_ms, reason, error, dead)
        except Exception as worse:  # no memory, no flash: then without a report
            board.crash(worse)
        if fatal is not None:
            try:
                store.save()
            except Exception as worse:
                board.crash(worse)
            board.reset(f"crash: {fatal}"[:REASON_MAX])
        store.event(CRASH, reason)
        self._told = store.emitted

    # The CRASH events of former starts are the newest events in the store.
    def told_before(self):
        self._told = self._store.emitted

    async def run(self):
        board, store = self._board, self._store
        board.watchdog(_DOG_MS)
        well = self._kept = False
        while True:
            for name, left in self._tasks.items():
                if left[0] <= 0:
                    self.report(f"task {name} is silent", None, name)
                left[0] -= _TICK_MS
            board.feed()
            self._ticks += 1
            if self._ticks == _UP_TICKS:
                self._keeping = asyncio.create_task(self._keep("up"))
            if self._ticks % _HEAP_TICKS == 0:
                board.idle()
                free = board.heap()[0]
                if self.headroom is None or free < self.headroom:
                    self.headroom = free
            if self._told and store.acked >= self._told:
                self._told = 0
                self._keeping = asyncio.create_task(self._keep("sent"))
            if not well and board.station_ticks() - self._well_at >= _HEALTHY_MS:
                well = True
                self._keeping = asyncio.create_task(self._keep("healthy"))
            if self._kept and self._leave and not (store.held and store.flash_faults):
                self._leave("asked: safe mode is over")
                self._leave = None
            await board.sleep_ms(_TICK_MS)

    # A task of its own: whoever waits for the bus cannot feed meanwhile.
    async def _keep(self, step):
        def work():
            return call(_CRASHES, step, self._board.files)

        try:
            for kind, text in (await self._arbiter.flash(work) if self._arbiter else work()) or ():
                self._store.event(kind, text)
        except Exception as error:  # no flash: it is tried again at the next start
            self._board.crash(error)
        self._kept = step == "healthy" or self._kept
