# runs on: cpython
"""gateway.people.sessions: who is logged in, for how long, and that nothing of a token is kept."""

from __future__ import annotations

import pytest

from gateway.people import sessions as module
from gateway.people.accounts import People
from gateway.people.sessions import IDLE_S, LENGTH_S, PERSON_MAX, SESSIONS_MAX, Session, Sessions
from tests.gateway.test_people import KEPT, people, person

LAN = person("lan", "technician")
SOME = people(LAN, person("an", "viewer", KEPT[1]))


def test_a_token_is_known_again_and_nothing_like_it():
    some = Sessions()
    token, session = some.begin(LAN, 0.0)
    assert some.find(token, SOME, 1.0) is session
    assert (session.name, session.role) == ("lan", "technician")
    for other in ("", token[:-1], token + "=", token.swapcase(), "\ud800"):
        assert some.find(other, SOME, 1.0) is None


def test_no_two_are_alike_and_none_is_kept():
    some, made = Sessions(), set()
    for _ in range(PERSON_MAX):
        token, session = some.begin(LAN, 0.0)
        assert len(token) >= 43, "256 bits in base64"
        made |= {token, session.csrf}
        assert token not in repr(vars(some)) and token not in repr(vars(session))
    assert len(made) == 2 * PERSON_MAX


def test_it_ends_when_nobody_uses_it():
    some = Sessions()
    token, _ = some.begin(LAN, 0.0)
    assert some.find(token, SOME, IDLE_S - 1)
    assert some.find(token, SOME, 2 * IDLE_S - 2), "it was used in between"
    assert some.find(token, SOME, 3 * IDLE_S) is None
    assert some.find(token, SOME, 3 * IDLE_S - 1) is None and len(some) == 0, "and it is gone"


def test_a_page_that_asks_by_itself_keeps_nobody_logged_in():
    some = Sessions()
    token, _ = some.begin(LAN, 0.0)
    assert all(some.find(token, SOME, float(now_s), used=False) for now_s in range(0, int(IDLE_S), 60))
    assert some.find(token, SOME, IDLE_S, used=False) is None and len(some) == 0


def test_it_ends_after_a_shift_however_it_is_used():
    some = Sessions()
    token, _ = some.begin(LAN, 0.0)
    moments = [step * (IDLE_S / 2) for step in range(int(LENGTH_S / (IDLE_S / 2)))]
    assert all(some.find(token, SOME, now_s) for now_s in moments)
    assert some.find(token, SOME, LENGTH_S) is None


CHANGED = {
    "role": SOME.with_role("lan", "administrator", "minh"),
    "password": SOME.with_password("lan", KEPT[2], "minh"),
    "removed": SOME.without("lan", "minh"),
    "nobody": People({}),
}


@pytest.mark.parametrize("what", CHANGED)
def test_it_ends_when_its_person_changed(what):
    some = Sessions()
    token, _ = some.begin(LAN, 0.0)
    other, _ = some.begin(SOME.of("an"), 0.0)
    assert some.find(token, CHANGED[what], 1.0) is None
    assert some.find(token, SOME, 1.0) is None, "for good"
    assert (some.find(other, CHANGED[what], 1.0) is None) == (what == "nobody")


def test_control_a_session_that_looks_at_the_name_only_goes_on_with_the_old_role(monkeypatch):
    monkeypatch.setattr(Session, "holds", lambda self, people, now_s: self.name in people.accounts)
    some = Sessions()
    token, _ = some.begin(LAN, 0.0)
    assert some.find(token, CHANGED["role"], 1.0) and some.find(token, SOME, LENGTH_S + 1)


def test_logging_out_ends_it_and_no_other():
    some = Sessions()
    (one, session), (other, _) = some.begin(LAN, 0.0), some.begin(LAN, 0.0)
    assert session.holds(SOME, 1.0)
    some.end(one)
    assert not session.holds(SOME, 1.0), "what was open with it hears of it"
    some.end("what was never one")
    assert some.find(one, SOME, 1.0) is None and some.find(other, SOME, 1.0)


def test_there_are_so_many_and_one_person_drives_out_only_himself():
    some = Sessions()
    crowd = [person(f"p{n}") for n in range(SESSIONS_MAX // PERSON_MAX)]
    known = people(*crowd)
    tokens = [some.begin(one, 0.0)[0] for one in crowd for _ in range(PERSON_MAX)]
    assert len(some) == SESSIONS_MAX
    assert some.find(tokens[0], known, 1.0), "used last"
    newer, _ = some.begin(crowd[0], 2.0)
    assert len(some) == SESSIONS_MAX
    assert some.find(tokens[1], known, 3.0) is None, "his own that was used longest ago went"
    assert all(some.find(token, known, 3.0) for token in [*tokens[2:], tokens[0], newer])
    some.begin(person("late"), 4.0)
    assert len(some) == SESSIONS_MAX
    assert some.find(tokens[2], known, 5.0) is None, "of all, the one that was used longest ago"


def test_what_was_said_is_shown_once_and_is_bounded():
    _, session = Sessions().begin(LAN, 0.0)
    session.say("COD is measuring again.")
    assert (session.said(), session.said()) == ("COD is measuring again.", "")
    session.say("There is no channel 'x'.", ok=False)
    assert (session.said().ok, session.said().ok) == (False, True)
    session.say("x" * 5000)
    assert len(session.said()) == module.FLASH_MAX
