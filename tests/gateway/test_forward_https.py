"""What only HTTPS has, against nginx: certificates of both sides, tokens, statuses, one key a document."""

from __future__ import annotations

import asyncio
import datetime
import logging
import re
import socket
import ssl
import threading
from pathlib import Path
from random import Random

import pytest

from gateway.config_model import HttpsDestination as HttpsSettings
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward.https import HttpsDestination
from gateway.forward.port import Document
from gateway.forward.worker import AFTER_S_MAX, Worker
from tests.gateway.forward_rig import MemoryOutbox, drain, open_files, worker
from tests.gateway.https_rig import HTTPS_RIGS, ClientCertificateRig, HttpsRig
from tests.servers.certificates import Authority

KINDS = list(HTTPS_RIGS)


def run(rig_class: type[HttpsRig], folder: Path, case) -> None:
    async def main() -> None:
        rig = rig_class(folder)
        await rig.start()
        try:
            await case(rig)
        finally:
            await rig.stop()

    asyncio.run(main())


async def refuses(destination: HttpsDestination, document: Document, error: type[DestinationError]) -> str:
    with pytest.raises(error) as caught:
        await destination.deliver(document)
    await destination.close()
    assert str(caught.value).endswith(".")
    return str(caught.value)


# Once, with one key -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again_is_there_once_with_the_same_bytes(kind, tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination, one = rig.destination(), rig.document(0)
        await destination.deliver(one)
        await destination.deliver(one._replace(attempts=1))
        await destination.close()
        await destination.deliver(one)  # and over another connection
        assert rig.seen() == [one.body]
        assert rig.store.posts == [("LCa/DEMO/NUO001/window/20260325000000/1", one.body)] * 3
        await destination.close()

    run(HTTPS_RIGS[kind], tmp_path, case)


@pytest.mark.parametrize("back", [0, 1, 40, 150])
def test_an_answer_that_is_cut_is_none_and_the_next_try_has_the_same_key(tmp_path, back):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        rig.proxy.cut_back_after = back
        await refuses(destination, rig.document(1), Unreachable)
        assert rig.proxy.cuts == 1
        await destination.deliver(rig.document(1, attempts=1))
        keys = [key for key, _ in rig.store.posts]
        assert keys == [rig.document(i).name for i in (0, 1, 1)]
        assert rig.seen() == [rig.document(0).body, rig.document(1).body]
        await destination.close()

    run(HttpsRig, tmp_path, case)


class NewKeyEachTime(HttpsDestination):
    """The control: what a client without Idempotency-Key amounts to."""

    def __init__(self, settings: HttpsSettings):
        super().__init__(settings)
        self._random = Random(1)

    async def deliver(self, document: Document) -> None:
        await super().deliver(document._replace(name=f"{document.name}-{self._random.random()}"))


CUTS, DOCUMENTS = 30, 120


async def cut_everywhere(rig: HttpsRig, destination: HttpsDestination) -> list[bytes]:
    """What is seen after a backlog that was cut CUTS times, at any byte of a request or an answer."""
    random, documents = Random(3), [rig.document(i) for i in range(DOCUMENTS)]
    outbox = MemoryOutbox(documents)
    task = asyncio.create_task(worker(destination, outbox).run())
    while not outbox.drained.is_set():
        if rig.proxy.cuts < CUTS and rig.proxy.cut_after is None and rig.proxy.cut_back_after is None:
            if random.random() < 0.5:
                rig.proxy.cut_after = random.randrange(4000)
            else:
                rig.proxy.cut_back_after = random.randrange(2500)
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert rig.proxy.cuts > CUTS // 2 and set(rig.seen()) == {one.body for one in documents}
    return rig.seen()


def test_cut_at_any_byte_nothing_is_lost_nothing_doubled_and_all_in_order(tmp_path):
    async def case(rig: HttpsRig) -> None:
        expected = [rig.document(i).body for i in range(DOCUMENTS)]
        assert await cut_everywhere(rig, rig.destination()) == expected
        assert len(rig.store.posts) > DOCUMENTS  # some came again, and were known by their key

    run(HttpsRig, tmp_path, case)


def test_control_with_a_new_key_at_each_try_something_is_doubled(tmp_path):
    async def case(rig: HttpsRig) -> None:
        assert len(await cut_everywhere(rig, NewKeyEachTime(rig.settings()))) > DOCUMENTS

    run(HttpsRig, tmp_path, case)


def test_one_connection_serves_a_backlog_and_is_made_anew_after_a_pause(tmp_path):
    async def case(rig: HttpsRig) -> None:
        made: list[object] = []
        destination = rig.destination(keepalive_s=1)
        connect = destination._connect

        async def counted():
            made.append(connection := await connect())
            return connection

        destination._connect = counted  # type: ignore[method-assign]
        outbox = MemoryOutbox([rig.document(i) for i in range(100)])
        one = await drain(destination, outbox)
        assert (one.counters.delivered, one.counters.failed, len(made)) == (100, 0, 1)
        await destination.deliver(rig.document(200))
        destination._used_s -= 1.5
        await destination.deliver(rig.document(201))
        assert len(made) == 3
        await destination.close()

    run(HttpsRig, tmp_path, case)


def test_a_server_that_closed_between_documents_costs_no_attempt(tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await rig.server_down()
        await rig.server_up()
        await asyncio.sleep(0.05)
        await destination.deliver(rig.document(1))
        await destination.close()

    run(HttpsRig, tmp_path, case)


def test_reconnecting_leaks_nothing(tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await asyncio.sleep(0.1)
        before = open_files()
        for i in range(30):
            rig.proxy.cut_after = 600 if i % 3 == 0 else None
            try:
                await destination.deliver(rig.document(i))
            except Unreachable:
                pass
            await destination.close()
        await asyncio.sleep(0.1)
        assert open_files() <= before + 2

    run(HttpsRig, tmp_path, case)


# Who is who -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_another_certificate_is_refused_and_said_and_gets_no_token(kind, tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await rig.server_down()
        rig.new_identity()
        await rig.server_up()
        said = await refuses(destination, rig.document(1), Refused)
        assert "its certificate does not hold" in said and "only then replace ca_file" in said
        assert "v1/documents" not in (rig.server.folder / "access.log").read_text().split("\n", 1)[1]

    run(HTTPS_RIGS[kind], tmp_path, case)


def test_a_renewed_certificate_of_the_same_authority_is_taken(tmp_path):
    async def case(rig: HttpsRig) -> None:
        await rig.server_down()
        rig.server.cert_file, rig.server.key_file = rig.server.authority.issue("renewed")
        await rig.server_up()
        await drain(rig.destination(), MemoryOutbox([rig.document(0)]))

    run(HttpsRig, tmp_path, case)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hosts": ("other.example.org",)}, "not valid for '127.0.0.1'"),
        ({"ends": datetime.timedelta(days=-1)}, "certificate has expired"),
        ({"client": True}, "unsuitable certificate purpose"),
    ],
    ids=["another name", "expired", "of a client"],
)
def test_a_certificate_of_the_right_authority_that_does_not_hold(tmp_path, given, said):
    async def case(rig: HttpsRig) -> None:
        await rig.server_down()
        rig.server.cert_file, rig.server.key_file = rig.server.authority.issue("wrong", **given)
        await rig.server_up()
        assert said in await refuses(rig.destination(), rig.document(0), Refused)
        assert rig.store.posts == []

    run(HttpsRig, tmp_path, case)


def test_ca_file_may_pin_the_very_certificate(tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination(ca_file=str(rig.server.cert_file))
        await destination.deliver(rig.document(0))
        await destination.close()
        await rig.server_down()
        rig.server.cert_file, rig.server.key_file = rig.server.authority.issue("renewed")
        await rig.server_up()
        await refuses(destination, rig.document(1), Refused)

    run(HttpsRig, tmp_path, case)


def test_without_ca_file_the_system_decides_and_does_not_know_the_test(tmp_path):
    async def case(rig: HttpsRig) -> None:
        assert "does not hold" in await refuses(rig.destination(ca_file=None), rig.document(0), Refused)

    run(HttpsRig, tmp_path, case)


def test_a_server_with_tls_1_1_only_is_refused(tmp_path):
    async def case(rig: HttpsRig) -> None:
        await rig.server_down()
        rig.server.more = "ssl_protocols TLSv1 TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;"
        await rig.server_up()
        assert "does not agree on TLS" in await refuses(rig.destination(), rig.document(0), Refused)

    run(HttpsRig, tmp_path, case)


def test_our_certificate_missing_foreign_and_corrected(tmp_path):
    """nginx says so with status 400: no document is parked for that."""

    async def case(rig: HttpsRig) -> None:
        one = rig.document(0)
        none = rig.destination(cert_file=None, key_file=None)
        assert "wants a certificate" in await refuses(none, one, Refused)
        cert, key = Authority(tmp_path / "foreign").issue("station", client=True)
        foreign = rig.destination(cert_file=str(cert), key_file=str(key))
        assert "wants a certificate" in await refuses(foreign, one, Refused)
        cert.write_bytes(rig.cert_file.read_bytes())
        assert "cannot be used" in await refuses(foreign, one, Refused)  # it is not the key's
        key.write_bytes(rig.key_file.read_bytes())
        await foreign.deliver(one)
        assert rig.seen() == [one.body]
        await foreign.close()

    run(ClientCertificateRig, tmp_path, case)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("given", ["none", "foreign", "expired"])
def test_a_server_that_ends_tls_for_our_certificate(tmp_path, version, given):
    """Not nginx: the alert comes in the handshake, or with TLS 1.3 after it."""
    authority, clients = Authority(tmp_path / "s"), Authority(tmp_path / "c", "clients")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(clients.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    signer = Authority(tmp_path / "f") if given == "foreign" else clients
    ends = datetime.timedelta(days=-1 if given == "expired" else 1)
    cert, key = signer.issue("station", ends=ends, client=True)
    own = {} if given == "none" else {"cert_file": str(cert), "key_file": str(key)}

    def serve(listening: socket.socket) -> None:  # a thread: asyncio's own TLS sends no alert
        raw, _ = listening.accept()
        with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as secured:
            with pytest.raises(ssl.SSLError):
                secured.do_handshake()
            secured.shutdown(socket.SHUT_WR)
            while secured.recv(4096):
                pass  # a reset for what was not read could overtake the alert

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        made = {"id": "d", "kind": "https", "url": url, "ca_file": str(authority.ca_file), **own}
        destination = HttpsDestination(HttpsSettings.model_validate(made))
        said = asyncio.run(refuses(destination, HttpsRig(tmp_path).document(0), Refused))
        thread.join(10)
    assert "our certificate" in said or "may want a client certificate" in said


def test_a_token_is_in_no_sentence_and_no_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    token = "s3cret-t0ken"

    async def case(rig: HttpsRig) -> None:
        rig.password_file.write_text(f"{token}\n")
        rig.store.answer = 500, f"X-Echo: {token}\r\n"
        said = await refuses(rig.destination(), rig.document(0), Unreachable)
        rig.store.answer = 302, f"Location: https://elsewhere.example.org/?token={token}\r\n"
        said += await refuses(rig.destination(), rig.document(0), Refused)
        rig.store.answer = None
        said += await refuses(rig.destination(), rig.document(0), Refused)
        assert token not in said and "elsewhere.example.org/?token=..." in said
        for wrong in ("two words", "ü", "a\x07"):
            rig.password_file.write_text(wrong)
            assert wrong not in await refuses(rig.destination(), rig.document(0), Refused)

    run(HttpsRig, tmp_path, case)
    assert token not in caplog.text


# What it answers --------------------------------------------------------------------------------------------

STATUSES = [
    *((status, Unreachable) for status in (408, 425, 429, 500, 502, 503, 504, 507, 599)),
    *((status, Refused) for status in (401, 403, 407, 404, 405, 410, 300, 301, 302, 303, 304, 307, 308)),
    *((status, Rejected) for status in (400, 402, 413, 415, 422, 431, 451)),
    *((status, None) for status in (200, 201, 202, 204, 206, 409)),
]


def test_every_status_means_what_the_contract_says(tmp_path):
    async def case(rig: HttpsRig) -> None:
        destination = rig.destination()
        for status, error in STATUSES:
            rig.store.answer = status, ""
            if error is None:
                await destination.deliver(rig.document(0))
                continue
            said = await refuses(destination, rig.document(0), error)
            assert f"answers {status}" in said
        assert rig.store.documents == {}

    run(HttpsRig, tmp_path, case)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_server_and_one_that_denies_hold_everything_until_they_take_it(kind, tmp_path):
    async def case(rig: HttpsRig) -> None:
        documents = [rig.document(i) for i in range(5)]
        for trouble, refused in ((rig.fill, False), (rig.deny_writing, True)):
            outbox = MemoryOutbox(documents)
            await trouble()
            one = worker(rig.destination(), outbox)
            task = asyncio.create_task(one.run())
            while one.counters.failed < 2:
                await asyncio.sleep(0.005)
            assert one.counters.refused == refused and outbox.delivered_ids == [] and outbox.parked == {}
            await rig.allow()
            await asyncio.wait_for(outbox.drained.wait(), 30)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert outbox.delivered_ids == [1, 2, 3, 4, 5]
        assert rig.seen() == [one.body for one in documents]

    run(HTTPS_RIGS[kind], tmp_path, case)


def test_a_wrong_address_parks_nothing_and_holds_everything_until_it_is_right(tmp_path):
    """As nginx itself says it (404, and 405 from a page)."""

    async def case(rig: HttpsRig) -> None:
        await rig.server_down()
        page = rig.server.folder / "v1" / "page.html"
        page.parent.mkdir()
        page.write_text("where people read")
        rig.server.more = (
            f"location /v1/wrong {{ return 404; }} location = /v1/page.html {{ root {rig.server.folder}; }}"
        )
        await rig.server_up()
        for path, status in (("wrong", 404), ("page.html", 405)):
            outbox = MemoryOutbox([rig.document(i) for i in range(3)])
            url = f"https://127.0.0.1:{rig.proxy.port}/v1/{path}"
            one = worker(rig.destination(url=url), outbox)
            task = asyncio.create_task(one.run())
            while one.counters.failed < 3:
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            said = one.counters.last_error
            assert f"answers {status}" in said and "Correct url" in said and one.counters.refused
            assert outbox.parked == {} and outbox.delivered_ids == []
            await drain(rig.destination(), outbox)
            assert outbox.delivered_ids == [1, 2, 3]

    run(HttpsRig, tmp_path, case)


def test_a_document_too_large_for_nginx_is_parked_and_the_next_goes(tmp_path):
    async def case(rig: HttpsRig) -> None:
        large = rig.document(1, body=b"x" * 3_000_000)
        outbox = MemoryOutbox([rig.document(0), large, rig.document(2)])
        await drain(rig.destination(), outbox)
        assert outbox.delivered_ids == [1, 3] and "answers 413" in outbox.parked[2]
        assert rig.seen() == [rig.document(0).body, rig.document(2).body]

    run(HttpsRig, tmp_path, case)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ("Retry-After: 120", 120.0),
        ("Retry-After: 86400", 86_400.0),
        ("Retry-After: soon", 0.0),
        ("Retry-After: -5", 0.0),
        ("Retry-After: " + "9" * 400, 0.0),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nDate: Fri, 31 Dec 1999 23:59:29 GMT", 30.0),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nDate: Fri, 31 Dec 2001 23:59:29 GMT", 0.0),
    ],
)
def test_retry_after(tmp_path, headers, seconds):
    """Straight from a server: nginx writes a Date of its own."""

    async def main() -> None:
        async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 503 x\r\nContent-Length: 0\r\n{headers}\r\n\r\n".encode())

        server = await asyncio.start_server(busy, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        settings = HttpsSettings.model_validate({"id": "d", "kind": "https", "url": url})
        with pytest.raises(Unreachable) as caught:
            await HttpsDestination(settings).deliver(HttpsRig(tmp_path).document(0))
        assert caught.value.after_s == seconds
        server.close()

    asyncio.run(main())


def test_the_worker_waits_as_long_as_it_was_asked_to_and_no_longer_than_it_may(tmp_path):
    async def case(rig: HttpsRig) -> None:
        pauses: list[float] = []

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            rig.store.answer = (503, "Retry-After: 1000000\r\n") if len(pauses) == 1 else None

        rig.store.answer = 429, "Retry-After: 77\r\n"
        outbox = MemoryOutbox([rig.document(0)])
        one = Worker("d", rig.destination(), outbox, random=Random(1), sleep=sleep)
        task = asyncio.create_task(one.run())
        await asyncio.wait_for(outbox.drained.wait(), 30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pauses == [77.0, AFTER_S_MAX]

    run(HttpsRig, tmp_path, case)


def test_a_redirect_is_not_followed_and_names_the_address(tmp_path):
    async def case(rig: HttpsRig) -> None:
        async def trap(*_: object) -> None:
            raise AssertionError("followed")

        elsewhere = await asyncio.start_server(trap, "127.0.0.1", 0)
        there = f"http://127.0.0.1:{elsewhere.sockets[0].getsockname()[1]}/new"
        rig.store.answer = 308, f"Location: {there}\r\n"
        assert f"points to {there}." in await refuses(rig.destination(), rig.document(0), Refused)
        elsewhere.close()

    run(HttpsRig, tmp_path, case)


def test_an_id_that_no_header_can_carry_is_parked(tmp_path):
    async def case(rig: HttpsRig) -> None:
        for name in ("", "a b", "a\r\nX: y", "Trạm"):
            await refuses(rig.destination(), rig.document(0)._replace(name=name), Rejected)
        assert rig.store.posts == []

    run(HttpsRig, tmp_path, case)


def test_the_request_is_what_the_interface_says(tmp_path):
    """Read with nothing of ours but a regular expression."""

    async def main() -> None:
        heard: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            length = re.search(rb"(?i)^content-length: (\d+)\r$", heard[0], re.M)
            assert length
            heard.append(await reader.readexactly(int(length[1])))
            writer.write(b"HTTP/1.1 204 x\r\n\r\n")

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        (tmp_path / "token").write_text("abc\n")
        one = HttpsRig(tmp_path).document(0)
        destination = HttpsDestination(
            HttpsSettings.model_validate(
                {
                    "id": "d", "kind": "https", "url": f"http://127.0.0.1:{port}/v1/in/",
                    "token_file": str(tmp_path / "token"),
                }
            )
        )  # fmt: skip
        await destination.deliver(one)
        await destination.close()
        lines = heard[0].decode().split("\r\n")
        assert lines[0] == "POST /v1/in/ HTTP/1.1"
        assert f"Host: 127.0.0.1:{port}" in lines and "Authorization: Bearer abc" in lines
        assert f"Idempotency-Key: {one.name}" in lines and "Content-Type: application/json" in lines
        assert heard[1] == one.body
        server.close()

    asyncio.run(main())
