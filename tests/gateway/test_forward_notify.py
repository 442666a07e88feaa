"""Alerts to people, against a real mail server: what a mail holds, what answers mean, what is joined, and
that nothing is lost, doubled or shown. The cases of all destinations are in test_forward_contract.py.
"""

from __future__ import annotations

import asyncio
import email
import json
import logging
import ssl
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config_model import NotifyDestination as NotifySettings
from gateway.config_notify import Mail
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.forward import notify, notify_mail
from gateway.forward.notify import TOGETHER_MAX, NotifyDestination
from gateway.forward.port import Confirmation, Document
from gateway.reports.alert_text import Notice
from tests.gateway.forward_rig import T0, MemoryOutbox, drain, run_rig, worker
from tests.gateway.notify_rig import TO, MailRig, TlsMailRig, alert_document, teller
from tests.gateway.wrong_forwarders import Hopeful


async def refuses(destination: NotifyDestination, document: Document, error: type[DestinationError]) -> str:
    with pytest.raises(error) as caught:
        await destination.deliver(document)
    await destination.close()
    assert str(caught.value).endswith(".")
    return str(caught.value)


# What arrives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rig_class", [MailRig, TlsMailRig])
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_mail_as_a_mail_program_reads_it(tmp_path, rig_class, lang):
    async def case(rig: MailRig) -> None:
        destination = rig.destination(lang=lang)
        found = await destination.deliver(alert_document(7))
        [message], [(recipients, body)] = rig.server.messages, rig.server.received
        told = teller(lang).notice([json.loads(alert_document(7).body)])
        assert (message["Subject"], message.get_content().replace("\r\n", "\n")) == (told.subject, told.text)
        assert ("Vượt giới hạn: COD" if lang == "vi" else "Limit exceeded: COD") in told.text
        assert ("80,07 mg/l" if lang == "vi" else "80.07 mg/l") in told.text
        assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
        assert recipients == list(TO) and message["To"] == ", ".join(TO)
        assert message["From"] == "Quantrac <station@example.vn>"
        at_ms = alert_document(7).at_ms
        assert parsedate_to_datetime(message["Date"]).timestamp() * 1000 == at_ms
        assert message["Auto-Submitted"] == "auto-generated" and body.isascii()
        assert max(len(line) for line in body.split(b"\r\n")) <= 998  # RFC 5321, 4.5.3.1.6
        assert found == Confirmation(f"smtp://127.0.0.1:{rig.port()}", found.size, "250 2.0.0 queued as 1")
        assert abs(found.size - len(body)) <= 2
        await destination.close()

    run_rig(rig_class, tmp_path, case)


SENDER = Mail("h", 25, "none", "", "", "a@b.vn", ("c@d.vn",))


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" ệ("), max_size=120).map(
        lambda text: " ".join(text.split())
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), max_size=300),
)
@settings(deadline=None)
def test_any_subject_and_text_come_through_a_mail_as_they_were(subject, text):
    body = notify_mail.written(SENDER, Notice(subject, text + "\n", False), "x", T0)
    read = email.message_from_bytes(body, policy=default)
    assert read["Subject"] == subject and body.isascii()
    assert read.get_content().replace("\r\n", "\n") == text + "\n"
    assert all(len(line) <= 998 for line in body.split(b"\r\n")) and b"\n" not in body.replace(b"\r\n", b"")


def test_the_same_alerts_are_the_same_message_byte_for_byte(tmp_path):
    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        for one in (alert_document(1), alert_document(1, attempts=1), alert_document(2)):
            await destination.deliver(one)
            await destination.close()
        first, again, _ = rig.server.received
        assert first == again
        ids = [message["Message-ID"] for message in rig.server.messages]
        assert ids[0] == ids[1] != ids[2] and ids[0].endswith("@example.vn>")

    run_rig(MailRig, tmp_path, case)


def test_what_is_no_alert_is_parked_and_keeps_nothing_back(tmp_path):
    async def case(rig: MailRig) -> None:
        wrong = [alert_document(2)._replace(body=body) for body in (b"", b"[]", b'{"id": 1}', b"\xff", b"7")]
        outbox = MemoryOutbox([alert_document(0), wrong[0]._replace(id=2), alert_document(2)])
        await drain(rig.destination(), outbox)
        assert list(outbox.parked) == [2] and rig.entries() == [0, 2]
        for one in wrong:
            assert "no alert" in await refuses(rig.destination(), one, Rejected)

    run_rig(MailRig, tmp_path, case)


# What a server answers ------------------------------------------------------------------------------------

ANSWERS = [
    ("MAIL", "550 5.7.1 not this sender", Refused, "to our sender"),
    ("MAIL", "530 5.7.0 authentication required", Refused, "user or password"),
    ("MAIL", "451 4.3.0 later", Unreachable, "451"),
    (TO[0], "450 4.2.0 greylisted", Unreachable, "450"),
    (TO[1], "450 4.2.0 greylisted", Unreachable, "450"),
    ("DATA", "452 4.3.1 full", Unreachable, "452"),
    ("DATA", "421 4.3.2 shutting down", Unreachable, "421"),
    ("DATA", "554 5.7.1 looks like spam", Rejected, "to the message"),
    ("DATA", "552 5.3.4 too big", Rejected, "to the message"),
]


@pytest.mark.parametrize(("at", "answer", "error", "said"), ANSWERS)
def test_what_answers_mean_and_nobody_has_it_before_all_may(tmp_path, at, answer, error, said):
    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        rig.server.answers[at] = answer
        assert said in await refuses(destination, alert_document(0), error)
        assert rig.server.received == []
        rig.server.answers.clear()
        await destination.deliver(alert_document(0))
        assert [recipients for recipients, _ in rig.server.received] == [list(TO)]
        await destination.close()

    run_rig(MailRig, tmp_path, case)


def test_one_unknown_recipient_keeps_it_from_nobody_and_is_told(tmp_path, caplog):
    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        rig.server.answers[TO[0]] = "550 5.1.1 no such user"
        found = await destination.deliver(alert_document(0))
        assert [recipients for recipients, _ in rig.server.received] == [[TO[1]]]
        assert found.answer == "250 2.0.0 queued as 1 / not to 1 of 2: 550 5.1.1 no such user"
        rig.server.answers[TO[1]] = "550 5.1.1 no such user"
        assert "every recipient" in await refuses(destination, alert_document(1), Refused)
        assert len(rig.server.received) == 1

    run_rig(MailRig, tmp_path, case)
    assert "takes nothing for 1 of 2 recipients" in caplog.text


def test_no_password_without_tls_and_none_to_a_stranger(tmp_path):
    """Another certificate, and a server (or whoever is on the way) that offers no STARTTLS."""

    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        await rig.server_down()
        rig.new_identity()
        await rig.server_up()
        assert "cannot be trusted" in await refuses(destination, alert_document(0), Refused)
        await rig.server_down()
        rig.server.mode = "none"
        await rig.server_up()
        assert "offers no STARTTLS" in await refuses(destination, alert_document(0), Refused)
        assert rig.server.logins == [] and rig.server.received == []

    run_rig(MailRig, tmp_path, case)


def test_control_without_the_check_of_certificates_a_stranger_gets_the_password(tmp_path, monkeypatch):
    def careless(*_: object) -> ssl.SSLContext:
        made = ssl.create_default_context()
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        return made

    monkeypatch.setattr(notify_mail.tls, "context", careless)

    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        await rig.server_down()
        rig.new_identity()
        await rig.server_up()
        await destination.deliver(alert_document(0))
        assert "right" in rig.server.logins

    run_rig(MailRig, tmp_path, case)


def test_the_password_is_in_no_sentence_no_confirmation_and_no_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "s3cret-pa55"

    async def case(rig: MailRig) -> None:
        rig.server.password = secret
        rig.password_file.write_text(secret)
        destination = NotifyDestination(rig.settings(), teller())
        said = []
        rig.server.answers["DATA"] = f"250 2.0.0 queued, {secret}"
        found = await destination.deliver(alert_document(0))
        for at, answer, error in (
            ("MAIL", f"550 {secret}", Refused),
            (TO[0], f"450 {secret}", Unreachable),
            ("DATA", f"554 {secret}", Rejected),
        ):
            rig.server.answers = {at: answer}
            said.append(await refuses(destination, alert_document(1), error))
        rig.server.answers = {}
        rig.server.password = "another"
        said.append(await refuses(destination, alert_document(1), Refused))
        rig.url_file.write_text(f"telegram://{secret}/1\n")
        said.append(await refuses(destination, alert_document(1), Refused))
        assert all(secret not in one for one in said) and secret not in repr(found)
        assert all("..." in one for one in said[:3])  # and it was there to be hidden

    run_rig(MailRig, tmp_path, case)
    ours = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # the server's
    assert ours and not any(secret in said for said in ours)


HOSTILE = [
    b"",  # closes at once
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\xff\x00\xfe\r\n",
    b"220",
    b"220 hello\r\n" * 3,
    b"220-hello\r\n" * 50_000,
    b"220 " + b"x" * 2_000_000,
    b"220 hello\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n220 go\r\nnot TLS at all, not at all\r\n" + b"x" * 5000,
    b"421 4.3.2 too many connections\r\n",
]


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("ends", [True, False], ids=["ends", "stays"])
def test_whatever_answers_it_is_an_error_of_ours(tmp_path, said, ends):
    """All of it at once, unasked; then the end, or silence."""

    async def main() -> None:
        open_ones: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_ones.append(writer)
            writer.write(said)
            try:
                await writer.drain()
                if not ends:
                    await asyncio.sleep(30)
            except OSError:
                pass
            finally:
                writer.transport.abort() if not ends else writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = tmp_path / "url"
        url.write_text(
            f"mailtos://u:right@127.0.0.1:{server.sockets[0].getsockname()[1]}/?to=a@b.vn&from=a@b.vn\n"
        )
        given = {
            "id": "d",
            "kind": "notify",
            "url_file": str(url),
            "connect_timeout_s": 1.0,
            "timeout_s": 1.0,
        }
        destination = NotifyDestination(NotifySettings.model_validate(given), teller())
        async with asyncio.timeout(20):
            found = await refuses(destination, alert_document(0), DestinationError)
        assert "right" not in found
        server.close()
        for writer in open_ones:
            writer.transport.abort()

    asyncio.run(main())


def test_a_host_that_no_name_server_could_know_is_unreachable(tmp_path):
    async def case(rig: MailRig) -> None:
        for host in ("a" * 70 + ".vn", "a..b"):
            destination = rig.destination(host=host)
            assert "cannot be reached" in await refuses(destination, alert_document(0), Unreachable)

    run_rig(MailRig, tmp_path, case)


# Joined ---------------------------------------------------------------------------------------------------


async def spread(rig: MailRig, least_s: int) -> list[float]:
    """Alerts 0 to 4, the last four while the pause lasts, if there is one; when each message was taken."""
    times: list[float] = []
    destination, loop = rig.destination(least_s=least_s), asyncio.get_running_loop()
    taken = rig.server.handle_DATA

    async def timed(*given):
        times.append(loop.time())
        return await taken(*given)

    rig.server.handle_DATA = timed  # type: ignore[method-assign]
    await destination.deliver(alert_document(0))
    later = []
    for i in range(1, 5):
        later.append(asyncio.create_task(destination.deliver(alert_document(i))))
        if least_s == 0:
            await later[-1]
    found = await asyncio.gather(*later)
    assert rig.entries() == [0, 1, 2, 3, 4]
    assert (len(set(found)) == 1) == (least_s > 0)  # one confirmation for all of one message
    await destination.close()
    return times


def test_at_most_one_message_in_least_s_and_what_comes_meanwhile_is_in_the_next(tmp_path):
    async def case(rig: MailRig) -> None:
        times = await spread(rig, 1)
        assert len(times) == 2 and times[1] - times[0] >= 0.99
        assert "gộp 4 cảnh báo" in rig.server.texts()[1] and "4 cảnh báo" in rig.server.messages[1]["Subject"]

    run_rig(MailRig, tmp_path, case)


def test_control_without_a_pause_each_is_a_message(tmp_path):
    async def case(rig: MailRig) -> None:
        assert len(await spread(rig, 0)) == 5

    run_rig(MailRig, tmp_path, case)


def test_a_backlog_is_joined_in_order_each_once(tmp_path):
    async def case(rig: MailRig) -> None:
        outbox = MemoryOutbox([alert_document(i) for i in range(120)])
        one = await drain(rig.destination(), outbox)
        assert rig.entries() == list(range(120)) and outbox.delivered_ids == list(range(1, 121))
        assert (one.counters.delivered, one.counters.failed) == (120, 0)
        assert 120 / TOGETHER_MAX <= len(rig.server.received) < 12

    run_rig(MailRig, tmp_path, case)


def test_one_alert_that_is_rejected_parks_no_other(tmp_path):
    async def case(rig: MailRig) -> None:
        rig.server.rejects = ["mục 7 của"]
        outbox = MemoryOutbox([alert_document(i) for i in range(30)])
        await drain(rig.destination(), outbox)
        assert list(outbox.parked) == [8]  # ids begin at 1
        assert sorted(rig.entries()) == [i for i in range(30) if i != 7]

    run_rig(MailRig, tmp_path, case)


# Lost, doubled --------------------------------------------------------------------------------------------


async def cut_everywhere(rig: MailRig, destination) -> tuple[set[int], list[int]]:
    """Entries that were marked, and that came, after a backlog cut at many places, one alert at a time."""
    outbox = MemoryOutbox()
    task = asyncio.create_task(worker(destination, outbox).run())
    for i in range(25):
        rig.proxy.cut_after = 150 * i
        outbox.put(alert_document(i))
        await asyncio.wait_for(outbox.drained.wait(), 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return {i - 1 for i in outbox.delivered_ids}, rig.entries()


def test_cut_at_many_places_nothing_that_is_marked_is_missing(tmp_path):
    async def case(rig: MailRig) -> None:
        marked, came = await cut_everywhere(rig, rig.destination())
        assert marked == set(came) == set(range(25)) and rig.proxy.cuts > 8

    run_rig(MailRig, tmp_path, case)


def test_control_marked_when_it_was_begun_some_are_missing(tmp_path):
    async def case(rig: MailRig) -> None:
        marked, came = await cut_everywhere(rig, Hopeful(rig, Random(1)))
        assert marked == set(range(25)) > set(came)

    run_rig(MailRig, tmp_path, case)


async def stopped_before_the_answer(rig: MailRig) -> list[int]:
    """A gateway that is stopped when the mail server has the text and did not say so; then the next one."""
    taken, has_it = rig.server.handle_DATA, asyncio.Event()

    async def slow(*given):
        said = await taken(*given)
        has_it.set()
        await asyncio.sleep(0.2)
        return said

    rig.server.handle_DATA = slow  # type: ignore[method-assign]
    outbox = MemoryOutbox([alert_document(i) for i in range(3)])
    task = asyncio.create_task(worker(rig.destination(), outbox).run())
    await has_it.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if outbox.waiting:
        await drain(rig.destination(), outbox)
    return rig.entries()


def test_stopped_while_the_server_thinks_nothing_is_lost_nothing_doubled(tmp_path):
    async def case(rig: MailRig) -> None:
        assert await stopped_before_the_answer(rig) == [0, 1, 2]

    run_rig(MailRig, tmp_path, case)


def test_control_torn_off_at_once_it_comes_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "LAST_S_MAX", 0.0)

    async def case(rig: MailRig) -> None:
        assert await stopped_before_the_answer(rig) == [0, 1, 2, 0, 1, 2]

    run_rig(MailRig, tmp_path, case)


def test_stopped_in_a_pause_it_waits_for_nothing_and_the_next_start_tells_it(tmp_path):
    async def case(rig: MailRig) -> None:
        outbox = MemoryOutbox([alert_document(0)])
        destination = rig.destination(least_s=600)
        task = asyncio.create_task(worker(destination, outbox).run())
        await outbox.drained.wait()
        for i in (1, 2):
            outbox.put(alert_document(i))
        while len(destination._waiting) < 2:
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert rig.entries() == [0] and sorted(outbox.waiting) == [2, 3]
        await drain(rig.destination(least_s=600), outbox)
        assert rig.entries() == [0, 1, 2] and len(rig.server.received) == 2

    run_rig(MailRig, tmp_path, case)


def test_a_file_that_is_corrected_is_used_at_the_next_message(tmp_path: Path):
    async def case(rig: MailRig) -> None:
        destination = rig.destination()
        right = rig.url_file.read_text()
        rig.url_file.write_text("mailtos://h\n")
        said = await refuses(destination, alert_document(0), Refused)
        assert "It says nobody to write to." in said and str(rig.url_file) in said
        rig.url_file.write_text(right)
        await destination.deliver(alert_document(0))
        assert rig.entries() == [0] and alert_document(0).at_ms == T0

    run_rig(MailRig, tmp_path, case)
