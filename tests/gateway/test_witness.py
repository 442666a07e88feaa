"""gateway/witness.py against the simulator's witness over HTTP, and against servers that answer otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from pathlib import Path

import pytest

from gateway import witness as client
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.errors import Refused, Unreachable
from gateway.journal.handover import new_epoch, rotate_key
from gateway.journal.keys import KEY_FILE
from gateway.journal.stopped import Now, StoppedLog
from gateway.metrics import exporter
from gateway.status import WITNESS_LATE_S
from gateway.web.client import exchange
from protocol import note
from protocol.checkpoint import open_checkpoint
from simulator import witness as simulated
from tests.gateway import app_rig
from tests.gateway.app_rig import until
from tests.gateway.configured import WITNESS
from tests.gateway.test_status import HandTimeline
from tests.gateway.test_tls_link import certificate
from tests.gateway.witness_rig import LOG, NOW_MS, asking, server, site
from tests.servers.process import free_port
from tools.demo.site import table

NOTHING_S = 0.3
"""How long it is watched that nothing happens: some ten tries."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "LOOK_S", 0.01)


def run(story) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))


async def up_to_date(asked: client.Witness, size: int) -> None:
    await until(lambda: asked.counters.size == size and not asked.waiting)


def test_every_checkpoint_is_cosigned_and_stored(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                sizes = []
                for entries in (1, 5, 300, 2):
                    sizes.append(await at.window(entries))
                    await up_to_date(asked, sizes[-1])
            assert at.cosigned(there.witness.vkey) == sizes == list(at.notes())
            assert (asked.counters.asked, asked.counters.cosigned, asked.counters.failed) == (4, 4, 0)
            assert asked.counters.at_ms == NOW_MS + 4 and asked.counters.behind_since_ms is None
            assert there.asked == 4, "a request for each, no 409"

    run(story)


def test_after_a_restart_it_knows_what_was_cosigned(tmp_path):
    async def story():
        async with server(tmp_path) as there:
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                size = await at.window()
                await up_to_date(asked, size)
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                assert at.cosigned(there.witness.vkey) == [size]
                await until(lambda: asked.counters.size == size)
                await asyncio.sleep(NOTHING_S)
                assert (there.asked, asked.counters.asked, asked.waiting) == (1, 0, False)
                await up_to_date(asked, await at.window())
                assert there.asked == 2, "from the size that it knows, without a 409"

    run(story)


def test_while_it_is_away_all_goes_on_and_then_the_newest_is_cosigned(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                first = await at.window()
                await up_to_date(asked, first)
                await there.cut()
                for _ in range(3):
                    size = await at.window()
                await until(lambda: asked.counters.failed >= 3)
                assert "cannot be reached" in asked.counters.last_error and not asked.counters.refused
                assert asked.counters.behind_since_ms == NOW_MS + 60_000 and asked.waiting
                assert at.cosigned(there.witness.vkey) == [first]
                await there.restore()
                await up_to_date(asked, size)
            assert at.cosigned(there.witness.vkey) == [first, size]
            assert asked.counters.last_error == "" and asked.counters.behind_since_ms is None
            assert asked.counters.asked == asked.counters.cosigned + asked.counters.failed

    run(story)


def test_two_witnesses_below_one_note(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as one, server(tmp_path, "w2.example") as two:
            clients = [at.client(there.url, there.witness.vkey) for there in (one, two)]
            async with asking(clients[0]), asking(clients[1]):
                for _ in range(5):
                    size = await at.window()
                    for asked in clients:
                        await up_to_date(asked, size)
            assert at.cosigned(one.witness.vkey, two.witness.vkey) == list(at.notes())

    run(story)


# 409 --------------------------------------------------------------------------------------------------------


def test_an_answer_that_came_too_late_is_asked_for_again(tmp_path):
    """It has remembered, and the cosignature was lost on the way: it knows more than the client thinks."""

    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            there.delay_s = 0.3
            async with asking(at.client(there.url, there.witness.vkey, exchange_s=0.1)) as asked:
                size = await at.window()
                await until(lambda: there.witness.snapshot())
                assert "did not answer in time (0.1 s)" in asked.counters.last_error
                more = await at.window()
                there.delay_s = 0.0
                await up_to_date(asked, more)
            assert at.cosigned(there.witness.vkey) in ([more], [size, more])

    run(story)


def test_one_that_was_rolled_back_gets_the_proof_from_where_it_is(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                sizes = [await at.window()]
                await up_to_date(asked, sizes[-1])
                before = there.witness.snapshot()
                for to in (before, {}):
                    sizes.append(await at.window())
                    await up_to_date(asked, sizes[-1])
                    there.witness.roll_back(to)
                sizes.append(await at.window())
                await up_to_date(asked, sizes[-1])
            assert at.cosigned(there.witness.vkey) == sizes and asked.counters.failed == 0

    run(story)


async def restored(tmp_path: Path, there, forgets: bool) -> tuple[client.Witness, list[int], list[int]]:
    """A gateway's whole state is put back to what it was, the mark outside of the journal included, and it
    measures on. (its client, what was cosigned before, what it signed since and has cosigned)
    """
    async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
        await up_to_date(asked, await at.window(4))
    at.backup()
    async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
        await up_to_date(asked, await at.window(20))
        before = at.cosigned(there.witness.vkey)
    at.restore()
    if forgets:
        there.witness.roll_back({})
    async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
        assert at.journal.unsigned == "", "nothing on this machine knows any better"
        size = await at.window(2)
        assert size < before[-1]
        await until(lambda: asked.counters.dispute or asked.counters.size == size)
        first = asked.counters.dispute
        await at.window(30)
        await until(lambda: not asked.waiting or asked.counters.dispute not in ("", first))
        await asyncio.sleep(NOTHING_S)
        since = [n for n in at.cosigned(there.witness.vkey) if n not in before]
        return asked, before, since


def test_a_log_that_went_back_is_said_loudly_and_never_cosigned(tmp_path):
    async def story():
        async with server(tmp_path) as there:
            asked, before, since = await restored(tmp_path, there, forgets=False)
            assert since == []
            assert asked.counters.dispute.startswith(f"The {before[-1]} entries that it cosigned are not the")
            assert f"It shows our own signature below {before[-1]} entries, kept in" in asked.counters.dispute
            (kept,) = (tmp_path / "gateway/witness").glob("*.checkpoint")
            log = note.parse_vkey((tmp_path / "gateway/log.vkey").read_text().strip())
            held = open_checkpoint(kept.read_bytes(), log, [note.parse_vkey(there.witness.vkey)], 1)
            assert held.size == before[-1] and held.origin == LOG

    run(story)


def test_control_a_witness_that_forgets_would_cosign_the_other_history(tmp_path):
    async def story():
        async with server(tmp_path) as there:
            asked, _, since = await restored(tmp_path, there, forgets=True)
            assert since and asked.counters.dispute == ""

    run(story)


def test_shorter_than_what_it_cosigned_is_said_before_it_is_as_long_again(tmp_path):
    async def story():
        async with server(tmp_path) as there:
            async with site(tmp_path) as at:
                pass
            at.backup()
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                before = await at.window(20)
                await up_to_date(asked, before)
            at.restore()
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                size = await at.window(2)
                await until(lambda: asked.counters.dispute)
                assert asked.counters.last_error == asked.counters.dispute and asked.counters.refused
                said = f"It cosigned {before} entries of this log, and {size} are signed in the journal."
                assert asked.counters.dispute.startswith(said)
                assert f"It shows our own signature below {before} entries, kept in" in asked.counters.dispute
                assert at.cosigned(there.witness.vkey) == []

    run(story)


def hand_over(at, how: str) -> None:
    """Another key, or a new epoch since the key is gone; the journal must be closed."""
    with contextlib.closing(StoppedLog(at.state_dir, LOG)) as log:
        if how == "key":
            rotate_key(log, "once a year", Now(NOW_MS, 1))
        else:
            (at.state_dir / KEY_FILE).unlink()
            new_epoch(log, "the key is gone", Now(NOW_MS, 1))


@pytest.mark.parametrize("how", ["key", "epoch"])
def test_it_cosigns_on_once_it_knows_the_key_that_follows(tmp_path, how):
    async def story():
        async with server(tmp_path) as there:
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                before = await at.window()
                await up_to_date(asked, before)
                old = at.vkey_file.read_text()
            hand_over(at, how)
            known = tmp_path / "known.vkey"
            known.write_text(old)
            there.witness._log_vkeys = [known]
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                size = await at.window()
                await until(lambda: "give" in asked.counters.last_error)
                assert asked.counters.dispute == ""
                known.write_text(old + at.vkey_file.read_text())
                await up_to_date(asked, size)
            held = open_checkpoint(at.notes()[size], at.log, [note.parse_vkey(there.witness.vkey)], 1)
            assert held.size == size and held.origin == at.log.name

    run(story)


def test_a_log_that_went_back_behind_its_rotation_shows_what_the_earlier_key_signed(tmp_path):
    async def story():
        async with server(tmp_path) as there:
            async with site(tmp_path) as at:
                pass
            hand_over(at, "key")
            at.backup()
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                size = await at.window(20)
                await up_to_date(asked, size)
            at.restore()
            hand_over(at, "key")
            async with site(tmp_path) as at, asking(at.client(there.url, there.witness.vkey)) as asked:
                await at.window(2)
                await until(lambda: asked.counters.dispute)
                assert f"It shows our own signature below {size} entries, kept in" in asked.counters.dispute
            async with site(tmp_path) as at:
                assert f"{size} entries were signed" in at.journal.unsigned, "from the next start on"

    run(story)


def test_one_that_complains_and_shows_nothing_against_us(tmp_path, monkeypatch):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                await up_to_date(asked, await at.window())
                with monkeypatch.context() as complaining:
                    complaining.setattr(there.witness, "add", lambda body: simulated.Answer(422, b""))
                    size = await at.window()
                    await until(lambda: asked.counters.dispute)
                    assert "What it shows for it fits the journal" in asked.counters.dispute
                await up_to_date(asked, size)
            assert asked.counters.dispute == "" and not (at.state_dir / "witness").exists()

    run(story)


def test_a_checkpoint_that_the_journal_lost_is_not_made_up(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            size = await at.window()
            await at.journal.commit(marks=[("DELETE FROM checkpoint WHERE size = ?", [(size,)])])
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                await until(lambda: asked.counters.failed)
                assert f"does not hold the checkpoint of {size} entries" in asked.counters.last_error
                await up_to_date(asked, await at.window())

    run(story)


# Cosignatures that are none ---------------------------------------------------------------------------------


async def wrong_is_stored(tmp_path: Path, foreign: bool) -> bool:
    """Whether anything of a cosignature that does not hold, or is of another key, gets into the journal."""
    async with site(tmp_path) as at, server(tmp_path) as there:
        vkey = there.witness.vkey
        if foreign:
            other = simulated.Witness(tmp_path / "other", "witness.example/w1")
            vkey = other.vkey
        there.witness.wrong = not foreign
        async with asking(at.client(there.url, vkey)) as asked:
            await at.window()
            await until(lambda: asked.counters.failed >= 3 or asked.counters.cosigned)
            if asked.counters.failed:
                assert asked.counters.refused
                assert "is no cosignature by the key in its vkey_file" in asked.counters.last_error
            return any(len(note.parse(data).signatures) != 1 for data in at.notes().values())


@pytest.mark.parametrize("foreign", [False, True])
def test_a_wrong_or_foreign_cosignature_is_not_stored(tmp_path, foreign):
    async def story():
        assert not await wrong_is_stored(tmp_path, foreign)

    run(story)


def test_control_without_the_check_a_wrong_one_would_be_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(note, "_verified", lambda verifier, text, signature: 1)

    async def story():
        assert await wrong_is_stored(tmp_path, foreign=False)

    run(story)


def test_a_right_one_after_wrong_ones_is_taken(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            there.witness.wrong = True
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                size = await at.window()
                await until(lambda: asked.counters.refused)
                there.witness.wrong = False
                await up_to_date(asked, size)
            assert at.cosigned(there.witness.vkey) == [size] and not asked.counters.refused

    run(story)


def test_a_cosignature_without_a_time(tmp_path):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            there.witness._now_s = lambda: 0
            async with asking(at.client(there.url, there.witness.vkey)) as asked:
                await at.window()
                await until(lambda: "says no time" in asked.counters.last_error)
            assert at.cosigned(there.witness.vkey) == []

    run(story)


# Answers that are none --------------------------------------------------------------------------------------


def http(status: int, body: bytes = b"", kind: str = "text/plain", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


SIZE = "text/x.tlog.size"
LINE = "— witness.example/w1 ".encode()
ENDLESS = 4096
ANSWERS = {
    "closed at once": (b"", "closed the connection"),
    "cut in the headers": (b"HTTP/1.1 200", "closed the connection|not HTTP"),
    "cut in the body": (http(200, b"x" * 99)[:-50], "not HTTP|closed"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is not HTTP"),
    "random": (bytes(range(256)) * 8, "is not HTTP"),
    "endless headers": (b"HTTP/1.1 200 x\r\n" + b"A: b\r\n" * 10_000, "is not HTTP"),
    "a large body": (http(200, b"x" * 70_000), "larger than 65536 bytes"),
    "endless chunks": (
        b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%s\r\n" % (b"x" * 1024) * ENDLESS,
        "larger than 65536 bytes",
    ),
    "a huge length": (b"HTTP/1.1 200 x\r\nContent-Length: 99999999999999999999\r\n\r\n", "not HTTP|closed"),
    "nothing": (http(200), "is no cosignature"),
    "a page": (http(200, b"<html>\n"), "is no cosignature"),
    "no base64": (http(200, LINE + b"!\n"), "is no cosignature"),
    "a short one": (http(200, LINE + b"AAAAAAAA\n"), "is no cosignature"),
    "no newline": (http(200, LINE + b"AAAAAAAA"), "is no cosignature"),
    "a thousand lines": (http(200, (LINE + b"AAAAAAAA\n") * 1000), "is no cosignature"),
    "not UTF-8": (http(200, b"\xff\xfe\n"), "is no cosignature"),
    "elsewhere": (http(301, more="Location: http://127.0.0.1:1/\r\n"), "answers 301"),
    "malformed": (http(400), "answers 400"),
    "unknown key": (http(403), "another key for this log: give .*log.vkey"),
    "unknown log": (http(404), "does not know this log: give .*log.vkey"),
    "too often": (http(429), "answers 429"),
    "broken": (http(500), "answers 500"),
    "unavailable": (http(503), "answers 503"),
    "no size": (http(409), "409 without the size"),
    "another type": (http(409, b"0\n"), "409 without the size"),
    "no number": (http(409, b"many\n", SIZE), "409 without the size"),
    "not a canonical one": (http(409, b"007\n", SIZE), "409 without the size"),
    "a negative one": (http(409, b"-1\n", SIZE), "409 without the size"),
    "a huge one": (http(409, b"9" * 5000 + b"\n", SIZE), "409 without the size"),
    "the size that was sent": (http(409, b"0\n", SIZE), "does not take the size that it names"),
    "with a charset": (http(409, b"1\n", f"{SIZE}; charset=utf-8"), "does not take the size that it names"),
    "more than there is": (http(409, b"9223372036854775807\n", SIZE), "shows nothing for it that we signed"),
    "its size, which is ours": (http(409, b"4\n", SIZE), "4 entries .* shows nothing for it that we signed"),
    "another history": (http(422), "shows nothing for it that we signed"),
}  # fmt: skip
REFUSING = ("is no cosignature", "answers 301", "answers 400", "give", "we signed")


class Liar:
    """Answers everything with the same bytes, or slowly."""

    def __init__(self, answer: bytes, pause_s: float = 0.0):
        self.answer = answer
        self.pause_s = pause_s
        self.asked = 0
        self.heard: list[tuple[bytes, bytes]] = []  # headers, body

    async def __aenter__(self) -> Liar:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)^content-length: (\d+)\r$", head, re.M)
            self.heard.append((head, await reader.readexactly(int(length[1]) if length else 0)))
            if not self.pause_s:
                writer.write(self.answer)
                await writer.drain()
            for byte in self.answer if self.pause_s else b"":
                writer.write(bytes([byte]))
                await asyncio.sleep(self.pause_s)
        except OSError:
            pass
        finally:
            writer.close()


@pytest.mark.parametrize("what", ANSWERS)
def test_whatever_is_answered_it_goes_on_asking_and_stores_nothing(tmp_path, what):
    answer, said = ANSWERS[what]

    async def story():
        async with site(tmp_path) as at, Liar(answer) as there:
            async with asking(at.client(there.url, WITNESS.verifier.vkey)) as asked:
                size = await at.window()
                plain = at.notes()
                await until(lambda: asked.counters.failed >= 2)
                assert re.search(said, asked.counters.last_error), asked.counters.last_error
                assert asked.counters.refused == any(word in said for word in REFUSING)
                assert bool(asked.counters.dispute) == ("we signed" in said)
                assert at.notes() == plain and at.journal.size == size
            async with (
                server(tmp_path) as honest,
                asking(at.client(honest.url, honest.witness.vkey)) as asked,
            ):
                await up_to_date(asked, size)

    run(story)


def test_the_request_is_what_the_specification_says(tmp_path):
    """Read with nothing of ours: the simulator's witness has the same author as the client."""
    hash_line, key = rb"[A-Za-z0-9+/]{43}=\n", rb"[A-Za-z0-9+/]+={0,2}\n"
    grammar = (
        rb"old (0|[1-9][0-9]*)\n((?:%s){0,63})\n" % hash_line
        + rb"quantrac/LCa/DEMO/NUO001\n([1-9][0-9]*)\n%s\n" % hash_line
        + "— ".encode() + rb"quantrac/LCa/DEMO/NUO001 %s" % key
    )  # fmt: skip

    async def story():
        async with (
            site(tmp_path) as at,
            Liar(http(409, b"3\n", SIZE)) as there,
            asking(at.client(there.url + "/below", WITNESS.verifier.vkey)) as asked,
        ):
            size = await at.window(6)
            await until(lambda: asked.counters.failed)
        first, second = (re.fullmatch(grammar, body) for _, body in there.heard[:2])
        assert first and second
        assert (first[1], first[2], int(first[3])) == (b"0", b"", size)
        assert (second[1], second[2].count(b"\n"), int(second[3])) == (b"3", 4, size), "RFC 6962: PROOF(3, 7)"
        lines = there.heard[0][0].split(b"\r\n")
        assert lines[0] == b"POST /below/add-checkpoint HTTP/1.1"
        assert b"Host: 127.0.0.1:%d" % there.port in lines

    run(story)


def test_a_slow_answer_does_not_hold_it_up_for_longer_than_it_may(tmp_path):
    async def story():
        async with site(tmp_path) as at, Liar(http(200, b"x" * 1000), pause_s=0.01) as there:
            began = asyncio.get_running_loop().time()
            async with asking(at.client(there.url, WITNESS.verifier.vkey, exchange_s=0.2)) as asked:
                await at.window()
                await until(lambda: asked.counters.failed)
                assert asked.counters.last_error == "It did not answer in time (0.2 s)."
                assert asyncio.get_running_loop().time() - began < 2

    run(story)


def test_it_is_cancelled_at_once_whatever_it_waits_for(tmp_path):
    async def story():
        async with site(tmp_path) as at, Liar(b"x", pause_s=30) as there:
            async with asking(at.client(there.url, WITNESS.verifier.vkey)):
                await at.window()
                await until(lambda: there.asked)
                began = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - began < 0.5

    run(story)


def test_a_mistake_of_ours_ends_nothing(tmp_path, monkeypatch):
    async def story():
        async with site(tmp_path) as at, server(tmp_path) as there:
            with monkeypatch.context() as broken:
                broken.setattr(client, "_proof", lambda *arguments: 1 / 0)
                async with asking(at.client(there.url, there.witness.vkey)) as asked:
                    size = await at.window()
                    await until(lambda: asked.counters.failed >= 2)
                    broken.undo()
                    await up_to_date(asked, size)

    run(story)


def test_https_without_a_certificate_that_is_trusted(tmp_path):
    async def story():
        cert, key = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        there = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        port = there.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match="its certificate does not hold"):
            await exchange("POST", f"https://localhost:{port}/add-checkpoint", b"x", seconds=5)
        there.close()

    run(story)


@pytest.mark.parametrize("url", ["http://nobody.invalid", "http://a..b", "http://127.0.0.1:1"])
def test_an_address_where_nobody_is(url):
    async def story():
        with pytest.raises(Unreachable, match="cannot be reached"):
            await exchange("GET", url, seconds=20)

    run(story)


# What the gateway says of it --------------------------------------------------------------------------------


@pytest.fixture
def gateway(tmp_path):
    """A gateway with a witness, opened and not running."""
    (tmp_path / "w.vkey").write_text(WITNESS.verifier.vkey + "\n")
    config = app_rig.write_config(
        tmp_path, app_rig.bus("tank", "modbus-tcp://127.0.0.1:1"), app_rig.bus_channel("Flow", "tank", 0),
        table("[[witness]]", {"url": f"http://127.0.0.1:{free_port()}/", "vkey_file": "w.vkey"}),
    )  # fmt: skip
    opened = Gateway(load(config), Clock(HandTimeline()))
    opened.lines["tank"].counters.up = True
    yield opened
    asyncio.run(opened.journal.close())


def test_current_and_metrics_tell_of_each_witness(gateway):
    name = WITNESS.verifier.name
    (row,) = gateway.status.current()["witnesses"]
    assert row == {
        "name": name, "url": gateway.witnesses[name].url, "size": 0, "age_s": None, "behind_s": None,
        "asked": 0, "cosigned": 0, "failed": 0, "retry_in_s": 0.0, "refused": False, "disputed": False,
        "last_error": "",
    }  # fmt: skip
    assert not row["url"].endswith("/")
    counted = gateway.witnesses[name].counters
    counted.asked, counted.cosigned, counted.failed, counted.size = 5, 3, 2, 1234
    counted.at_ms = HandTimeline.now_ms - 90_000
    page = exporter(gateway.status.families)().decode()
    for line in ("asked_total", "cosigned_total", "failed_total", "size", "age_s", "behind_s", "disputed"):
        assert f'quantrac_witness_{line}{{witness="{name}"}} ' in page, line
    assert f'quantrac_witness_age_s{{witness="{name}"}} 90.0' in page


def test_problems_of_a_witness(gateway, monkeypatch):
    status, name = gateway.status, WITNESS.verifier.name
    counted = gateway.witnesses[name].counters
    assert status.problems() == []
    monkeypatch.setattr(client.Witness, "waiting", True)
    counted.behind_since_ms = HandTimeline.now_ms - 1000
    counted.last_error = "It cannot be reached."
    assert status.problems() == [], "a witness that is away for a moment needs nobody"
    counted.behind_since_ms = HandTimeline.now_ms - round(WITNESS_LATE_S * 1000) - 60_000
    assert status.problems() == [
        f"The witness {name} has cosigned nothing for 61 minutes: It cannot be reached."
    ]
    counted.refused = True
    assert status.problems() == [f"The witness {name} refuses us: It cannot be reached."]
    counted.dispute, counted.last_error = "The log went back.", "It cannot be reached."
    assert status.problems() == [f"The witness {name} holds another history of this log: The log went back."]
