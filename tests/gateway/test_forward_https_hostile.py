"""Servers that answer whatever they like: no answer is taken for another, and none takes for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import h11
import pytest

from gateway.config_model import HttpsDestination as HttpsSettings
from gateway.errors import Refused, Unreachable
from gateway.forward.https import HttpsDestination
from gateway.forward.port import Document
from gateway.web.client import Connection
from tests.gateway.forward_rig import MemoryOutbox, document, drain

GOOD = b"HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n"
BAD = b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"


def doc(i: int) -> Document:
    return document(i, message=True)._replace(name=f"id/{i}")


class Scripted:
    """Answers the n-th request with the n-th of `answers`, the last one for ever; () closes before one."""

    def __init__(self, *answers: Sequence[bytes], pause_s: float = 0.0, close: bool = True):
        self.answers = list(answers)
        self.pause_s = pause_s  # between the parts of an answer
        self.close = close  # the connection, after an answer
        self.heard: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)^content-length: (\d+)\r$", head, re.M)
                self.heard.append(await reader.readexactly(int(length[1]) if length else 0))
                parts = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(self.pause_s)
                if self.close:
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def destination(self, **more: object) -> HttpsDestination:
        url = f"http://127.0.0.1:{self.port}/"
        given = {"id": "d", "kind": "https", "url": url, "timeout_s": 5.0, **more}
        return HttpsDestination(HttpsSettings.model_validate(given))


CHUNKED = b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "chunked": ([CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"], ""),
    "chunked, a byte at a time": ([bytes([b]) for b in CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"], ""),
    "100 before": ([b"HTTP/1.1 100 Continue\r\n\r\n", GOOD], ""),
    "103 twice before": ([b"HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n" * 2 + GOOD], ""),
    "HTTP/1.0 up to its end": ([b"HTTP/1.0 200 OK\r\n\r\nfine"], ""),
    "205 and no body": ([b"HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n"], ""),
    "nothing": ([], "closed the connection before it answered"),
    "a part of a head": ([GOOD[:20]], "closed the connection before it answered"),
    "a part of a body": ([b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nabc"], "before its answer was"),
    "a part of a chunk": ([CHUNKED + b"9\r\nabc"], "before its answer was complete"),
    "chunks without their end": ([CHUNKED + b"3\r\nabc\r\n"], "before its answer was complete"),
    "100 and no more": ([b"HTTP/1.1 100 Continue\r\n\r\n"], "closed the connection before it answered"),
    "101": ([b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"], "not HTTP|closed|complete"),
    "another protocol": ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "is not HTTP"),
    "random": ([bytes(range(256)) * 8], "is not HTTP"),
    "endless headers": ([b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 10_000], "is not HTTP"),
    "two lengths": ([b"HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"], "is not HTTP"),
    "a huge body": ([b"HTTP/1.1 200 x\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999], "larger than"),
    "endless chunks": ([CHUNKED + b"400\r\n%s\r\n" % (b"x" * 1024) * 999], "larger than 65536"),
    "TLS where there is none": ([bytes.fromhex("1503010002022f")], "not HTTP|closed"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_is_whole_or_none(what):
    parts, said = ANSWERS[what]

    async def main() -> None:
        async with Scripted(parts, [GOOD]) as server:
            destination = server.destination()
            if said:
                with pytest.raises(Unreachable, match=said) as caught:
                    await destination.deliver(doc(0))
                assert len(str(caught.value)) < 250
            else:
                await destination.deliver(doc(0))
            await destination.close()
            await destination.deliver(doc(1))
            assert server.heard == [doc(0).body, doc(1).body]
            await destination.close()

    asyncio.run(main())


@pytest.mark.parametrize("what", ["a byte now and then", "one 100 after the other", "nothing at all"])
def test_a_slow_server_is_given_up_in_time(what):
    parts = {
        "a byte now and then": [bytes([b]) for b in GOOD * 9],
        "one 100 after the other": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 999,
        "nothing at all": [b""] * 999,
    }[what]

    async def main() -> None:
        async with Scripted(parts, pause_s=0.05, close=False) as server:
            with pytest.raises(Unreachable, match="did not answer in time"):
                await server.destination(timeout_s=0.3).deliver(doc(0))

    asyncio.run(main())


async def with_an_answer_too_many(late: bool) -> tuple[Scripted, MemoryOutbox]:
    """A server that answers the first request twice, in one go or a little later, and takes nothing else."""
    parts = [GOOD, GOOD] if late else [GOOD + GOOD]
    async with Scripted(parts, [BAD], [BAD], [GOOD], pause_s=0.02 * late, close=False) as server:
        destination, outbox = server.destination(), MemoryOutbox([doc(0)])
        await destination.deliver(doc(0))
        await asyncio.sleep(0.1)
        await drain(destination, outbox)
        return server, outbox


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_nobody_asked_for_confirms_nothing(late):
    async def main() -> None:
        server, outbox = await with_an_answer_too_many(late)
        assert (
            outbox.reasons == [r for r in outbox.reasons if "answers 503" in r] and len(outbox.reasons) == 2
        )
        assert server.connections > 1

    asyncio.run(main())


@pytest.mark.parametrize("late", [False, True])
def test_control_a_connection_that_is_used_again_without_looking_confirms_what_was_not_taken(
    late, monkeypatch
):
    def reusable(self: Connection) -> bool:
        self._http = h11.Connection(h11.CLIENT)
        return True

    answer = Connection._answer

    async def keeping(self: Connection, bytes_max: int):
        found = await answer(self, bytes_max)
        self._line.received[:0] = self._http.trailing_data[0]
        return found

    monkeypatch.setattr(Connection, "reusable", property(reusable))
    monkeypatch.setattr(Connection, "_answer", keeping)

    async def main() -> None:
        _, outbox = await with_an_answer_too_many(late)
        assert outbox.delivered_ids == [1] and outbox.reasons == []

    asyncio.run(main())


def test_an_answer_that_comes_before_a_reset_is_read():
    """A server that says no after the head, does not read the body, and goes: it is not asked for ever."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=4096)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        settings = HttpsSettings.model_validate({"id": "d", "kind": "https", "url": url})
        with pytest.raises(Refused, match="answers 401"):
            await HttpsDestination(settings).deliver(doc(0)._replace(body=b"x" * 5_000_000))
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["https://nobody.invalid/", "https://a..b/", "https://127.0.0.1:1/"])
def test_an_address_where_nobody_is(url):
    async def main() -> None:
        settings = HttpsSettings.model_validate({"id": "d", "kind": "https", "url": url})
        with pytest.raises(Unreachable, match="cannot be reached"):
            await HttpsDestination(settings).deliver(doc(0))

    asyncio.run(main())
