"""What people do in a scenario: they ask the running gateway, as the commands of `quantrac gateway` do.

Rule 1: by its own way: a file in state_dir/requests/, an answer (gateway/requests.py).
Rule 2: whoever finds the gateway away tries again until it is there. What it answers, and what it refuses, is
        noted: a story whose person was refused is not the story that was told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from gateway import requests
from gateway.journal.reader import reading
from gateway.reports.message import rfc3339
from gateway.requests import Answer, Order
from simulator.scenario import Act, Scenario, ScenarioError
from tools.scenario.notes import refused
from tools.scenario.site import PROVINCE
from tools.scenario.world import World

LOOK_S = 5.0
CERTIFIED_MS = 180 * 86_400_000  # for so long the standard still has a certificate
ANSWER_S_MAX = 600.0
RULE = "limit"
_PENDING = "SELECT id FROM outbox WHERE destination = ? AND state = 0 ORDER BY id"


def _mark(world: World, act: Act) -> Order:
    return Order(
        requests.MARK, (), "", act.by, act.text("reason", "as planned"), channel=act.text("channel"),
        mark=act.text("mark"), minutes=act.number("minutes"),
    )  # fmt: skip


def _calibrate(world: World, act: Act) -> Order:
    points = [(0.0, act.number("zero")), (act.number("standard"), act.number("span"))]
    now_ms, standard = world.clock.now_ms(), act.number("standard")
    certificate = {
        "number": "KT-26/118", "value": standard, "uncertainty": standard / 100,
        "valid_until": rfc3339(now_ms + CERTIFIED_MS)[:10],
    }  # fmt: skip
    record = {
        "channel": act.text("channel"), "at": rfc3339(now_ms)[:16], "who": act.by, "certificate": certificate,
        "serial": "A-4711", "kind": "check", "remark": act.text("reason"),
        "points": [{"reference": reference, "before": shown} for reference, shown in points],
    }  # fmt: skip
    return Order(requests.CALIBRATE, (), "", act.by, "", record=json.dumps(record))


def _acknowledge(world: World, act: Act) -> Order | None:
    """The oldest alert of this channel that stands; None while there is none."""
    assert world.gateway is not None
    rule = act.text("rule", RULE)
    for alert in world.gateway.watch.listed():
        if alert["about"] == act.text("channel") and alert["rule"] == rule:
            why = act.text("reason", "seen")
            return Order(requests.ACKNOWLEDGE, (), "", act.by, why, alert=alert["alert"])
    return None


def _of_destination(what: str) -> Callable[[World, Act], Order | None]:
    def order(world: World, act: Act) -> Order | None:
        destination = act.text("destination", PROVINCE)
        ids: tuple[int, ...] = ()
        if what == requests.PARK:
            with reading(world.site.journal) as reader:
                ids = tuple(row[0] for row in reader.rows(_PENDING, destination))[: requests.IDS_MAX]
            if not ids:
                return None
        return Order(what, ids, destination, act.by, act.text("reason", "as told"))

    return order


def _empty(world: World, act: Act) -> Order:
    return Order(requests.SAMPLE, (), "", act.by, act.text("reason", "put empty ones in"), bottles=0)


ORDER = "order"
"""The department's own: it does not ask the gateway, the gateway asks it."""
ACTS: dict[str, Callable[[World, Act], Order | None]] = {
    "mark": _mark,
    "calibrate": _calibrate,
    "acknowledge": _acknowledge,
    "pause": _of_destination(requests.PAUSE),
    "resume": _of_destination(requests.RESUME),
    "park": _of_destination(requests.PARK),
    "release": _of_destination(requests.RELEASE),
    "empty": _empty,
}


def check(scenario: Scenario) -> None:
    """ScenarioError for what nobody can do here."""
    wrong = [
        f"act {number}: nobody can {act.what} here. Write one of {', '.join(ACTS)}."
        for number, act in enumerate(scenario.acts, 1)
        if act.what not in {*ACTS, ORDER}
    ]
    for act in scenario.acts:
        if act.what == ORDER and not scenario.station.department:
            wrong.append("An order needs a department: write department = true below [station].")
        if act.what == ORDER and act.text("verb") == "resend" and not {"from", "to"} <= act.given.keys():
            wrong.append("An order to send again needs from and to.")
    if wrong:
        raise ScenarioError(scenario.name, wrong)


async def run(world: World) -> None:
    """All acts, each at its times."""
    station = world.scenario.station
    async with asyncio.TaskGroup() as tasks:
        for act in world.scenario.acts:
            for at_ms, _ in act.spans(station.length_ms):
                tasks.create_task(_act(world, act, station.begins_ms + at_ms))


async def _act(world: World, act: Act, at_ms: int) -> None:
    await world.until(at_ms)
    if act.what == ORDER:
        assert world.department is not None
        world.department.order(act)
        return
    until_s = world.loop.now_s + ANSWER_S_MAX
    while world.loop.now_s < until_s:
        gateway = world.gateway
        order = ACTS[act.what](world, act) if gateway is not None and gateway.requests.ready else None
        if order is not None:
            answer = await _answer(requests.write(world.site.state_dir, order))
            if answer is not None and answer.ok:
                return
            if answer is not None:
                world.notes.append(refused(act.by, act.what, answer.said))
                return
        await asyncio.sleep(LOOK_S)
    world.notes.append(refused(act.by, act.what, "there was nothing to do that to."))


async def _answer(path: Path) -> Answer | None:
    """None when nobody answers for a minute: it may have been killed meanwhile."""
    said = path.with_suffix(".answer")
    for _ in range(round(60 / LOOK_S)):
        await asyncio.sleep(LOOK_S)
        if said.exists():
            answer = requests.parse_answer(said.read_bytes())
            said.unlink()
            return answer
    path.unlink(missing_ok=True)
    return None
