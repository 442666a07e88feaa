"""gateway/alert_states.py: the whole table, every state with every input; what is said, and what was."""

from __future__ import annotations

import asyncio
import gzip
from itertools import product
from pathlib import Path

import pytest

from gateway.alert_states import (
    ACKNOWLEDGED,
    ACTED,
    CLEAR,
    ESCALATED,
    EXCEEDS,
    INPUTS,
    NEAR,
    OVERDUE,
    PAST,
    RAISED,
    STATES,
    STEPS,
    WITHIN,
    WITHOUT,
    Alert,
    Book,
    Cause,
    parse,
)
from gateway.journal.reader import reading
from gateway.notices import listed
from protocol import cbor
from tests.gateway.feed_rig import LENGTH_MS, config_of
from tests.gateway.test_provincial import T0
from tests.gateway.watch_rig import said, watched

KEY = ("limit", "COD")
CAUSE = Cause("COD", 5000, 1, 80.0, 75.0)
WAYS = {CLEAR: [], RAISED: [EXCEEDS], ACKNOWLEDGED: [EXCEEDS, ACTED], ESCALATED: [EXCEEDS, OVERDUE]}
EXPECTED = {  # written from the issue, not from the code; what is not here changes nothing and says nothing
    (CLEAR, EXCEEDS): RAISED, (CLEAR, PAST): CLEAR,
    (RAISED, WITHIN): CLEAR, (RAISED, WITHOUT): CLEAR, (RAISED, PAST): RAISED, (RAISED, ACTED): ACKNOWLEDGED,
    (RAISED, OVERDUE): ESCALATED,
    (ACKNOWLEDGED, WITHIN): CLEAR, (ACKNOWLEDGED, WITHOUT): CLEAR, (ACKNOWLEDGED, PAST): ACKNOWLEDGED,
    (ACKNOWLEDGED, ACTED): ACKNOWLEDGED,
    (ESCALATED, WITHIN): CLEAR, (ESCALATED, WITHOUT): CLEAR, (ESCALATED, PAST): ESCALATED,
    (ESCALATED, ACTED): ACKNOWLEDGED,
}  # fmt: skip
SAID = {EXCEEDS: "raised", WITHIN: "cleared", WITHOUT: "cleared", PAST: "past", ACTED: "acknowledged"}
SAID |= {OVERDUE: "escalated"}


def stepped(book: Book, shows: str) -> Alert | None:
    by = {"by": "Lan", "note": "on my way"} if shows == ACTED else {}
    return book.step(KEY, shows, "permit", (CAUSE,) if shows != WITHOUT else (), 5000, 6000, **by)


@pytest.mark.parametrize(("state", "shows"), list(product(STATES, INPUTS)))
def test_every_state_with_every_input(state, shows):
    book = Book()
    for way in WAYS[state]:
        stepped(book, way)
    assert book.state(KEY) == state
    before = dict(book.standing)
    said = stepped(book, shows)
    expected = EXPECTED.get((state, shows))
    if expected is None:
        assert said is None and book.standing == before
    else:
        assert said is not None and (said.said, book.state(KEY)) == (SAID[shows], expected)
        assert parse(said.event()) == said
        again = Book()
        for way in WAYS[state]:
            stepped(again, way)
        again.note(parse(said.event()), 6000)
        assert again.standing == book.standing, "what is said leads there by itself"


def test_the_table_has_no_other_steps():
    assert {key: then for key, (then, _) in STEPS.items()} == EXPECTED
    assert set(STEPS) <= set(product(STATES, INPUTS)) and not any(shows == NEAR for _, shows in STEPS)


def test_the_documented_table_is_the_table():
    """The lines at the head of the module, against STEPS: what is missing there would be a secret."""
    import gateway.alert_states as module

    assert module.__doc__ is not None
    head = module.__doc__[: module.__doc__.index("Everything else")]
    assert [word for _, word in STEPS.values() if f'"{word}"' not in head] == []


def test_who_acknowledged_it_stands_until_it_is_clear():
    book = Book()
    stepped(book, EXCEEDS)
    book.step(KEY, ACTED, "permit", (), 0, by="Lan", note="valve shut")
    book.step(KEY, ACTED, "permit", (), 0, by="Minh", note="")
    standing = book.standing[KEY]
    assert (standing.state, standing.by, standing.note, standing.raised.since_ms) == (
        ACKNOWLEDGED,
        "Minh",
        "",
        5000,
    )
    stepped(book, WITHIN)
    stepped(book, EXCEEDS)
    assert book.standing[KEY].by == "" and book.state(KEY) == RAISED


def test_one_that_is_acknowledged_is_never_escalated():
    book = Book()
    for way in (EXCEEDS, ACTED):
        stepped(book, way)
    assert stepped(book, OVERDUE) is None and book.state(KEY) == ACKNOWLEDGED


OLD = [  # bodies as the gateway wrote them before there were states, spans and names
    (["alert", "COD", "raised", "limit", 5000, "QCVN 40:2011 A", [["COD", 5000, 1, 80.0, 75.0]]], "raised"),
    (["alert", "COD", "cleared", "limit", 5000, "QCVN 40:2011", [["COD", 8000, 1, 10.0, 75.0]]], "cleared"),
    (["alert", "COD", "cleared", "limit", 5000, "QCVN 40:2011 A", []], "cleared"),
    (["alert", "COD", "past", "limit", 2000, "", [["COD", 2000, 2, 80.0, 75.0]]], "past"),
]


@pytest.mark.parametrize(("body", "said"), OLD, ids=range(len(OLD)))
def test_what_older_gateways_wrote_is_read_and_written_alike(body, said):
    alert = parse(cbor.dumps(body))
    assert alert is not None and (alert.said, alert.rule, alert.by) == (said, "limit", "")
    assert alert.event() == cbor.dumps(body), "an older gateway reads ours, too"


def test_a_mean_over_a_span_says_so():
    alert = Alert("COD", "raised", 5000, "", (CAUSE._replace(span_ms=3_600_000),), "limit hour")
    assert parse(alert.event()) == alert
    assert cbor.loads(alert.event())[6] == [["COD", 5000, 1, 80.0, 75.0, 3_600_000]]


def test_a_journal_of_an_older_gateway_stands_as_it_said(tmp_path):
    """journals/alerts/v4.db.gz, before there were states: COD exceeded in windows 1 and 2, and late in
    0 and 3; pH stands since 5, and Temp is interrupted.
    """
    path = tmp_path / "gateway" / "journal.db"
    path.parent.mkdir()
    path.write_bytes(
        gzip.decompress((Path(__file__).parent / "journals" / "alerts" / "v4.db.gz").read_bytes())
    )
    config = config_of(tmp_path, "windows")

    async def story():
        async with watched(config) as at:
            assert [(a.symbol, a.said, (a.since_ms - T0) // LENGTH_MS) for a in said(config)] == [
                ("COD", "raised", 1), ("COD", "cleared", 1), ("COD", "past", 0), ("pH", "raised", 5),
            ]  # fmt: skip
            with reading(path) as reader:
                at.open = [one for one in listed(reader) if one.to_ms is None]
            assert sorted(at.standing()) == [
                ("channel interrupted", "Temp", "raised"),
                ("limit", "pH", "raised"),
            ]
            assert (await at.acknowledge("pH")).ok
            await at.at.close(T0, {"COD": 95.0}, revision=3)
            await at.at.close(T0 + 6 * LENGTH_MS, {"COD": 10.0, "pH": 7.0})
            new = [(a.symbol, a.said) for a in said(config)][4:]
            assert new == [("pH", "acknowledged"), ("pH", "cleared")], "what was told as past is known"

    asyncio.run(story())
