"""`quantrac gateway pause` and `resume`: a running gateway lets a destination rest, and lets it go on."""

from __future__ import annotations

import json
from pathlib import Path

from gateway import config as configuration
from gateway.alert_people import BY_MAX, NOTE_MAX
from gateway.requests import PAUSE, RESUME, Answer, Order
from tools.parked import done
from tools.people import DOES_NOT_HOLD, UsageError


def print_pause(config_path: Path, destination: str, by: str, reason: str, rest: bool, as_json: bool) -> int:
    """Exit status 1 when there is no such destination, it is so already, or the gateway does not run."""
    least = 1 if rest else 0
    for text, fewest, most, name in ((by, 1, BY_MAX, "--by"), (reason, least, NOTE_MAX, "--reason")):
        if not fewest <= len(text.strip()) <= most or not (text.isprintable() or not text):
            raise UsageError(f"{name} is a line of {fewest} to {most} characters.")
    config = configuration.load(config_path)
    order = Order(PAUSE if rest else RESUME, (), destination, by.strip(), reason.strip())
    answer = done(config, order, _stopped)
    print(json.dumps({"said": answer.said, "ok": answer.ok}, ensure_ascii=False) if as_json else answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


async def _stopped(state_dir: Path, order: Order) -> Answer:
    return Answer("The gateway is stopped: nothing is sent. Give it when it runs.", ok=False)
