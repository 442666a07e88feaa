# The session between a device and its gateway: two tables of (state, input), one for each end.
#
# Rule 1: no I/O and no clock. Callers bring messages whose tag is checked, ticks (now) and times, and send
#         what they are handed.
# Rule 2: a record is named (boot, seq) for ever; names are ordered as pairs. seq begins at 1 in each boot and
#         rises by one with each record that is kept.
# Rule 3: the device frees nothing before the gateway has said, in this greeting, that it is on disk. Whatever
#         else happens, it goes back to the first record that is not, and sends again.
# Rule 4: the gateway accepts exactly the next record, so nothing is journaled twice or out of order. It
#         acknowledges what is on disk (committed), never what it merely took (pending).
# Rule 5: no record of a boot goes out before all of the boots before it are acknowledged. So (boot + n, 1)
#         may follow whatever the gateway has.
# Rule 6: a WELCOME or an ACK counts only with the nonce of the last HELLO: one that was recorded does
#         nothing.
#
# Device          up             welcome          ack, command
#        DOWN ---------> GREETING ---------> LIVE ---------> LIVE
#         ^ down (all)      ^ stalled, hole    |
#         |                 +------------------+
#
# Gateway  NEW --hello--> OPEN    NEW after a restart: records count as STALE until the device greets.

from protocol._compat import const
from protocol.messages import VERSION, Ack, Command, Event, Hello, Readings, Result, Seal, Welcome

HELLO_WAIT_MS = const(1000)  # before the first repetition; doubles up to
HELLO_WAIT_MS_MAX = const(8000)  # so that a gateway which comes back is found within so long
PAUSE_MS_MAX = const(60000)  # however long the gateway wants to be left alone
STALLS_MAX = const(2)  # times without progress in a row, after which the device greets again


# The names of the records in a message: (boot, first seq, last seq), or None when it carries none.
def span(message):
    kind = type(message)
    if kind is Readings:
        return message.boot, message.first_seq, message.first_seq + len(message.rows) - 1
    if kind is Event or kind is Seal:
        return message.boot, message.seq, message.seq
    return None


# Whether (boot, seq) may come right after what is held up to position.
def _follows(position, boot, seq):
    return (boot == position[0] and seq == position[1] + 1) or (boot > position[0] and seq == 1)


# ---- The device's end

DOWN = "DOWN"
GREETING = "GREETING"
LIVE = "LIVE"


# make_hello() -> Hello, with a new nonce and the store's range of this moment.
# store: first() -> (boot, seq) of the oldest record held, or of the next one to be made when there is none;
#        batch(boot, seq) -> Readings, Event or Seal that starts exactly there and holds records of that boot
#        only, or None while there is none (not yet, no more, or discarded); release(boot, seq) frees all up
#        to there.
# ticks_diff(later, earlier) -> ms. next() must be called at least once in each half period of the ticks.
#
# link_up, link_down and receive return happenings, which the caller may act on:
#   ("time", time_ms, trusted)   the gateway's time
#   ("acked", boot, seq)         the gateway has all up to here on disk
#   ("command", Command)         the caller checks its counter, acts, and sends a Result
#   ("ahead", boot, seq)         the gateway has records which this device has yet to make: its boot number is
#   not new.
#                                Start again under a boot number above this one; until then no record is sent.
class DeviceSession:
    def __init__(self, make_hello, store, ticks_diff, window_frames=8, ack_timeout_ms=5000):
        self.state = DOWN
        self.acked = (0, 0)  # what the gateway needs no more: on its disk, or declared in HELLO as gone
        self.ignored = 0  # messages that had no place in this state: old, foreign, recorded
        self.resent = 0  # frames sent again
        self._make_hello = make_hello
        self._store = store
        self._ticks_diff = ticks_diff
        self._window_frames = window_frames
        self._ack_timeout_ms = ack_timeout_ms
        self._clear(0)

    def _clear(self, now):
        self._hello = None
        self._pinned = None  # the batch that HELLO declares as the first: kept even if the store discards it
        self._wait_ms = 0  # until the next HELLO
        self._since = now  # the last HELLO, the last progress, or the begin of the pause
        self._pause_ms = 0
        self._in_flight = []  # ((boot, first seq), (boot, last seq)) of frames sent and not acknowledged
        self._next = (0, 0)
        self._sent = (0, 0)  # the last record that was ever sent in this greeting
        self._stalls = 0

    def link_up(self, now):
        return self._move("up", None, now)

    def link_down(self, now):
        return self._move("down", None, now)

    def receive(self, message, now):
        return self._move(self._input(message), message, now)

    # The message to send now, or None. Call again until None, and after every happening or few milliseconds.
    def next(self, now):
        if self.state == LIVE:
            return self._record(now)
        if self.state == GREETING and self._ticks_diff(now, self._since) >= self._wait_ms:
            return self._greeting(now)
        return None

    def _move(self, happened, message, now):
        entry = _DEVICE.get((self.state, happened))
        if entry is None:
            self.ignored += 1
            return ()
        self.state, act = entry
        return act(self, message, now)

    def _input(self, message):
        kind = type(message)
        if kind is Command:
            return "command"
        if self._hello is None or (kind is not Welcome and kind is not Ack):
            return "stray"
        if message.nonce != self._hello.nonce:
            return "stray"
        position = (message.boot, message.seq)
        if kind is Welcome:
            if message.version != VERSION:
                return "stray"
            return "ahead" if message.boot > self._hello.boot else "welcome"
        # Older than another one, or beyond what it can have from us: not an answer to what was sent.
        return "ack" if self.acked <= position <= max(self._sent, self.acked) else "stray"

    def _greeting(self, now):
        self._wait_ms = min(max(2 * self._wait_ms, HELLO_WAIT_MS), HELLO_WAIT_MS_MAX)
        self._since = now
        self._hello = self._make_hello()
        self._pinned = self._store.batch(self._hello.store_boot, self._hello.store_seq)
        return self._hello

    def _record(self, now):
        if self._pause_ms:
            if self._ticks_diff(now, self._since) < self._pause_ms:
                return None
            self._pause_ms = 0
            self._since = now
        if self._in_flight and self._ticks_diff(now, self._since) >= self._ack_timeout_ms:
            self._stalls += 1
            if self._stalls >= STALLS_MAX:
                self._move("stalled", None, now)
                return self.next(now)
            self.resent += len(self._in_flight)
            self._in_flight = []
        if len(self._in_flight) >= self._window_frames:
            return None
        message = self._after_acked() if not self._in_flight else self._store.batch(*self._next)
        if self._next is None:
            self._move("hole", None, now)
            return self.next(now)
        if message is None:
            return None
        boot, first, last = span(message)
        if not self._in_flight:
            self._since = now
        self._in_flight.append(((boot, first), (boot, last)))
        self._next = (boot, last + 1)
        self._sent = max(self._sent, (boot, last))
        return message

    # With nothing under way: the batch right behind what is acknowledged. Sets _next to None when the store
    # has discarded records from there on, which the gateway must be told by a new HELLO before it accepts
    # what follows.
    def _after_acked(self):
        message = self._pinned
        self._pinned = None
        if message is not None and _follows(self.acked, *span(message)[:2]):
            return message
        first = self._store.first()
        self._next = first if _follows(self.acked, *first) else None
        return self._store.batch(*first) if self._next else None

    # ---- What the table calls: (self, message, now) -> happenings

    def _on_greet(self, message, now):
        self._clear(now)
        return ()

    def _on_welcome(self, message, now):
        position = (message.boot, message.seq)
        self._store.release(*position)
        if self._store.first() <= position:
            self.state = GREETING
            return self._on_ahead(message, now)
        self.acked = max(position, (self._hello.store_boot, self._hello.store_seq - 1))
        self._next = self._sent = self.acked
        return ("time", message.time_ms, message.trusted), ("acked", message.boot, message.seq)

    def _on_ahead(self, message, now):
        return (("ahead", message.boot, message.seq),)

    def _on_ack(self, message, now):
        happenings = (("time", message.time_ms, message.trusted),)
        position = (message.boot, message.seq)
        if position > self.acked:
            self.acked = position
            self._store.release(*position)
            self._stalls = 0
            self._since = now
            left = [frame for frame in self._in_flight if frame[1] > position]
            if left and left[0][0] <= position:
                # It has a part of a frame, from before that frame grew: cut anew, at once.
                self.resent += len(left)
                left = []
            self._in_flight = left
            happenings += (("acked", message.boot, message.seq),)
        if message.pause_ms:
            self._pause_ms = min(message.pause_ms, PAUSE_MS_MAX)
            self._since = now
        return happenings

    def _on_command(self, message, now):
        return (("command", message),)


_DEVICE = {
    (DOWN, "up"): (GREETING, DeviceSession._on_greet),
    (DOWN, "down"): (DOWN, DeviceSession._on_greet),
    (GREETING, "up"): (GREETING, DeviceSession._on_greet),
    (GREETING, "down"): (DOWN, DeviceSession._on_greet),
    (GREETING, "welcome"): (LIVE, DeviceSession._on_welcome),
    (GREETING, "ahead"): (GREETING, DeviceSession._on_ahead),
    (LIVE, "up"): (GREETING, DeviceSession._on_greet),
    (LIVE, "down"): (DOWN, DeviceSession._on_greet),
    (LIVE, "stalled"): (GREETING, DeviceSession._on_greet),
    (LIVE, "hole"): (GREETING, DeviceSession._on_greet),
    (LIVE, "ack"): (LIVE, DeviceSession._on_ack),
    (LIVE, "command"): (LIVE, DeviceSession._on_command),
}


# ---- The gateway's end

NEW = "NEW"
OPEN = "OPEN"

GREET = "GREET"  # send welcome()
ACCEPT = "ACCEPT"  # journal it, then committed() and ack()
REPEAT = "REPEAT"  # it is here already: ack() again
GAP = "GAP"  # not the next one: ack() says what is held
STALE = "STALE"  # from an older boot, a HELLO that was recorded, or no HELLO yet: no answer
REFUSE = "REFUSE"  # not what this device would send
ANSWER = "ANSWER"  # a Result: hand it to whoever gave the command

_NONCES = const(32)  # remembered, of HELLOs of this boot


# One for each device, for as long as the process lives, whatever links come and go; (boot, seq) is what the
# journal holds. counts: how often each verdict was given. skipped: records that the device no longer had when
# it greeted, which never come (those of a boot that was lost as a whole are not known, and not in it).
class GatewaySession:
    def __init__(self, device, boot=0, seq=0):
        self.state = NEW
        self.device = device
        self.durable = (boot, seq)
        self.pending = (boot, seq)
        self.hello = None
        self.skipped = 0
        self.counts = {GREET: 0, ACCEPT: 0, REPEAT: 0, GAP: 0, STALE: 0, REFUSE: 0, ANSWER: 0}
        self._floor = (0, 0)  # the device holds nothing up to here
        self._nonces = []

    # A message whose tag is right -> verdict.
    def receive(self, message):
        happened = self._input(message)
        self.state, verdict = _GATEWAY[self.state, happened]
        if verdict == ACCEPT:
            boot, _, last = span(message)
            self.pending = (boot, last)
        elif verdict == GREET:
            self._greet(message)
        self.counts[verdict] += 1
        return verdict

    def _input(self, message):
        kind = type(message)
        if kind is Hello:
            return self._hello_input(message)
        if kind is Result:
            return "result"
        names = span(message)
        if names is None:
            return "foreign"
        boot, first, last = names
        if self.hello is None or boot < self.pending[0] or boot > self.hello.boot:
            return "old"
        if _follows(self.pending, boot, first):
            return "next"
        if boot > self.pending[0] or first > self.pending[1]:
            return "beyond"
        return "held" if last <= self.pending[1] else "overlap"

    def _hello_input(self, hello):
        if hello.device != self.device or hello.version != VERSION or hello.store_boot > hello.boot:
            return "foreign"
        if self.hello is None or hello.boot > self.hello.boot:
            return "hello" if hello.boot >= self.pending[0] else "old"
        if hello.boot < self.hello.boot or (hello.nonce != self.hello.nonce and hello.nonce in self._nonces):
            return "old"
        return "hello"

    def _greet(self, hello):
        if self.hello is None or hello.boot != self.hello.boot:
            self._nonces = []
        if hello.nonce not in self._nonces:
            self._nonces = self._nonces[1 - _NONCES :]
            self._nonces.append(hello.nonce)
        self.hello = hello
        floor = (hello.store_boot, hello.store_seq - 1)
        if floor > self.pending:
            self.skipped += floor[1] - (self.pending[1] if floor[0] == self.pending[0] else 0)
            self.pending = floor
        self._floor = max(self._floor, floor)

    # All up to (boot, seq) is on disk.
    def committed(self, boot, seq):
        self.durable = max(self.durable, (boot, seq))
        self.pending = max(self.pending, self.durable)

    # What was accepted and not committed is lost (the journal failed): expect it again.
    def fall_back(self):
        self.pending = max(self.durable, self._floor)

    def welcome(self, time_ms, trusted):
        return Welcome(VERSION, self._nonce(), self.durable[0], self.durable[1], time_ms, trusted)

    def ack(self, time_ms, trusted, pause_ms=0):
        return Ack(self._nonce(), self.durable[0], self.durable[1], time_ms, trusted, pause_ms)

    # Before the first HELLO: one that no device takes for its own.
    def _nonce(self):
        return self.hello.nonce if self.hello else bytes(8)


_GATEWAY = {
    (NEW, "hello"): (OPEN, GREET),
    (OPEN, "hello"): (OPEN, GREET),
    (OPEN, "next"): (OPEN, ACCEPT),
    (OPEN, "held"): (OPEN, REPEAT),
    (OPEN, "overlap"): (OPEN, GAP),
    (OPEN, "beyond"): (OPEN, GAP),
    (NEW, "old"): (NEW, STALE),
    (OPEN, "old"): (OPEN, STALE),
    (NEW, "foreign"): (NEW, REFUSE),
    (OPEN, "foreign"): (OPEN, REFUSE),
    (NEW, "result"): (NEW, ANSWER),
    (OPEN, "result"): (OPEN, ANSWER),
}
