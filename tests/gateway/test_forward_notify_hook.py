"""Alerts to a webhook, behind nginx with TLS: what is posted, what its answers mean, what is never shown."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qs

import pytest

from gateway.config_notify import parse
from gateway.documents import entry_drafts
from gateway.errors import DestinationError, Refused, Rejected, Unreachable
from gateway.feed_entries import AlertSource
from gateway.forward import notify_hook
from gateway.forward.make import make
from gateway.forward.notify import NotifyDestination
from gateway.forward.port import Document
from gateway.forward.worker import Worker
from tests.gateway.feed_rig import all_of, config_of, written
from tests.gateway.forward_rig import T0, run_rig
from tests.gateway.notify_rig import HookRig, MailRig, alert, alert_document, teller


async def refuses(
    destination: NotifyDestination, document: Document, error: type[DestinationError]
) -> DestinationError:
    with pytest.raises(error) as caught:
        await destination.deliver(document)
    await destination.close()
    assert str(caught.value).endswith(".")
    return caught.value


def posted(url: str, *alerts: dict) -> tuple[str, bytes]:
    return notify_hook.written(parse(url), teller().notice(alerts), alerts)  # type: ignore[arg-type]


def test_the_post_of_two_alerts(tmp_path):
    async def case(rig: HookRig) -> None:
        destination = rig.destination()
        found = await asyncio.gather(*(destination.deliver(alert_document(i)) for i in (1, 2)))
        [(key, body)] = rig.store.posts
        told, alerts = json.loads(body), [json.loads(alert_document(i).body) for i in (1, 2)]
        notice = teller().notice(alerts)
        assert told == {
            "version": "1.0", "title": notice.subject, "message": notice.text, "type": "warning",
            "attachments": [], "alerts": alerts,
        }  # fmt: skip
        assert len(key) == 32 and set(found) == {found[0]}
        assert found[0] == (f"https://127.0.0.1:{rig.port()}", len(body), "HTTP 201 x")
        await destination.close()

    run_rig(HookRig, tmp_path, case)


def test_fields_renamed_added_left_out_and_as_a_form():
    one = alert(1, T0)
    kind, body = posted("json://localhost/x?:message=text&:version=&:attachments=&:alerts=&:room=lab", one)
    notice = teller().notice([one])
    assert kind == "application/json"
    assert json.loads(body) == {
        "title": notice.subject,
        "text": notice.text,
        "type": "warning",
        "room": "lab",
    }
    kind, body = posted("form://localhost/x?:title=subject", alert(1, T0, state="cleared"))
    assert kind == "application/x-www-form-urlencoded"
    told = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
    assert sorted(told) == ["message", "subject", "type", "version"] and told["type"] == "info"
    assert told["message"] == teller().notice([alert(1, T0, state="cleared")]).text


STATUSES = [
    *((status, Unreachable) for status in (408, 425, 429, 500, 503)),
    *((status, Refused) for status in (401, 403, 407, 404, 405, 410, 301, 302, 303, 307, 308)),
    *((status, Rejected) for status in (400, 413, 422)),
    *((status, None) for status in (200, 202, 204, 409)),
]


def test_every_status_means_what_the_table_says_and_a_redirect_is_never_followed(tmp_path):
    async def case(rig: HookRig) -> None:
        destination = rig.destination()
        for status, error in STATUSES:
            rig.store.answer = (
                status,
                f"Retry-After: 17\r\nLocation: https://127.0.0.1:{rig.port()}/taken\r\n",
            )
            if error is None:
                await destination.deliver(alert_document(0))
                continue
            found = await refuses(destination, alert_document(0), error)
            assert str(status) in str(found)
            assert not isinstance(found, Unreachable) or found.after_s == 17
        log = (rig.server.folder / "access.log").read_text()
        assert (
            "/taken" not in log and log.count("/v1/people") >= len(STATUSES) - 1
        )  # the last may still be written

    run_rig(HookRig, tmp_path, case)


def test_path_headers_and_password_are_in_no_sentence(tmp_path):
    async def case(rig: HookRig) -> None:
        rig.url_file.write_text(f"jsons://u:s3cret1@127.0.0.1:{rig.port()}/s3cret2?+X-Token=s3cret3\n")
        destination = NotifyDestination(rig.settings(), teller())
        for status in (401, 404, 302, 422, 500):
            rig.store.answer = status, "X-Echo: s3cret1\r\n"
            said = str(await refuses(destination, alert_document(0), DestinationError))
            assert "s3cret" not in said
        rig.store.answer = 200, ""
        assert "s3cret" not in repr(await destination.deliver(alert_document(0)))

    run_rig(HookRig, tmp_path, case)


# From the journal to a person -----------------------------------------------------------------------------

PEOPLE = '[[destination]]\nid = "people"\nkind = "notify"\nleast_s = 0\nurl_file = "{url_file}"\n'
CA = 'ca_file = "{ca}"\n'
POLICE = '[[destination]]\nid = "police"\nkind = "mqtt"\nhost = "127.0.0.1"\nSEND'


def wanting(folder, more: str, rule: str, state: str = "raised") -> bool:
    """Whether people are told of such an alert; brokers always are."""
    folder.joinpath("people.url").write_text("jsons://h.vn/x\n")
    folder.joinpath("people.url").chmod(0o600)
    people = PEOPLE.format(url_file=folder / "people.url")
    config = config_of(folder, "alerts", destinations=people + more + "\n" + POLICE)
    drafts = entry_drafts(config, "alerts", 7, bytes(32), T0, {"rule": rule, "state": state})
    assert [draft.destination for draft in drafts if draft.destination != "people"] == ["police"]
    return "people" in [draft.destination for draft in drafts]


@pytest.mark.parametrize(
    ("more", "rule", "state", "wanted"),
    [
        ("", "mains lost", "cleared", True),
        ('rules = ["limit", "door open"]', "limit", "raised", True),
        ('rules = ["limit", "door open"]', "limit 8 hours", "raised", True),
        ('rules = ["limit", "door open"]', "door open", "cleared", True),
        ('rules = ["limit", "door open"]', "near", "raised", False),
        ('rules = ["limit", "door open"]', "near hour", "raised", False),
        ('states = ["raised", "escalated"]', "near", "escalated", True),
        ('states = ["raised", "escalated"]', "near", "cleared", False),
        ('rules = ["no data"]\nstates = ["raised"]', "no data", "raised", True),
        ('rules = ["no data"]\nstates = ["raised"]', "limit", "raised", False),
    ],
)
def test_rules_and_states_choose_what_people_are_told(tmp_path, more, rule, state, wanted):
    assert wanting(tmp_path, more, rule, state) == wanted


def test_from_a_window_beyond_its_limit_to_a_mail_and_its_entry_in_the_log(tmp_path):
    """The journal, the feed, its own outbox, the worker and a mail server; begun again in between."""

    async def case(rig: MailRig) -> None:
        rig.destination()  # writes the address
        people = (PEOPLE + CA).format(url_file=rig.url_file, ca=rig.server.authority.ca_file)
        rig.url_file.chmod(0o600)
        config = config_of(tmp_path, "alerts", destinations=people + POLICE)

        async def run(at, until) -> None:
            one = Worker("people", make(config, config.destination[0]), at.outbox)
            task = asyncio.create_task(one.run())
            async with asyncio.timeout(30):
                while not until(one):
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async with written(config) as at:
            feed = at.feed(AlertSource)
            await feed.look()
            await at.close(T0, {"COD": 80.129, "pH": 7.0})
            await at.close(T0 + 300_000, {"COD": 10.0, "pH": 9.5})
            await all_of(feed)
            rig.server.answers["MAIL"] = "451 later"
            await run(at, lambda one: one.counters.failed)
            assert rig.server.received == []
        rig.server.answers.clear()
        async with written(config) as at:
            await run(at, lambda one: one.counters.delivered == 3)
            assert await at.outbox.pending("people", 0, 10) == []
        [message] = rig.server.messages
        assert message["Subject"] == "[NUO001] 3 cảnh báo: COD, pH"
        text = message.get_content()
        for line in (
            "1. Vượt giới hạn: COD", "   Kết quả quan trắc: 80,13 mg/l", "   Giá trị giới hạn: 75 mg/l",
            "   Căn cứ: QCVN 40:2011 A", "   Trạng thái: đã kết thúc", "3. Vượt giới hạn: pH",
            "   Kết quả quan trắc: 9,50", "   Giá trị giới hạn: 9",
        ):  # fmt: skip
            assert line in text.splitlines(), line

    run_rig(MailRig, tmp_path, case)
