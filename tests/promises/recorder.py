"""A plugin of pytest (`-p tests.promises.recorder`): chooses tests, and writes down what each one did.

Environment: PROMISES_ONLY names a file with a JSON list of node ids, which are run in this order;
PROMISES_COLLECTED one that gets such a list of all that was found; PROMISES_STATE one that gets a line of
JSON for each result as it comes, so that an interrupted run loses none.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.promises.counted import taken

GROUP = re.compile(r"@[^@\]/]+$")
"""What xdist appends to the id of a test that belongs to a group."""


def plain(nodeid: str) -> str:
    return GROUP.sub("", nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = os.environ.get("PROMISES_ONLY")
    if not named:
        return
    place = {test: at for at, test in enumerate(json.loads(Path(named).read_text(encoding="utf-8")))}
    kept = [item for item in items if plain(item.nodeid) in place]
    config.hook.pytest_deselected(items=[item for item in items if plain(item.nodeid) not in place])
    items[:] = sorted(kept, key=lambda item: place[plain(item.nodeid)])


def pytest_collection_finish(session: pytest.Session) -> None:
    named = os.environ.get("PROMISES_COLLECTED")
    if named:
        Path(named).write_text(json.dumps([plain(item.nodeid) for item in session.items]), encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    if call.when == "setup":
        taken()  # a test that was ended counts for nobody
    report = yield
    if call.when == "call":
        report.user_properties.append(("counted", taken()))
    return report


class Writer:
    def __init__(self, path: Path):
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        line = {
            "test": plain(report.nodeid),
            "outcome": report.outcome,
            "seconds": round(report.duration, 3),
            "counted": dict(report.user_properties).get("counted", {}),
            "why": _last_line(report),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _last_line(report: pytest.TestReport) -> str:
    """Of what went wrong, the line that says so."""
    if report.outcome == "passed":
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr or "")
    return text.strip().splitlines()[0][:300] if text.strip() else ""


def pytest_configure(config: pytest.Config) -> None:
    named = os.environ.get("PROMISES_STATE")
    if named and not hasattr(config, "workerinput"):  # of several processes the one that hears of all
        config.pluginmanager.register(Writer(Path(named)))
