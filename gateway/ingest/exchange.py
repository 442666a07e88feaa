"""One question and its answer on a Modbus line, through pymodbus's client.

Rule 1: only an answer to this very question gives data: transaction, unit, function, byte count and length
        are compared. pymodbus alone takes an answer with transaction 0, another function or byte count.
Rule 2: pymodbus carries the bytes; retries, back-off and reconnecting are the line's (line.py), so that one
        dead instrument is seen as such: retries=0, reconnect_delay=0, no limit of unanswered requests.
Rule 3: time limits are asyncio.timeout, ours. pymodbus uses asyncio.wait_for, which on Python 3.11 forgets a
        cancellation that meets its result; without a timeout it only awaits, hence timeout=None.
Rule 4: an answer's registers stay bytes until decoding.py reads them at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from gateway.ingest.coil import CoilWrite
from gateway.ingest.planner import Block
from protocol.modbus import EXCEPTION_LENGTH, crc16, silence_us

ANSWER = 0  # data bytes, as asked for
SILENT = 1  # nothing came in time
GARBLED = 2  # something came, but no answer to this question, until time was up
WRONG = 3  # an answer to this question that does not fit it
REFUSED = 4  # a Modbus exception
AWAY = 5  # a Modbus gateway says that the unit behind it does not answer
LOST = 6  # the connection or the port is gone

NO_SUCH_UNIT = (10, 11)  # exceptions: gateway path unavailable, gateway target failed to respond
CHARACTER_BITS = 11  # in RTU, whatever the parity: "Modbus over Serial Line" V1.02, 2.5.1
NO_LIMIT = 1 << 30
TCP_BUFFER_MAX = 4096  # bytes; pymodbus's own 264 drop a good answer that arrives behind a late one

# Every refused or late answer is counted here; pymodbus would write several lines for each.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class Exchange:
    """A connection to a Modbus line, one question at a time.

    `link` is ModbusTcp(host, port) or ModbusRtu(path, baud, parity, stopbits).
    `lost` is set while there is no connection.
    """

    def __init__(self, link: Any, timeout_ms: int, mono_ns: Callable[[], int]):
        self._link = link
        self._timeout_s = timeout_ms / 1000
        self._mono_ns = mono_ns
        self.serial = hasattr(link, "baud")
        self._silence_ns = silence_us(link.baud) * 1000 if self.serial else 0
        self._quiet_ns = 0  # when the line was last busy
        self._client: Any = None
        self._asking = False
        self._heard = False
        self.lost = asyncio.Event()
        self.lost.set()

    @property
    def up(self) -> bool:
        """Whether there is a connection, or an open port."""
        return not self.lost.is_set()

    async def connect(self) -> str | None:
        """Connect or open the port; returns None, or a sentence that says why not."""
        self.drop()
        client = self._client = self._make_client()
        try:
            async with asyncio.timeout(self._timeout_s):
                connected = await client.connect()
        except TimeoutError:
            connected, why = False, f"{self._name()} does not answer"
        except Exception as error:  # pyserial lets termios.error and ValueError through for unusable settings
            connected, why = False, f"{self._name()} cannot be opened: {error}"
        else:
            why = f"{self._name()} refuses"
        if not connected or not client.connected:
            client.close()
            return why
        self.lost.clear()
        return None

    def drop(self) -> None:
        """Close the connection; what is on its way is not waited for."""
        self._gone()
        if self._client is not None:
            self._client.close()
            self._client = None

    async def ask(self, block: Block | CoilWrite) -> tuple[int, Any]:
        """(ANSWER, data bytes), (REFUSED | AWAY, Modbus exception code), or another outcome and None."""
        if not self.up:
            return LOST, None
        request = _Question(block)
        limit_s = self._timeout_s
        if self.serial:
            await self._keep_silence()
            if not self.up:
                return LOST, None
            self._client.ctx.framer.expect(block)
            limit_s += (8 + EXCEPTION_LENGTH + block.answer_bytes) * CHARACTER_BITS / self._link.baud
        self._asking, self._heard = True, False
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._client.execute(False, request)
        except TimeoutError:
            return (GARBLED if self._heard else SILENT), None
        except (ModbusException, OSError):
            self.drop()
            return LOST, None
        finally:
            self._asking = False
            self._quiet_ns = self._mono_ns()
        return _judge(answer, request, block)

    def _make_client(self) -> Any:
        watch = {"trace_packet": self._saw, "trace_connect": self._connection}
        common = {"timeout": None, "retries": 0, "reconnect_delay": 0, **watch}
        link = self._link
        if self.serial:
            client = AsyncModbusSerialClient(
                link.path, baudrate=link.baud, parity=link.parity, stopbits=link.stopbits, **common
            )
            client.ctx.framer = _ExpectingRtu(_Decoder(False))
        else:
            client = AsyncModbusTcpClient(link.host, port=link.port, **common)
            client.ctx.framer.decoder = _Decoder(False)
            client.ctx.max_buffer_size = TCP_BUFFER_MAX
        client.set_max_no_responses(NO_LIMIT)
        return client

    def _saw(self, sending: bool, data: bytes) -> bytes:
        """pymodbus shows every packet: notes whether something came that is not merely a late answer."""
        if not sending and not self._heard:
            self._heard = self.serial or not self._late(data)
        return data

    def _late(self, data: bytes) -> bool:
        """Whether these bytes can be an answer to an earlier question: another transaction, yet Modbus."""
        expected = self._client.ctx.request_transaction_id if self._client else 0
        return data[:2] != expected.to_bytes(2, "big") and data[2:4] in (b"", b"\0", b"\0\0")

    def _connection(self, made: bool) -> None:
        if not made:
            self._gone()

    def _gone(self) -> None:
        self.lost.set()
        if self._asking and self._client is not None and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(ConnectionException("the connection is gone"))

    async def _keep_silence(self) -> None:
        left_ns = self._quiet_ns + self._silence_ns - self._mono_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / 1e9)

    def _name(self) -> str:
        return self._link.path if self.serial else f"{self._link.host} port {self._link.port}"


def _judge(answer: Any, request: Any, block: Block | CoilWrite) -> tuple[int, Any]:
    body = answer.body
    if answer.transaction_id != request.transaction_id or answer.dev_id != block.unit:
        return WRONG, None
    if answer.function_code == block.function | 0x80 and len(body) == 1:
        return (AWAY if body[0] in NO_SUCH_UNIT else REFUSED), body[0]
    if answer.function_code != block.function or len(body) != block.answer_bytes + 1:
        return WRONG, None
    if isinstance(block, CoilWrite):
        return (ANSWER, body) if body == block.echo else (WRONG, None)
    if body[0] != block.answer_bytes:
        return WRONG, None
    return ANSWER, body[1:]


class _Question(ReadHoldingRegistersRequest):
    """A read request of any of the four tables, or a write of a coil: they differ in the function only."""

    def __init__(self, block: Block | CoilWrite):
        super().__init__(dev_id=block.unit, address=block.address, count=block.count)
        self.function_code = block.function

    def encode(self) -> bytes:
        return self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big")


class _Answer(ModbusPDU):
    """Whatever came, as it came."""

    body = b""


class _Decoder(DecodePDU):
    """Refuses nothing: an answer that pymodbus cannot decode would close the connection."""

    def decode(self, frame: bytes) -> ModbusPDU:
        answer = _Answer()
        answer.function_code = frame[0]
        answer.body = bytes(frame[1:])
        return answer


class _ExpectingRtu(FramerRTU):
    """Finds the one frame that can be the answer, also behind an echo of the request or a noise byte.

    pymodbus's own framer takes the length from whatever byte stands at its place and drops all on a bad CRC.
    """

    _unit, _function, _lengths = 0, 0, (EXCEPTION_LENGTH, EXCEPTION_LENGTH)

    def expect(self, block: Block | CoilWrite) -> None:
        self._unit, self._function = block.unit, block.function
        self._lengths = (EXCEPTION_LENGTH + block.answer_bytes, EXCEPTION_LENGTH)

    def decode(self, data: bytes) -> tuple[int, int, int, bytes]:
        for at in range(len(data) - EXCEPTION_LENGTH + 1):
            if data[at] != self._unit or data[at + 1] & 0x7F != self._function:
                continue
            end = at + self._lengths[data[at + 1] >> 7]
            if end > len(data):
                continue
            if crc16(data[at : end - 2]) == int.from_bytes(data[end - 2 : end], "little"):
                return len(data), self._unit, 0, data[at + 1 : end - 2]
        return 0, 0, 0, self.EMPTY
