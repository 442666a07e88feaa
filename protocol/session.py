# The session between a device and its gateway, the device's end: a table of (input, state). The gateway's
# end is in gateway_session.py.
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

from protocol._compat import const
from protocol.messages import VERSION, Ack, Command, Event, Readings, Seal, Summary, Welcome

_WAIT_MS = const(1000)  # before the first repetition; doubles up to
_WAIT_MS_MAX = const(8000)  # so that a gateway which comes back is found within so long
_PAUSE_MS_MAX = const(60000)  # however long the gateway wants to be left alone
_STALLS_MAX = const(2)  # times without progress in a row, after which the device greets again

DOWN = "DOWN"
GREETING = "GREETING"
LIVE = "LIVE"


# The names of the records in a message: (boot, first seq, last seq), or None when it carries none.
def span(message):
    kind = type(message)
    if kind is Readings or kind is Summary:
        return message.boot, message.first_seq, message.first_seq + len(message.rows) - 1
    if kind is Event or kind is Seal:
        return message.boot, message.seq, message.seq
    return None


# Whether (boot, seq) may come right after what is held up to position.
def follows(position, boot, seq):
    return (boot == position[0] and seq == position[1] + 1) or (boot > position[0] and seq == 1)


# make_hello() -> Hello, with a new nonce and the store's range of this moment.
# store: first() -> (boot, seq) of the oldest record held, or of the next one to be made when there is none;
#        batch(boot, seq) -> Readings, Summary, Event or Seal that starts exactly there and holds records of
#        that boot only, or None while there is none (not yet, no more, or discarded);
#        release(boot, seq) frees all up to there.
# ticks_diff(later, earlier) -> ms. next() must be called at least once in each half period of the ticks.
# ack_timeout_ms: a gateway collects readings for 5 s before it writes them; the rest is for lines and disks.
#
# link_up, link_down and receive return happenings, which the caller may act on:
#   ("time", time_ms, trusted)   the gateway's time
#   ("acked", boot, seq)         the gateway has all up to here on disk
#   ("command", Command)         the caller checks its counter, acts, and sends a Result
#   ("ahead", boot, seq)         the gateway has records which this device has yet to make: its boot number is
#   not new.
#                                Start again under a boot number above this one; until then no record is sent.
class DeviceSession:
    def __init__(self, make_hello, store, ticks_diff, window_frames=8, ack_timeout_ms=8000):
        self.state = DOWN
        self.acked = (0, 0)  # what the gateway needs no more: on its disk, or declared in HELLO as gone
        self.ignored = 0  # messages that had no place in this state: old, foreign, recorded
        self.resent = 0  # frames sent again
        self._make_hello = make_hello
        self._store = store
        self._ticks_diff = ticks_diff
        self._window_frames = window_frames
        self._ack_timeout_ms = ack_timeout_ms
        self._on_greet(None, 0)

    def link_up(self, now):
        return self._move("up", None, now)

    def link_down(self, now):
        return self._move("down", None, now)

    def receive(self, message, now):
        kind = type(message)
        happened = "stray"
        if kind is Command:
            happened = "command"
        elif self._hello is not None and kind in (Welcome, Ack) and message.nonce == self._hello.nonce:
            if kind is Welcome:
                if message.version == VERSION:
                    happened = "ahead" if message.boot > self._hello.boot else "welcome"
            elif self.acked <= (message.boot, message.seq) <= max(self._sent, self.acked):
                # Neither older than another one nor beyond what it can have from us: an answer to what was
                # sent.
                happened = "ack"
        return self._move(happened, message, now)

    def _move(self, happened, message, now):
        row = _DEVICE.get(happened)
        state = row and row[(DOWN, GREETING, LIVE).index(self.state)]
        if not state:
            self.ignored += 1
            return ()
        self.state = state
        return row[3](self, message, now)

    # The message to send now, or None. Call again until None, and after every happening or few milliseconds.
    def next(self, now):
        waited_ms = self._ticks_diff(now, self._since)
        if self.state == GREETING and waited_ms >= self._wait_ms:
            self._wait_ms = min(max(2 * self._wait_ms, _WAIT_MS), _WAIT_MS_MAX)
            self._since = now
            self._hello = hello = self._make_hello()
            self._pinned = self._store.batch(hello.store_boot, hello.store_seq)
            return hello
        if self.state != LIVE:
            return None
        if self._pause_ms:
            if waited_ms < self._pause_ms:
                return None
            waited_ms = self._pause_ms = 0
            self._since = now
        if self._in_flight and waited_ms >= self._ack_timeout_ms:
            self._stalls += 1
            if self._stalls >= _STALLS_MAX:
                self._move("stalled", None, now)
                return self.next(now)
            self.resent += len(self._in_flight)
            self._in_flight = []
        if len(self._in_flight) >= self._window_frames:
            return None
        if self._in_flight:
            message = self._store.batch(*self._next)
        else:
            message = self._pinned
            self._pinned = None
            if message is None or not follows(self.acked, *span(message)[:2]):
                # What comes right behind what is acknowledged. When the store has discarded that, the
                # gateway must be told by a new HELLO before it accepts what follows.
                first = self._store.first()
                if not follows(self.acked, *first):
                    self._move("hole", None, now)
                    return self.next(now)
                message = self._store.batch(*first)
        if message is None:
            return None
        boot, first, last = span(message)
        if not self._in_flight:
            self._since = now
        self._in_flight.append(((boot, first), (boot, last)))
        self._next = (boot, last + 1)
        self._sent = max(self._sent, (boot, last))
        return message

    # ---- What the table calls: (self, message, now) -> happenings

    def _on_greet(self, message, now):
        self._hello = None
        self._pinned = None  # the batch that HELLO declares as the first: kept even if the store discards it
        self._wait_ms = 0  # until the next HELLO
        self._since = now  # the last HELLO, the last progress, or the begin of the pause
        self._pause_ms = 0
        self._in_flight = []  # ((boot, first seq), (boot, last seq)) of frames sent and not acknowledged
        self._next = (0, 0)
        self._sent = (0, 0)  # the last record that was ever sent in this greeting
        self._stalls = 0
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
            self._pause_ms = min(message.pause_ms, _PAUSE_MS_MAX)
            self._since = now
        return happenings

    def _on_command(self, message, now):
        return (("command", message),)


# Input: the state it leads to from DOWN, from GREETING, from LIVE (None: it is ignored), and what is done.
_DEVICE = {
    "up": (GREETING, GREETING, GREETING, DeviceSession._on_greet),
    "down": (DOWN, DOWN, DOWN, DeviceSession._on_greet),
    "welcome": (None, LIVE, None, DeviceSession._on_welcome),
    "ahead": (None, GREETING, None, DeviceSession._on_ahead),
    "stalled": (None, None, GREETING, DeviceSession._on_greet),
    "hole": (None, None, GREETING, DeviceSession._on_greet),
    "ack": (None, None, LIVE, DeviceSession._on_ack),
    "command": (None, None, LIVE, DeviceSession._on_command),
}
