# runs on: cpython
"""gateway.web.page.problems: every sentence that the status can say has its Vietnamese."""

import ast
from pathlib import Path

import pytest

import gateway
from gateway.web.page.problems import SENTENCES, in_vietnamese

ROOT = Path(gateway.__file__).parent
SAYING = (  # what says sentences of the status, and by which functions
    ("status.py", ("_of_the_gateway", "_of_devices", "_of_destination", "_catches_up", "conditions",
                   "_problems_of_witnesses")),
    ("conditions.py", ("overdue",)),
    ("pauses.py", ("problems",)),
    ("notices.py", ("problems",)),
    ("feed.py", ("problems",)),
    ("journal/room.py", ("problem",)),
    ("journal/retention.py", ("run",)),
    ("people/keeper.py", ("_look",)),
    ("sampling/sampler.py", ("problems",)),
    ("commands/make.py", ("problems",)),
)  # fmt: skip


def text_of(node: ast.AST) -> str | None:
    """A string with {} in the place of what it is filled with."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            "{}" if isinstance(one, ast.FormattedValue) else text_of(one) or "" for one in node.values
        )
    return None


def said() -> list[tuple[str, str]]:
    """(file, sentence) of all that are long enough to be one."""
    found = []
    for name, functions in SAYING:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name in functions:
                documented = ast.get_docstring(function, clean=False)
                inside = {id(part) for node in ast.walk(function) if isinstance(node, ast.JoinedStr)
                          for part in ast.walk(node) if part is not node}  # fmt: skip
                for node in ast.walk(function):
                    text = None if id(node) in inside else text_of(node)
                    if text and text != documented and text.count(" ") >= 3:
                        found.append((name, text))
    return found


BEHIND = "The destination {} is {} minutes behind"
PARTS = {  # pieces that sentences are put together of -> what they become
    "catches up: {}, about {} hours.": f"{BEHIND} and catches up: {{}}, about {{}} hours.",
    "catches up: {}, about {} minute{}.": f"{BEHIND} and catches up: {{}}, about {{}} minutes.",
    "takes less than comes: {} wait.": f"{BEHIND} and takes less than comes: {{}} wait.",
    "The destination {} is {} minutes behind and {}": f"{BEHIND} and takes less than comes: {{}} wait.",
    "The destination {} is {} minutes behind{}": f"{BEHIND}: {{}}",
    "The witness {} has cosigned nothing for {} minutes{}":
        "The witness {} has cosigned nothing for {} minutes: {}",
    "Nothing is sent to {} until somebody resumes it: {}.":
        "Nothing is sent to {} until somebody resumes it: paused by {} ({}).",
    "paused by {} ({})": "Nothing is sent to {} until somebody resumes it: paused by {} ({}).",
    "has no calibration in this journal, begun":
        "{} has no calibration in this journal, begun {} days ago: {} are allowed.",
    "{} {} {} days ago: {} are allowed.": "{} was calibrated {} days ago: {} are allowed.",
    "The {} has been interrupted for {} hours ({}): complete the notice in {}, and send it.":
        "The {} {} has been interrupted for {} hours ({}): complete the notice in {}, and send it.",
    "{}: {} Those of before may log in.": "{} Those of before may log in.",
}  # fmt: skip


def test_there_are_sentences():
    assert len(said()) > 25


@pytest.mark.parametrize("where", range(len(SAYING)))
def test_every_sentence_of_the_status_has_its_vietnamese(where):
    name, _ = SAYING[where]
    for file, sentence in said():
        if file == name:
            assert PARTS.get(sentence, sentence) in SENTENCES, (
                f"{file} says {sentence!r}: give it its Vietnamese"
            )


def test_what_differs_stands_in_both():
    assert in_vietnamese(
        "The disk has 12 MiB left: make room, or nothing can be stored any more."
    ).startswith("Ổ đĩa chỉ còn 12 MiB")
    late = "The destination province is 20 minutes behind: 550 no such user, 3 tries."
    assert in_vietnamese(late) == "Nơi nhận province chậm 20 phút: 550 no such user, 3 tries."
    asked = "complete the notice in /n, and send it."
    behind = f"The channel COD has been interrupted for 13 hours (it does not answer): {asked}"
    assert "COD" in in_vietnamese(behind) and "13 giờ" in in_vietnamese(behind)


def test_every_vietnamese_takes_what_its_sentence_has():
    for english, vietnamese in SENTENCES.items():
        filled = english.replace("{}", "7")
        assert in_vietnamese(filled) != filled, english
        assert "{" not in in_vietnamese(filled) and vietnamese, english


def test_what_nobody_translated_is_shown_as_it_is():
    assert in_vietnamese("Something {new} happened.") == "Something {new} happened."
