# The session between a device and its gateway, the gateway's end: a table of (state, input). Its rules are
# those of session.py; the device does not load this.
#
# Gateway  NEW --hello--> OPEN    NEW after a restart: records count as STALE until the device greets.

from protocol._compat import const
from protocol.messages import VERSION, Ack, Hello, Now, Result, Welcome
from protocol.session import follows, span

NEW = "NEW"
OPEN = "OPEN"

GREET = "GREET"  # send welcome()
ACCEPT = "ACCEPT"  # journal it, then committed() and ack()
REPEAT = "REPEAT"  # it is here already: ack() again
GAP = "GAP"  # not the next one: ack() says what is held
STALE = "STALE"  # from an older boot, a HELLO that was recorded, or no HELLO yet: no answer, but see ahead()
REFUSE = "REFUSE"  # not what this device would send
SHOW = "SHOW"  # a Now of this greeting: to be shown, never journaled, no answer
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
        self.counts = {GREET: 0, ACCEPT: 0, REPEAT: 0, GAP: 0, STALE: 0, REFUSE: 0, ANSWER: 0, SHOW: 0}
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
        if kind is Now:
            return "now" if self.hello is not None and message.nonce == self.hello.nonce else "old"
        names = span(message)
        if names is None:
            return "foreign"
        boot, first, last = names
        if self.hello is None or boot < self.pending[0] or boot > self.hello.boot:
            return "old"
        if follows(self.pending, boot, first):
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

    # A STALE HELLO -> what to answer, or None. One of a boot below what is known here was recorded, and then
    # the answer does nothing; or its device has lost its flash, or took the place of another. It has to learn
    # where to go on, or it greets for ever. Nothing changes here.
    def ahead(self, hello, time_ms, trusted):
        boot, seq = self.pending
        if self.hello is not None and self.hello.boot > boot:
            boot, seq = self.hello.boot, 0
        if hello.boot >= boot or hello.device != self.device:
            return None
        return Welcome(VERSION, hello.nonce, boot, seq, time_ms, trusted)

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
    (OPEN, "now"): (OPEN, SHOW),
    (NEW, "result"): (NEW, ANSWER),
    (OPEN, "result"): (OPEN, ANSWER),
}
