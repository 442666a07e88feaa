"""gateway/logs.py: one line an event, whatever a value holds; chatty libraries only when they fail."""

from __future__ import annotations

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


def said() -> list[str]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0 and done.stdout == "", done.stderr
    return done.stderr.splitlines()


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
