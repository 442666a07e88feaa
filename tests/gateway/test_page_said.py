# runs on: cpython
"""gateway.web.page.said: every answer to what people do at the page has its Vietnamese."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gateway
from gateway.feed_entries import described
from gateway.page_reads import Event
from gateway.people import deeds, may
from gateway.people.deeds import Deed
from gateway.web import actions
from gateway.web.page import describe
from gateway.web.page.said import SENTENCES, in_vietnamese
from gateway.web.page.texts import TEXTS
from gateway.web.page.words import LANGUAGES, Words
from tests.gateway.test_page_problems import text_of

ROOT = Path(gateway.__file__).parent
SAYS = {  # file -> the functions whose sentences people at the page read
    "app.py": ("_mark",),
    "parked.py": ("_answer", "do"),
    "pauses.py": ("do",),
    "alert_people.py": ("find",),
    "watch.py": ("acknowledge",),
    "ingest/intake.py": ("mark",),
    "people/accounts.py": ("of", "with_new", "_with", "_check"),
    "people/passwords.py": ("weakness",),
    "web/actions.py": ("text", "one_of", "minutes", "ids", "_park", "_carried_out"),
    "web/door.py": ("guarded", "_own_form"),
    "web/forms.py": ("read_form", "read_body", "parse"),
    "web/login.py": ("_tries", "_wrong"),
    "web/people_page.py": ("role", "remove", "own", "_made", "_does"),
}
PIECES = {  # what a sentence is put together of, or filled with elsewhere -> a whole one of SENTENCES
    "{}: {} until {}, as {} says; then it ends by itself.":
        "{}: calibrating until {}, as {} says; then it ends by itself.",
    "{} documents {}.": "{} documents are parked.",
    "1 document {}.": "1 document is parked.",
    "wait to be sent again": "{} documents wait to be sent again.",
    "waits to be sent again": "1 document waits to be sent again.",
    " There may be more: give it once more.":
        "{} documents wait to be sent again. There may be more: give it once more.",
    "No alert {} is raised: {}.": "No alert '{}' is raised: there are {}.",
    "there are {}": "No alert '{}' is raised: there are {}.",
    "there is none": "No alert '{}' is raised: there is none.",
    "{} may be {}: name one of them.": "'{}' may be {}: name one of them.",
    "There is no destination {}: there are {}.": "There is no destination '{}': there are {}.",
    "there is no such document": None, "an action failed by a mistake of ours": None,  # of a list, of the log
    "{} minutes are no time for that: {} days are the most.":
        "{} minutes are no time for that: {} days are the most.",
    "There is nobody called {}. There is: {}.": "There is nobody called '{}'. There is: {}.",
    "There is a {} already: change role or password instead.":
        "There is a '{}' already: change role or password instead.",
    "{}: the password is not kept as it must be: give a new one.": None,  # of a file that somebody wrote
    "A form is sent as ": "A form is sent as {}.",
    "{} Try again in {} s.": "The old password is wrong. Try again in {} s.",
    "The old password is wrong.": "The old password is wrong. Try again in {} s.",
    "Too many attempts.": "Too many attempts. Try again in {} s.",
}  # fmt: skip


def said_in(name: str) -> list[str]:
    """Sentences of these functions."""
    tree, found = ast.parse((ROOT / name).read_text(encoding="utf-8")), []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name in SAYS[name]:
            documented = ast.get_docstring(function, clean=False)
            inside = {
                id(part)
                for node in ast.walk(function)
                if isinstance(node, ast.JoinedStr)
                for part in ast.walk(node)
                if part is not node
            }
            for node in ast.walk(function):
                text = None if id(node) in inside else text_of(node)
                if text and text != documented and text.count(" ") >= 2 and text[:1] != " " * 2:
                    found.append(text)
    return found


@pytest.mark.parametrize("name", SAYS)
def test_every_answer_has_its_vietnamese(name):
    found = said_in(name)
    assert found
    for sentence in found:
        whole = PIECES.get(sentence, sentence)
        assert whole is None or whole in SENTENCES, f"{name} says {sentence!r}: give it its Vietnamese"


def test_every_sentence_becomes_its_own():
    """No sentence is taken for another one with more room in it."""
    for english, vietnamese in SENTENCES.items():
        filled = english.replace("{}", "7")
        assert in_vietnamese(filled) == vietnamese.format(*["7"] * 9), english


def test_each_line_is_a_sentence_and_what_nobody_knows_stays():
    both = "COD is measuring again, as lan says.\nSomething new."
    assert in_vietnamese(both) == "COD đang đo trở lại (theo lan).\nSomething new."


def test_a_deed_is_told_in_words():
    """As the events' page shows its entry."""
    deed = Deed("lan", "technician", "192.0.2.7", "mark", ("channel=COD",), True, "COD is done.")
    rows = []
    for language in LANGUAGES:
        for one in (
            deed,
            deed._replace(action="log in", details=(), ok=False, said="The form did not come."),
        ):
            told = described(one.event())
            event = Event(7, 0, told["name"], told["about"], told["detail"])
            rows.append(describe.event(event, Words(language)))
    assert [row["detail"] for row in rows] == [
        "đặt trạng thái thiết bị đo · channel=COD · COD is done. · 192.0.2.7",
        "đăng nhập (không được) · Không nhận được biểu mẫu. · 192.0.2.7",
        "set an instrument's state · channel=COD · COD is done. · 192.0.2.7",
        "logged in (not done) · The form did not come. · 192.0.2.7",
    ]
    assert {row["about"] for row in rows} == {"lan"} and rows[0]["name"] == "thao tác của người dùng"
    broken = Event(7, 0, "did", "lan", ["x"])
    assert describe.event(broken, Words("vi"))["detail"] == "x"


def test_whatever_people_do_has_its_word():
    done = {*actions.ACTIONS, *may.ACTIONS, deeds.LOG_IN, deeds.LOG_OUT} - {"look", "see people"}
    assert {f"did_{action}" for action in done} <= TEXTS.keys()
