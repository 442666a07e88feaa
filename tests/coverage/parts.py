"""What is measured, what each part aims at, and the tests that are enough for the four parts of the promises.

Rule 1: a line that does not count is one that never runs by its nature; EXCLUDE is the whole list, and no
        comment in the code can add to it.
Rule 2: lines and branches must each reach the aim.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
FOLDERS = ("firmware", "gateway", "protocol", "simulator", "tools")

EXCLUDE = (
    r"^if TYPE_CHECKING:",  # for the type checker alone
    r"^class \w+\(Protocol\):",  # a shape that others have: its methods are never called
    r"^\s*raise NotImplementedError",
)


class Part(NamedTuple):
    """`paths` are patterns below the repository; `aim` is in percent, None where only the whole has one."""

    name: str
    paths: tuple[str, ...]
    aim: float | None


WINDOWS = ("windows", "lane", "accumulate", "timed", "circular")
OUTBOX = ("journal/outbox", "forward/worker", "forward/marks", "forward/pace")
FOUR = (
    Part("protocol", ("protocol/**/*.py",), 95.0),
    Part("journal", ("gateway/journal/*.py",), 95.0),
    Part("windows", tuple(f"gateway/{name}.py" for name in WINDOWS), 95.0),
    Part("outbox", tuple(f"gateway/{name}.py" for name in OUTBOX), 95.0),
)
WHOLE = Part("whole", tuple(f"{folder}/**/*.py" for folder in FOLDERS), 90.0)
PARTS = (
    *FOUR,
    *(Part(folder, (f"{folder}/**/*.py",), None) for folder in ("firmware", "gateway", "simulator", "tools")),
    WHOLE,
)

_MORE_OF_THE_SAME = ("test_generated", "test_node32", "test_session_machine")
_JOURNAL = (
    "bodies checkpoints closing commands deliveries handover journal leaf lock packed page_reads parked "
    "retention room schema uncommitted verify_hostile wal writer"
)
_WINDOWS = "circular clock_set counters derive marks raw summaries timed windows"
_OUTBOX = (
    "forward_between forward_delay forward_journal forward_pace forward_worker outbox_store pauses sends"
)
_PROTOCOL = sorted(path.stem for path in (TESTS / "protocol").glob("test_*.py"))
FEW_TESTS = (
    *(f"tests/protocol/{name}.py" for name in _PROTOCOL if name not in _MORE_OF_THE_SAME),
    *(f"tests/gateway/test_{name}.py" for name in f"{_JOURNAL} {_WINDOWS} {_OUTBOX}".split()),
)
"""For the four parts: the quicker ones of what tests them, the protocol's in MicroPython, too."""
