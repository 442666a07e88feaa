# The link to the gateway: what the session wants to say goes out as authenticated frames, and back.
#
# Rule 1: a link that cannot be opened, breaks or falls silent is opened again after a jittered back-off.
#         Nothing that comes in can end this task: noise, frames of others and broken messages are counted.
# Rule 2: nothing of a frame is used before its tag is checked, and nothing of a message before the session
#         took it.
# Rule 3: the time is taken only from a message that moves the session on (a WELCOME, an ACK of more than
#         before), so that nobody sets the clock by replaying an old frame.
# Rule 4: how old that time is at most is known: it was sent after what it answers had left here.
# Rule 5: every connection begins with a zero byte, which ends whatever half frame the line still holds.
# Rule 6: results of commands go first. While what is sent is old (a backlog after an outage), the newest
#         readings go along every few seconds, as a NOW: the page at the gateway shows the present.
# Rule 7: readings wait hold_ms for company, HOLD_MS at most: a frame and its acknowledgement cost a board
#         more than the rows, and the gateway's memory card more still. An event goes at once, with all before
#         it.
#         Where a full frame is left to be sent, or sent again, nothing waits.
# Rule 8: a frame is made where the one before it was, in memory that is taken once, at the start: a heap that
#         is nearly full has holes for the rows of a frame, and none for all of its bytes. And a message is
#         forgotten before its frame waits for the line: 48 rows are 4 KB, twice that when the next is made.

import asyncio

from firmware.backoff import Backoff
from firmware.store import ROWS_MAX
from protocol import framing, messages
from protocol.errors import AuthError, CodecError
from protocol.session import GREETING, LIVE, span

READ_BYTES = 128  # an ACK takes 100
WRITE_MS = 10000  # a full frame at 1,200 baud; a peer that takes nothing for so long is not there
SILENT_MS = 60000  # nothing from the gateway for so long, while it owes us an answer: open the link anew
ANSWER_MS = 10000  # taken for the age of an answer to nobody knows what
NAP_MS = 500  # how often the session's own clocks (repeat, time-out, pause) are looked at
HOLD_MS = 2400  # station time that readings wait for others, to share a frame; three go into a commit of 5 s
BEHIND_MS = 10000  # records this old are a backlog
NOW_MS = 5000


class Uplink:
    # on_ahead(boot): the gateway holds records of that boot, which this device has not reached
    # on_command(command): the session took it; its Result is to be put into `results`
    def __init__(self, board, link, session, mac, clock, store, on_ahead, on_command, hold_ms=HOLD_MS):
        self._hold_ms = hold_ms
        self._nap_ms = NAP_MS  # until what is held is due
        self.bad_frames = 0  # whole frames with a wrong tag or content
        self.losses = 0  # links that were live and broke
        self.alive = None  # called at least once in half a minute, when given
        self.results = []
        self._board = board
        self._link = link
        self._session = session
        self.mac = mac
        self._clock = clock
        self._store = store
        self._on_ahead = on_ahead
        self._on_command = on_command
        self._nonce = b""
        self._behind = False
        self._shown_at = 0
        self._decoder = framing.Decoder()
        self._out = bytearray(framing.MAX_FRAME + 1)
        self._wake = asyncio.Event()
        self._heard_at = 0
        self._left = []  # (last sequence, or 0 for HELLO; ticks when it left first), not acknowledged
        self._puts = 0  # records not sent, an event as many as a frame takes, and when the first of them came
        self._put_at = 0
        self._last = 0  # sequence of the last record of this boot that was sent, or sent again
        store.on_put = self._put

    @property
    def noise(self):
        return self._decoder.noise

    def _put(self, urgent):
        if not self._puts:
            self._put_at = self._board.ticks_ms()
        self._puts += ROWS_MAX if urgent else 1
        if self._puts >= ROWS_MAX:
            self._wake.set()

    # Nothing more will come: what is held goes at once.
    def hurry(self):
        self._put(True)

    def answer(self, result):
        self.results.append(result)
        self._wake.set()

    # The tables that HELLO carries have changed.
    def greet_again(self):
        if self._session.state == LIVE:
            self._session.link_up(self._board.ticks_ms())
            self._wake.set()

    async def run(self):
        board = self._board
        backoff = Backoff(board)
        while True:
            if self.alive:
                self.alive()
            stream = None
            try:
                stream = await board.open_link(self._link)
                self._heard_at = board.ticks_ms()
                await self._serve(stream, backoff)
            except (OSError, asyncio.TimeoutError):  # noqa: UP041 (MicroPython has no other)
                pass
            finally:
                if stream is not None:
                    stream.close()
            self._lost()
            await board.sleep_ms(backoff.take())

    def _lost(self):
        live = self._session.state == LIVE
        self._session.link_down(self._board.ticks_ms())
        if live:
            self.losses += 1
            self._store.event(messages.LINK_LOST, "")

    # Returns or raises OSError when the link is to be opened anew.
    async def _serve(self, stream, backoff):
        board = self._board
        session = self._session
        session.link_up(board.ticks_ms())
        gone = []  # becomes true when the reader has ended, for whatever reason
        reader = asyncio.create_task(self._read(stream, backoff, gone))
        try:
            await asyncio.wait_for(stream.write(b"\0"), WRITE_MS / 1000)
            while not gone and not self._silent():
                self._wake.clear()
                if self.alive:
                    self.alive()
                frame = self._frame()
                if frame:
                    await asyncio.wait_for(stream.write(frame), WRITE_MS / 1000)
                    await board.sleep_ms(0)
                    continue
                try:
                    nap_ms = max(20, self._nap_ms // self._board.station_speed())
                    await asyncio.wait_for(self._wake.wait(), nap_ms / 1000)
                except asyncio.TimeoutError:  # noqa: UP041
                    pass
        finally:
            reader.cancel()

    # ... as a frame, which is good until the next one is made.
    def _frame(self):
        message = self._message()
        if message is None:
            return None
        out = self._out
        framing.begin(out)
        at = self.mac.begin(out)
        messages.write(message, out)
        self.mac.end(out, at)
        framing.end(out)
        return out

    # What goes out next, or None.
    def _message(self):
        now = self._board.ticks_ms()
        self._nap_ms = NAP_MS
        if self._session.state == LIVE:
            if self.results:
                return self.results.pop(0)
            if self._behind and not 0 <= self._board.ticks_diff(now, self._shown_at) < NOW_MS:
                self._shown_at = now
                recent = self._store.recent()
                if recent:
                    return messages.Now(self._nonce, *recent)
            short = self._store.emitted - self._last < ROWS_MAX  # not so where it sends again
            if 0 < self._puts < ROWS_MAX and short and not self._behind:
                waited_ms = self._board.ticks_diff(now, self._put_at) * self._board.station_speed()
                if 0 <= waited_ms < self._hold_ms:
                    self._nap_ms = min(NAP_MS, self._hold_ms - waited_ms)
                    return None
        message = self._session.next(now)
        if message is None:
            self._puts = 0
        else:
            self._note(message, now)
        return message

    def _silent(self):
        now = self._board.ticks_ms()
        if not self._store.held:  # it owes us nothing
            self._heard_at = now
        return self._board.ticks_diff(now, self._heard_at) > SILENT_MS

    async def _read(self, stream, backoff, gone):
        try:
            while True:
                data = await stream.read(READ_BYTES)
                for body in self._decoder.feed(data):
                    self._receive(body, backoff)
        except OSError:
            pass
        finally:
            gone.append(True)
            self._wake.set()

    def _receive(self, body, backoff):
        board = self._board
        try:
            message = messages.decode(self.mac.open(body), True)  # only what a gateway says
        except (AuthError, CodecError):
            self.bad_frames += 1
            return
        self._heard_at = board.ticks_ms()
        session = self._session
        greeting = session.state == GREETING
        told = None
        moved = False
        position = 0
        for happening in session.receive(message, board.ticks_ms()):
            if happening[0] == "time":
                told = happening
            elif happening[0] == "acked":
                moved = True
                position = happening[2]
                self._store.link_heard()
            elif happening[0] == "command":
                self._on_command(happening[1])
            elif happening[0] == "ahead":
                self._on_ahead(happening[1])
                session.link_up(board.ticks_ms())  # greet again, under the new boot number
        if session.state == LIVE:
            backoff.reset()
            if told and (moved or greeting):
                self.tell(told[1], told[2], self._age_ms(0 if greeting else position))
        self._wake.set()

    # A message of the session leaves. Of one that is sent again the first time counts.
    def _note(self, message, now):
        names = span(message)
        if names is None:  # a HELLO, which only its own WELCOME answers
            self._left = [(0, now)]
            self._nonce = message.nonce
            return
        self._last = names[2] if names[0] == self._store.boot else 0
        event = type(message) is messages.Event
        self._puts = max(0, self._puts - (ROWS_MAX if event else names[2] + 1 - names[1]))
        self._put_at = now  # of what is left the first came later: it may wait so much longer
        if not [True for last, _ in self._left if last == names[2]]:
            self._left.append((names[2], now))
        made_ms = message.base_ms if type(message) is messages.Readings else message.time_ms
        age_ms = self._clock.now() - made_ms
        self._behind = message.clock == 0 or age_ms > BEHIND_MS * self._board.station_speed()

    # How long ago the oldest frame left that may have caused an answer up to this sequence number.
    def _age_ms(self, sequence):
        board = self._board
        now = board.ticks_ms()
        ages = [board.ticks_diff(now, at) for last, at in self._left if last >= sequence]
        self._left = [entry for entry in self._left if entry[0] > sequence]
        return max(ages) if ages else ANSWER_MS

    # The time, from whoever may tell it.
    def tell(self, time_ms, trusted, age_ms):
        clock = self._clock
        told = clock.told
        before = clock.now()
        step_ms = clock.tell(time_ms, trusted, age_ms)
        if step_ms:
            self._store.event(messages.CLOCK_STEP, f"{step_ms} ms, from {before} to {clock.now()}")
        elif clock.told and not told:  # what was measured before can now be placed
            self._store.event(messages.CLOCK_SET, [clock.ticks(), clock.now()])
