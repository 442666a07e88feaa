"""The department's commands in a gateway: the desk, what its verbs do, and the ways by which they come.

sample   the sampler; answered when the bottles are filled, or were not
resend   resend.py, for the destinations of [department] resend_to
status   what /healthz says, and of the sampler, the newest values and the journal
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.commands import message as m
from gateway.commands.broker import Broker
from gateway.commands.desk import Desk, Outcome
from gateway.commands.poll import Poll, Server
from gateway.commands.resend import RANGE_MS_MAX, Range, Resend, numbers_of, summary
from gateway.commands.sign import Signing
from gateway.config_keys import department_keys
from gateway.config_model import Config, MqttDestination
from gateway.errors import CommandError
from gateway.journal.checkpoints import origin
from gateway.journal.journal import Journal
from gateway.sampling.bottles import BEGUN, FILLED, NOT_SENT, UNCHECKED, Asked, Bottle
from gateway.sampling.sampler import Sampler

DEPARTMENT = "department"
"""Who asks, in entries."""
PROBLEMS_MAX = 50
LATE_S = 900.0
"""How long a way may be down until somebody should look: as with destinations."""


class Commands:
    """What the configuration's [department] makes of a gateway; `ways` are run beside the desk."""

    def __init__(self, desk: Desk, ways: Mapping[str, Broker | Poll]):
        self.desk, self.ways = desk, ways

    @property
    def tasks(self) -> dict[str, Desk | Broker | Poll]:
        """What is to be run."""
        return {"desk": self.desk, **self.ways}

    def problems(self) -> list[str]:
        """Sentences for the status."""
        return [
            f"Commands of the department cannot come by {name}: {way.last_error}"
            for name, way in self.ways.items()
            if way.last_error and way.down_s() > LATE_S
        ]

    def told(self) -> dict[str, Any]:
        """For status and pages."""
        ways = {name: {"connected": w.connected, "last_error": w.last_error} for name, w in self.ways.items()}
        return {"taken": self.desk.taken, "refused": self.desk.refused, "ways": ways}


def commands_of(
    config: Config,
    journal: Journal,
    moment: Callable[[], tuple[int, int]],
    trusted: Callable[[], bool],
    sampler: Sampler | None,
    resend: Resend,
    status: Callable[[], dict[str, Any]],
) -> Commands:
    """Of a configuration that pins a key (as_configured.py looks)."""
    settings, station = config.department, config.station
    assert settings.key_file is not None
    name = origin(station.province, station.facility, station.code)
    desk = Desk(
        name,
        department_keys(settings.key_file.read_bytes()),
        journal,
        moment,
        trusted,
        Signing(config.gateway.state_dir, name),
        {
            "sample": Sampling(sampler).do,
            "resend": Resending(resend).do,
            "status": Telling(status).do,
        },
        {"sample": Sampling(sampler).look_up},
        settings.tolerance_s,
    )
    ways: dict[str, Broker | Poll] = {}
    for one in config.destination:
        if one.id == settings.via and isinstance(one, MqttDestination):
            place = f"{one.topic_prefix}/{station.province}/{station.facility}/{station.code}"
            client_id = (one.client_id or name.replace("/", "-")) + "-commands"
            ways[one.id] = Broker(one, client_id, (f"{place}/command", f"{place}/result"), desk.take)
    if settings.url is not None:
        files = (settings.token_file, settings.ca_file, settings.cert_file, settings.cert_key_file)
        ways["https"] = Poll(Server(settings.url, settings.poll_s, *files), name, desk.take)
    return Commands(desk, ways)


class Sampling:
    """`sample`."""

    def __init__(self, sampler: Sampler | None):
        self._sampler = sampler

    async def do(self, command: m.Command, digest: str) -> Outcome:
        """Fill the bottles. CommandError: none was begun."""
        if self._sampler is None:
            raise CommandError("This station has no sampler.")
        asked = Asked(command.args["bottles"], command.args["reason"], DEPARTMENT, bytes.fromhex(digest))
        return _told(await (await self._sampler.begin(asked)), asked.bottles)

    async def look_up(self, command: m.Command, digest: str) -> Outcome:
        """What became of one that was broken off."""
        found = [] if self._sampler is None else await self._sampler.of_order(bytes.fromhex(digest))
        if not found:
            return Outcome(
                m.REFUSED, "The gateway was stopped before it began: no bottle is filled for this."
            )
        if all(one.state != BEGUN for one in found) and len(found) == command.args["bottles"]:
            return _told(found, len(found))
        details = {"bottles": [one.told() for one in found]}
        what = "The gateway was stopped while it did this; begun bottles may be full, no others are filled."
        return Outcome(m.UNKNOWN, what, details)


def _told(bottles: list[Bottle], wanted: int) -> Outcome:
    good = [one for one in bottles if one.state in (FILLED, UNCHECKED)]
    said = " ".join(f"Bottle {one.number}: {one.text}" for one in bottles)
    if len(good) < wanted:
        said = f"{len(good)} of {wanted} bottles. {said}"
    none = all(one.state == NOT_SENT for one in bottles)
    state = m.DONE if len(good) == wanted else m.REFUSED if none else m.UNKNOWN
    return Outcome(state, said, {"bottles": [one.told() for one in bottles]})


class Resending:
    """`resend`."""

    def __init__(self, resend: Resend):
        self._resend = resend

    async def do(self, command: m.Command, digest: str) -> Outcome:
        """Queue the documents again. CommandError: there is nobody to send them to, or far too many."""
        args = command.args
        asked = Range(args["from"], args["to"], args["symbols"], args["what"])
        if asked.to_ms - asked.from_ms > RANGE_MS_MAX:
            raise CommandError("The range is longer than 31 days: ask for it in parts.")
        told = await self._resend.send(asked, DEPARTMENT, f"command {digest[:16]}")
        if not told:
            raise CommandError(
                "No destination is configured to get documents again ([department] resend_to)."
            )
        return Outcome(m.DONE, summary(told), numbers_of(told))


class Telling:
    """`status`; of /api/v1/current what fits an answer."""

    def __init__(self, current: Callable[[], dict[str, Any]]):
        self._current = current

    async def do(self, command: m.Command, digest: str) -> Outcome:
        """How the station is."""
        current = self._current()
        problems: list[str] = current["problems"]
        said = "All is well." if not problems else f"{len(problems)} problems, the first: {problems[0]}"
        details: dict[str, Any] = {
            "t": current["t"],
            "problems": problems[:PROBLEMS_MAX],
            "channels": _only(current["channels"], ("symbol", "value", "unit", "quality", "t")),
            "destinations": _only(current["destinations"], ("id", "connected", "backlog", "oldest_unsent_s")),
            "alerts": [one["alert"] for one in current["alerts"]][:PROBLEMS_MAX],
        }
        if "sampler" in current:
            details["sampler"] = current["sampler"]
        return Outcome(m.DONE, said[: m.REASON_SAID_MAX], details)


def _only(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in rows]
