# runs on: cpython
"""gateway/web/actions.py on a real port: what people do becomes an order, an entry and a sentence."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.bucket import Bucket
from gateway.errors import CommandError, JournalError
from gateway.people import deeds
from gateway.people.deeds import Deed, line_of
from gateway.people.may import EVERYBODY, may
from gateway.requests import Answer, Order, parse
from gateway.web import actions
from gateway.web.actions import ACTIONS
from protocol import cbor
from tests.gateway.door_rig import WHO, serving

MARK = {"channel": "COD", "mark": "calibrating", "minutes": "30", "reason": "dung dịch chuẩn", "back": "/x"}
FORMS = {
    "mark": MARK,
    "acknowledge": {"alert": "limit/COD/20260325101000", "note": "bơm đã dừng"},
    "release": {"destination": "province", "reason": "they made the folder"},
    "park": {"id": ["3", "4"], "reason": "wrong unit"},
    "sample": {"bottles": "2", "reason": "mùi lạ"},
    "carousel": {"reason": "chai mới"},
    "pause": {"destination": "province", "reason": "they move their server"},
    "resume": {"destination": "province", "reason": "it is there"},
    "calibrate": {
        "channel": "COD", "at": "2026-03-25T10:00", "by": "Lan", "serial": "A-4711", "kind": "adjustment",
        "reference1": "0", "before1": "0,4", "after1": "0,1", "reference2": "100", "before2": "98.5",
        "certificate_number": "KT-22/118", "certificate_value": "100", "certificate_until": "2027-05-01",
    },
}  # fmt: skip
RECORD = {
    "channel": "COD", "at": "2026-03-25T10:00", "who": "Lan", "serial": "A-4711", "kind": "adjustment",
    "points": [{"reference": 0.0, "before": 0.4, "after": 0.1}, {"reference": 100.0, "before": 98.5}],
    "remark": "",
    "certificate": {"number": "KT-22/118", "value": 100.0, "valid_until": "2027-05-01"},
}  # fmt: skip
ORDERS = {
    "mark": Order("mark", (), "", "{}", "dung dịch chuẩn", "", "COD", "calibrating", 30),
    "acknowledge": Order("acknowledge", (), "", "{}", "bơm đã dừng", "limit/COD/20260325101000"),
    "release": Order("release", (), "province", "{}", "they made the folder"),
    "park": Order("park", (3, 4), "", "{}", "wrong unit"),
    "sample": Order("sample", (), "", "{}", "mùi lạ", bottles=2),
    "carousel": Order("sample", (), "", "{}", "chai mới"),
    "pause": Order("pause", (), "province", "{}", "they move their server"),
    "resume": Order("resume", (), "province", "{}", "it is there"),
    "calibrate": Order("calibrate", (), "", "{}", "", record=json.dumps(RECORD)),
}


class Desk:
    """Does every order, as Gateway._do would, and says so."""

    def __init__(self):
        self.orders: list[Order] = []
        self.fails: Exception | None = None
        self.rig = None

    async def do(self, order: Order) -> Answer:
        assert parse(order.encode()) == order._replace(ids=tuple(order.ids)), "the command line's, too"
        assert self.rig is None or not any(deed.action in ACTIONS for deed in self.rig.told)
        if self.fails:
            raise self.fails
        self.orders.append(order)
        return Answer(f"{order.channel or 'it'} is done.", ok=order.channel != "pH")

    def routes(self, rig):
        return actions.routes(self.do, lambda: ["COD", "TSS"])


def acting(case, desk: Desk) -> None:
    async def begun(rig):
        browser = rig.browser()
        await browser.log_in("technician")
        rig.told.clear()
        await case(rig, browser)

    serving(begun, routes=desk.routes)


@pytest.mark.parametrize("name", FORMS)
def test_an_action_is_an_order_an_entry_and_a_sentence_that_is_shown_once(name):
    desk = Desk()

    async def case(rig, browser):
        desk.rig = rig
        said = await browser.post(f"/do/{name}", {**FORMS[name], "back": "/history?day=1"})
        assert (said.status, said.to) == (303, "/history?day=1")
        assert desk.orders == [ORDERS[name]._replace(who="technician", at="127.0.0.1")]
        (deed,) = rig.told
        assert deed[:4] == ("technician", "technician", "127.0.0.1", name) and deed.ok
        fields = [f"{k}={', '.join(v) if isinstance(v, list) else v}" for k, v in FORMS[name].items()]
        assert list(deed.details) == [field for field in fields if not field.startswith("back")]
        assert (await browser.ask("GET", WHO)).body and deed.said.endswith("is done.")
        shown = [json.loads((await browser.get(WHO)).body)["flash"] for _ in range(2)]
        assert shown == [deed.said, ""]

    acting(case, desk)


@pytest.mark.parametrize("name", FORMS)
def test_each_role_does_what_the_table_says_and_what_it_may_not_is_told(name):
    desk = Desk()

    async def case(rig):
        for role in EVERYBODY:
            rig.told.clear()
            desk.orders.clear()
            browser = rig.browser()
            await browser.log_in(role)
            said = await browser.post(f"/do/{name}", FORMS[name])
            allowed = may(role, ACTIONS[name].may)
            assert (said.status, len(desk.orders)) == ((303, 1) if allowed else (403, 0))
            assert [deed.ok for deed in rig.told] == [True, allowed]
            assert (await browser.get(f"/do/{name}")).status == 405

    serving(case, routes=desk.routes)


def test_the_whole_station_is_marked_and_the_first_that_fails_is_the_last():
    desk = Desk()

    async def case(rig, browser):
        await browser.post("/do/mark", MARK | {"channel": "*"})
        assert [order.channel for order in desk.orders] == ["COD", "TSS"]
        assert rig.told[0].said == "COD is done. TSS is done." and len(rig.told) == 1
        await browser.post("/do/mark", MARK | {"channel": "pH"})
        assert not rig.told[1].ok and rig.told[1].said == "pH is done."
        await browser.post("/do/mark", MARK | {"mark": "over", "reason": "", "minutes": ""})
        assert desk.orders[-1].mark == "over" and desk.orders[-1].minutes == 0

    acting(case, desk)


WRONG = [
    ("mark", {"minutes": "0"}), ("mark", {"minutes": "1e3"}), ("mark", {"minutes": "nan"}),
    ("mark", {"minutes": "-5"}), ("mark", {"minutes": "999999"}), ("mark", {"minutes": "٣"}),
    ("mark", {"mark": "broken"}), ("mark", {"reason": " "}), ("mark", {"reason": "x" * 301}),
    ("mark", {"reason": "a\r\nb"}), ("mark", {"channel": ""}),
    ("acknowledge", {"alert": ""}), ("acknowledge", {"note": "a\0b"}),
    ("release", {"destination": ""}), ("release", {"id": "-1"}), ("release", {"id": "1;DROP TABLE outbox"}),
    ("sample", {"bottles": "0"}), ("sample", {"bottles": "97"}), ("sample", {"bottles": "1.5"}),
    ("calibrate", {"before1": "1e3"}), ("calibrate", {"reference1": "nan"}), ("calibrate", {"serial": ""}),
    ("calibrate", {"after1": "1" * 13}), ("calibrate", {"channel": ""}), ("calibrate", {"at": ""}),
    ("pause", {"reason": ""}), ("pause", {"destination": ""}), ("resume", {"destination": " "}),
    ("sample", {"reason": ""}), ("carousel", {"reason": "a\nb"}),
    ("release", {"reason": ""}), ("park", {"id": []}), ("park", {"id": "0"}), ("park", {"id": "9" * 30}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_what_cannot_be_done_is_a_sentence_and_an_entry(name, wrong):
    desk = Desk()

    async def case(rig, browser):
        said = await browser.post(f"/do/{name}", FORMS[name] | wrong)
        assert said.status == 303 and desk.orders == []
        (deed,) = rig.told
        assert not deed.ok and deed.said.endswith(".") and deed.said.isprintable()
        assert all(text.isprintable() for text in deed.details)

    acting(case, desk)


@pytest.mark.parametrize("error", [CommandError("There is no channel 'x'."), KeyError("a mistake of ours")])
def test_what_fails_is_told_and_nothing_of_ours_is_shown(error):
    desk = Desk()
    desk.fails = error

    async def case(rig, browser):
        assert (await browser.post("/do/mark", MARK)).status == 303
        assert not rig.told[0].ok and "KeyError" not in rig.told[0].said
        flash = json.loads((await browser.get(WHO)).body)["flash"]
        assert flash == rig.told[0].said and flash.endswith(".")

    acting(case, desk)


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/x\r\nSet-Cookie: a=b", "/\\e"])
def test_nobody_is_led_elsewhere_by_an_action(back):
    async def case(rig, browser):
        said = await browser.post("/do/mark", MARK | {"back": back})
        assert (said.status, said.to) == (303, "/") and said.headers.get_all("set-cookie") is None

    acting(case, Desk())


def test_the_answer_waits_for_its_entry():
    async def case(rig, browser):
        rig.gate.clear()
        rig.asked.clear()
        task = asyncio.create_task(browser.post("/do/mark", MARK))
        await asyncio.wait_for(rig.asked.wait(), 10)
        done, _ = await asyncio.wait((task,), timeout=0.2)
        rig.gate.set()
        assert (await task).status == 303
        assert not done and rig.told

    acting(case, Desk())


def test_control_an_answer_that_does_not_wait_is_noticed(monkeypatch):
    async def hasty(self, deed):
        self.later = asyncio.ensure_future(self._tell(deed.event()))

    monkeypatch.setattr("gateway.web.door.Door.did", hasty)
    with pytest.raises(AssertionError):
        test_the_answer_waits_for_its_entry()


def test_a_journal_that_fails_or_hangs_keeps_nobody_from_acting(monkeypatch, caplog):
    monkeypatch.setattr("gateway.web.door.TELL_S_MAX", 0.05)

    async def case(rig, browser):
        rig.gate.clear()
        assert (await browser.post("/do/mark", MARK)).status == 303
        rig.gate.set()
        rig.refuses = JournalError("The disk is full.")
        assert (await browser.post("/do/mark", MARK)).status == 303
        assert caplog.text.count("the log was not told") == 2 and "dung dịch" not in caplog.text

    acting(case, Desk())


# The entries themselves -------------------------------------------------------------------------------------


def test_deeds_are_read_back_and_are_lines_of_a_bounded_length():
    deed = Deed("lan", "technician", "2001:db8::1", "mark", ("channel=COD",), True, "COD: calibrating.")
    assert deeds.parse(deed.event()) == deed
    long = Deed("lan", "x", "y", "z", ["a" * 9000] * 90, False, "two\r\nlines\0 \ud800")
    found = deeds.parse(long.event())
    assert found is not None and len(found.details) == deeds.DETAILS_MAX
    assert len(found.details[0]) == deeds.TEXT_MAX
    assert found.said == "two� lines� ?" == line_of(long.said)


@pytest.mark.parametrize("found", [["did"], ["mark", 1, 2, 3, 4, [], True, ""], ["did", *range(7)], 5])
def test_what_is_no_deed_is_passed_over(found):
    assert deeds.parse(cbor.dumps(found)) is None and deeds.parse(b"\xff") is None


def test_refusals_are_told_in_bounds():
    some = Bucket(2, 10)
    assert [some.take(0), some.take(0), some.take(0), some.take(9)] == [0, 0, None, None]
    assert [some.take(10), some.take(10), some.take(1000)] == [2, None, 1]
