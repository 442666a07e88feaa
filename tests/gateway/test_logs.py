"""gateway/logs.py: one line an event, whatever a value holds; chatty libraries only when they fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from gateway.logs import CHATTY, _shown

SCRIPT = f"""
import logging
from gateway.logs import get_logger, set_up_logging
set_up_logging()
set_up_logging()
log = get_logger("part")
log.info("line is up", bus="tank", port=502)
log.warning("down", why="a \\"word\\"\\nand a\\u2028line", empty="", name="Trạm", none=None, pair="a=b")
log.error("broken")
log.debug("not shown", x=1)
for name in {CHATTY!r}:
    logging.getLogger(name).warning("chatter")
    logging.getLogger(name).error("%s failed", name)
logging.getLogger("else").warning("50%% of %s", "x")
"""


def said(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, encoding="utf-8",
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return done.stderr.splitlines()


def into_journal(script: str, named: bool = True, **environment: str) -> list[str]:
    """Its lines when stderr is a pipe that $JOURNAL_STREAM names, as under systemd; or names another one."""
    out, end = os.pipe()
    there = os.fstat(end)
    stream = f"{there.st_dev}:{there.st_ino if named else there.st_ino + 1}"
    with os.fdopen(end, "wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-c", script], stderr=stderr,
            env=os.environ | {"JOURNAL_STREAM": stream} | environment,
        )  # fmt: skip
    assert done.returncode == 0
    with os.fdopen(out, encoding="utf-8") as file:
        return file.read().splitlines()


def test_one_line_an_event_on_stderr():
    lines = said()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    assert re.fullmatch(stamp + r"INFO    part: line is up bus=tank port=502", lines[0])
    why = 'why="a \\"word\\"\\nand a\\u2028line"'
    assert lines[1].endswith(f'part: down {why} empty="" name=Trạm none=None pair="a=b"')
    assert lines[2].endswith("ERROR   part: broken")
    assert not [line for line in lines if "not shown" in line or "chatter" in line]
    assert [line.split(": ")[1] for line in lines[3:]] == [*(f"{name} failed" for name in CHATTY), "50% of x"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("tank", "tank"), ("Trạm", "Trạm"), ("Trạm 1", '"Trạm 1"'), (5, "5"), (True, "True"), ("", '""'),
        ("a=b", '"a=b"'), ('a"b', '"a\\"b"'), ("a\nb", '"a\\nb"'), ("\x1b[31m", '"\\u001b[31m"'),
        (["x"], "['x']"), ("a\u2028b", '"a\\u2028b"'),
    ],
)  # fmt: skip
def test_a_value_is_quoted_when_it_would_be_read_as_something_else(value, shown):
    assert _shown(value) == shown


def test_in_the_journal_a_line_begins_with_its_priority_and_has_no_time():
    lines = into_journal(SCRIPT)
    assert lines[0] == "<6>INFO    part: line is up bus=tank port=502"
    assert lines[1].startswith("<4>WARNING part: down ") and lines[2] == "<3>ERROR   part: broken"


def test_another_stream_than_the_journals_is_written_as_always():
    assert not [line for line in into_journal(SCRIPT, named=False) if line.startswith("<")]


TRACED = """
from gateway.logs import get_logger, set_up_logging
set_up_logging()
try:
    1 / 0
except ZeroDivisionError:
    get_logger("part").exception("tripped", n=1)
"""


def test_all_lines_of_a_traceback_have_the_priority():
    lines = into_journal(TRACED)
    assert len(lines) > 3 and all(line.startswith("<3>") for line in lines)
    assert lines[-1] == "<3>ZeroDivisionError: division by zero"


def test_json_has_the_fields_as_they_are():
    first, second, *_ = [json.loads(line) for line in said(QUANTRAC_LOG="json")]
    assert first.pop("t") and first == {
        "level": "info", "part": "part", "event": "line is up", "bus": "tank", "port": 502,
    }  # fmt: skip
    assert second["why"] == 'a "word"\nand a\u2028line' and second["none"] is None
    line = into_journal(TRACED, QUANTRAC_LOG="json")
    assert len(line) == 1 and line[0].startswith("<3>{")
    assert json.loads(line[0][3:])["traceback"].endswith("ZeroDivisionError: division by zero")
    assert "t" not in json.loads(line[0][3:])
