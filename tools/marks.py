"""`quantrac gateway mark`: an instrument is calibrated or maintained, a running gateway is told so."""

from __future__ import annotations

import json
from pathlib import Path

from gateway import config as configuration
from gateway.alert_people import BY_MAX, NOTE_MAX
from gateway.requests import MARK, MARKS, Answer, Order
from tools.parked import done
from tools.people import DOES_NOT_HOLD, UsageError


def print_mark(
    config_path: Path, channel: str, what: str, minutes: float, by: str, reason: str, as_json: bool
) -> int:
    """Exit status 1 when there is no such channel, or the gateway does not run."""
    for text, least, most, name in ((by, 1, BY_MAX, "--by"), (reason, 0, NOTE_MAX, "--reason")):
        if not least <= len(text.strip()) <= most or not (text.isprintable() or not text):
            raise UsageError(f"{name} is a line of {least} to {most} characters.")
    if what not in MARKS:
        raise UsageError(f"An instrument is not {what!r}: write {', '.join(MARKS[:-1])} or {MARKS[-1]}.")
    if not minutes > 0:
        raise UsageError("--minutes is more than 0: for how long at the most?")
    config = configuration.load(config_path)
    lasts = 0 if what == MARKS[-1] else minutes
    order = Order(MARK, (), "", by.strip(), reason.strip(), channel=channel, mark=what, minutes=lasts)
    answer = done(config, order, _stopped)
    print(json.dumps({"said": answer.said, "ok": answer.ok}, ensure_ascii=False) if as_json else answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


async def _stopped(state_dir: Path, order: Order) -> Answer:
    return Answer("The gateway is stopped: nothing is measured, so there is nothing to mark.", ok=False)
