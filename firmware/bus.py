# Modbus masters: one request out, one answer back. RtuLine for RS-485, TcpLine for Modbus TCP.
#
# Rule 1: one transaction at a time. transact() returns the registers, or raises
#           NoReply         nothing came within the unit's time-out
#           BadReply        something came that is no answer to this request (protocol.errors)
#           ExceptionReply  the instrument said no (protocol.errors)
#           LineDown        there is no line at the moment: no device file, no connection
#         Retries are the poller's business.
# Rule 2: an RTU frame is everything between two silences. An answer with anything before or after it is a
#         BadReply, and the line is read until it falls silent, or the unit's time is up. Only a copy of our
#         own request (an echoing adapter) and a whole valid frame of another unit (its late answer) are taken
#         away first, and counted. The copy of a write by function 5 or 6 is left: the good answer to one
#         looks the same.
# Rule 3: RTU has no numbers on its frames. A late answer of the same unit can only be kept away by not asking
#         that unit while one may still come: the poller leaves it alone after each failure (LATE in
#         poller.py), and what came meanwhile is thrown away before the next request.
# Rule 4: over TCP an answer carries the number of its request; one with another number is skipped and
#         counted.
# Rule 5: flash stops the UART of some boards: an RTU transaction, its failures included, stands between
#         arbiter.bus() and arbiter.done().
# Rule 6: no turn of the loop that the line could have used: the silence behind an answer is also the one
#         before the next request, it is measured in us where the board has ticks_us(), and the bytes of an
#         answer are fetched when they can all be there, not one by one.

from firmware.backoff import Backoff
from protocol import modbus
from protocol.errors import BadReply, ProtocolError

FRAME_MAX = 256  # bytes, of an RTU frame
SILENT_MAX = 3  # unanswered requests in a row before a TCP connection counts as dead (its peer lost power)
QUIET_MAX_MS = 300  # a line that has not been silent for so long is not going to be: somebody babbles


class NoReply(ProtocolError):
    pass


class LineDown(ProtocolError):
    pass


# bus: a table of station.json
def open_line(board, bus, arbiter=None):
    return TcpLine(board, bus) if bus["kind"] == "tcp" else RtuLine(board, bus, arbiter)


class Line:
    def __init__(self, board, bus):
        self.id = bus["id"]
        self.noise_bytes = 0  # thrown away
        self.strays = 0  # whole answers that came too late, or from another unit
        self.echoes = 0
        self.response_ms = 0  # from the last request to the end of its answer
        self.asked = True  # the last transaction got as far as sending; else it says nothing about the unit
        self._board = board
        self._bus = bus
        self._stream = None
        self._backoff = Backoff(board)
        self._closed_at = 0
        self._wait_ms = 0

    # A new stream, or OSError: what the two kinds of line differ in first.
    async def _open(self):
        raise NotImplementedError

    # Whether a stream had to be opened for it.
    async def _ready(self):
        board = self._board
        if self._stream is not None:
            return False
        if self._wait_ms and board.ticks_diff(board.ticks_ms(), self._closed_at) < self._wait_ms:
            raise LineDown(f"bus {self.id} is not there, waiting before the next attempt")
        try:
            self._stream = await self._open()
        except OSError as error:
            gone = error
        else:
            self._backoff.reset()
            self._wait_ms = 0
            return True
        self._put_off()
        raise LineDown(f"bus {self.id} cannot be opened: {gone}")

    def _put_off(self):
        self._closed_at = self._board.ticks_ms()
        self._wait_ms = self._backoff.take()

    def close(self):
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class RtuLine(Line):
    def __init__(self, board, bus, arbiter=None):
        super().__init__(board, bus)
        self._arbiter = arbiter
        self._silence_us = modbus.silence_us(bus["baud"])
        self._noisy = False  # it has not been silent since somebody talked out of turn
        bits = 10 + (bus["parity"] != "N") + (bus["stopbits"] == 2)
        self._byte_us = bits * 1000000 // bus["baud"]

    async def _open(self):
        return await self._board.open_rtu(self._bus)

    async def transact(self, unit, pdu, timeout_ms):
        await self._ready()
        arbiter = self._arbiter
        if arbiter:
            await arbiter.bus()
        try:
            return await self._ask(self._stream, unit, pdu, timeout_ms)
        except OSError as error:
            gone = error
        finally:
            if arbiter:
                arbiter.done()
        self.close()
        self._put_off()
        raise LineDown(f"bus {self.id} has gone: {gone}")

    async def _ask(self, stream, unit, pdu, timeout_ms):
        board = self._board
        began = board.ticks_ms()
        stale = stream.read_now()
        if stale or self._noisy:
            self.noise_bytes += len(stale)
            self.asked = False
            await self._drain(stream, began, min(timeout_ms, QUIET_MAX_MS))
            if self._noisy:
                raise BadReply(
                    f"bus {self.id} never falls silent: an instrument babbles, or the baud rate is wrong"
                )
        self.asked = True
        adu = modbus.rtu(unit, pdu)
        await stream.write(adu)
        began = board.ticks_ms()
        answer = await self._collect(stream, adu, pdu, timeout_ms)
        if not answer:
            raise NoReply(f"unit {unit} on {self.id} did not answer within {timeout_ms} ms")
        try:
            return modbus.parse_rtu(answer, unit, pdu)
        except BadReply:
            self.noise_bytes += len(answer)
            await self._drain(stream, began, timeout_ms)
            raise

    # Everything that came, up to the silence behind a whole answer, or until the time was up.
    async def _collect(self, stream, adu, pdu, timeout_ms):
        board = self._board
        whole = modbus.rtu_reply_length(pdu)
        strip = pdu[0] not in (5, 6)  # their answer is the request itself, that of 15 and 16 is shorter
        answer = b""
        stray = b""
        began = board.ticks_ms()
        while True:
            left_ms = timeout_ms - board.ticks_diff(board.ticks_ms(), began)
            data = await stream.read(FRAME_MAX, left_ms) if left_ms > 0 else b""
            if not data:
                return answer or stray
            answer += data
            if strip and answer[: len(adu)] == adu:
                self.echoes += 1
                answer = answer[len(adu) :]
            elif strip and adu.startswith(answer):
                continue  # the beginning of an echo, or nothing yet
            if not answer:
                continue
            if answer[0] != adu[0] and _is_frame(answer):
                self.strays += 1
                stray = answer
                answer = b""
                continue
            expected = modbus.EXCEPTION_LENGTH if len(answer) > 1 and answer[1] & 0x80 else whole
            if len(answer) >= expected:
                self.response_ms = board.ticks_diff(board.ticks_ms(), began)
                return answer + await self._silence(stream)
            # The rest needs so long on the line. Less than a ms of it is waited for by the next read.
            rest_ms = (expected - len(answer)) * self._byte_us // 1000
            if rest_ms:
                await board.sleep_ms(min(rest_ms, max(left_ms, 1)))

    # What comes within 3.5 characters; nothing, when the line is silent. Waits end on whole ms of the board,
    # up to one too early.
    async def _silence(self, stream):
        board = self._board
        ticks_us = getattr(board, "ticks_us", None)
        if ticks_us is None:
            return await stream.read(FRAME_MAX, (self._silence_us + 999) // 1000)
        began = ticks_us()
        wait_ms = self._silence_us // 1000
        while True:
            data = await stream.read(FRAME_MAX, wait_ms)
            if data or board.ticks_diff(ticks_us(), began) >= self._silence_us:
                return data
            wait_ms = 1

    # Read until the line is silent, for so many ms at most.
    async def _drain(self, stream, began, most_ms):
        board = self._board
        self._noisy = True
        while board.ticks_diff(board.ticks_ms(), began) <= most_ms:
            data = await self._silence(stream)
            if not data:
                self._noisy = False
                return
            self.noise_bytes += len(data)


def _is_frame(data):
    if len(data) < modbus.EXCEPTION_LENGTH:
        return False
    return modbus.crc16(data[:-2]) == data[-2] | data[-1] << 8


class TcpLine(Line):
    def __init__(self, board, bus):
        super().__init__(board, bus)
        self._transaction = 0
        self._held = b""  # bytes of an answer that has not come whole
        self._silent = 0  # requests in a row after which nothing at all came

    async def _open(self):
        self._held = b""
        self._silent = 0
        return await self._board.open_tcp(self._bus["host"], self._bus["port"])

    async def transact(self, unit, pdu, timeout_ms):
        fresh = await self._ready()
        try:
            return await self._ask(self._stream, unit, pdu, timeout_ms)
        except OSError as error:
            self.close()
            gone = error
        if not fresh:  # servers hang up on a connection that was idle: that is no fault yet
            await self._ready()
            try:
                return await self._ask(self._stream, unit, pdu, timeout_ms)
            except OSError as error:
                self.close()
                gone = error
        self._put_off()
        raise LineDown(f"bus {self.id} has gone: {gone}")

    async def _ask(self, stream, unit, pdu, timeout_ms):
        board = self._board
        self._transaction = self._transaction + 1 & 0xFFFF
        number = self._transaction
        await stream.write(modbus.tcp(number, unit, pdu))
        began = board.ticks_ms()
        while True:
            left_ms = timeout_ms - board.ticks_diff(board.ticks_ms(), began)
            answer = await self._frame(stream, left_ms)
            if not answer:
                self._silent += 1
                if self._silent >= SILENT_MAX:
                    self.close()
                raise NoReply(f"unit {unit} on {self.id} did not answer within {timeout_ms} ms")
            if answer[0] << 8 | answer[1] != number:
                self.strays += 1
                continue
            self.response_ms = board.ticks_diff(board.ticks_ms(), began)
            return modbus.parse_tcp(answer, number, unit, pdu)

    # One whole answer, or nothing when the time was up: what came of it is kept for the next call.
    async def _frame(self, stream, timeout_ms):
        board = self._board
        began = board.ticks_ms()
        need = modbus.TCP_HEAD
        while True:
            if len(self._held) >= need:
                if need > modbus.TCP_HEAD:
                    answer = self._held[:need]
                    self._held = self._held[need:]
                    return answer
                try:
                    need += modbus.tcp_rest(self._held[: modbus.TCP_HEAD])
                except BadReply:
                    self.noise_bytes += len(self._held)
                    self.close()  # nothing in such a stream tells where the next answer begins
                    raise
                continue
            left_ms = timeout_ms - board.ticks_diff(board.ticks_ms(), began)
            data = await stream.read(FRAME_MAX + modbus.TCP_HEAD, left_ms) if left_ms > 0 else b""
            if not data:
                return b""
            self._silent = 0
            self._held += data
