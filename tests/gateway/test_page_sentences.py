"""Every sentence about calibrations and cameras has its Vietnamese."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gateway
from gateway.web.page import problems, problems_cameras, said, said_calibration
from tests.gateway.test_page_problems import text_of

ROOT = Path(gateway.__file__).parent
SAYING = (
    ("calibration/given.py", "append", said_calibration.SENTENCES),
    ("calibration/correct.py", "NoCorrection", said_calibration.SENTENCES),
    ("calibration/desk.py", "NoCorrection", said_calibration.SENTENCES),
    *(
        (f"camera/{name}.py", "CameraFault", problems_cameras._OF)
        for name in ("snapshot", "onvif", "rtsp", "store")
    ),
)


def spoken(file: str, call: str) -> list[str]:
    """What is handed to these calls, {} in the place of what it is filled with."""
    found = []
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            text = text_of(node.args[0]) if name == call else None
            found += [text] if text and " " in text else []
    return found


@pytest.mark.parametrize(("file", "call", "sentences"), SAYING, ids=[file for file, _, _ in SAYING])
def test_every_sentence_has_its_vietnamese(file, call, sentences):
    texts = spoken(file, call)
    assert texts
    for text in texts:
        english = text.removeprefix("{}") if text.startswith("{}{} is ") else text
        assert english in sentences, f"{file}: {text!r}"


def test_control_a_sentence_that_nobody_translated_is_found(monkeypatch):
    text = "certificate is missing: number, value, uncertainty, valid_until of the standard."
    monkeypatch.delitem(said_calibration.SENTENCES, text)
    with pytest.raises(AssertionError, match="certificate is missing"):
        test_every_sentence_has_its_vietnamese(*SAYING[0])


def test_answers_and_problems_in_vietnamese():
    answer = (
        "COD: the check is entered.\nAgainst the record before it, zero drifted by +1, span (100) by +2 mg/l."
    )
    assert said.in_vietnamese(answer).split("\n") == [
        "COD: đã ghi kết quả kiểm tra.",
        "So với lần hiệu chuẩn trước: độ trôi điểm không +1, độ trôi điểm chuẩn (100) +2 mg/l.",
    ]
    told = problems.in_vietnamese("The camera gate: It refuses user and password.")
    assert told == "Camera gate: từ chối user và mật khẩu."
    assert problems.in_vietnamese("The camera gate: something new.") == "Camera gate: something new."
