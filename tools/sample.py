"""`quantrac gateway sample`: a person has bottles filled, or has put empty ones in."""

from __future__ import annotations

import json
from pathlib import Path

from gateway import config as configuration
from gateway.alert_people import BY_MAX
from gateway.commands.message import REASON_MAX
from gateway.requests import SAMPLE, Answer, Order
from tools.parked import done
from tools.people import DOES_NOT_HOLD, UsageError


def print_sample(config_path: Path, bottles: int, emptied: bool, by: str, reason: str, as_json: bool) -> int:
    """Exit status 1 when nothing is done: no sampler, it is at work, no empty bottle, no running gateway."""
    for text, least, most, name in ((by, 1, BY_MAX, "--by"), (reason, 0, REASON_MAX, "--reason")):
        if not least <= len(text.strip()) <= most or not (text.isprintable() or not text):
            raise UsageError(f"{name} is a line of {least} to {most} characters.")
    if not emptied and bottles < 1:
        raise UsageError("--bottles is at least 1.")
    config = configuration.load(config_path)
    if bottles > config.sampler.bottles:
        raise UsageError(f"--bottles is at most {config.sampler.bottles}: so many the carousel has.")
    order = Order(SAMPLE, (), "", by.strip(), reason.strip(), bottles=0 if emptied else bottles)
    answer = done(config, order, _stopped)
    print(json.dumps({"said": answer.said, "ok": answer.ok}, ensure_ascii=False) if as_json else answer.said)
    return 0 if answer.ok else DOES_NOT_HOLD


async def _stopped(state_dir: Path, order: Order) -> Answer:
    return Answer("The gateway is stopped: it drives the sampler, so nothing was done.", ok=False)
