"""What the gateway knows about itself: for people (/api/v1/current), monitors (/healthz) and Prometheus.

Reads the live objects, changes nothing. Problems are sentences that say what to look at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.clock import Clock
from gateway.config_model import Config
from gateway.feed import Feed
from gateway.forward.pace import Pace
from gateway.forward.worker import Worker
from gateway.ingest.intake import Intake
from gateway.ingest.line import Line
from gateway.journal.retention import Retention
from gateway.journal.room import FREE_BYTES_MIN
from gateway.notices import Notices
from gateway.reports.message import rfc3339
from gateway.windows import Window
from gateway.witness import Witness
from protocol import quality as q

GROWN_S = 900.0
"""How long something that went wrong is still told of."""
WITNESS_LATE_S = 3600.0
"""A witness that is away for less is no reason to call anybody: it cosigns the newest when it is back."""
LATE_S = 900.0
"""A document that waits longer than 15 minutes is late: then the receiver shows the station offline."""


class Status:
    """Over the parts of one running gateway."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        intake: Intake,
        lines: Mapping[str, Line],
        workers: Mapping[str, Worker],
        witnesses: Mapping[str, Witness],
        retention: Retention,
        notices: Notices,
        feed: Feed,
    ):
        self._config = config
        self._clock = clock
        self._intake = intake
        self._lines = lines
        self._workers = workers
        self._witnesses = witnesses
        self._retention = retention
        self._notices = notices
        self._feed = feed
        self._newest: dict[str, Window] = {}
        self._paces = {id: Pace() for id in workers}
        self._grown: dict[str, tuple[int, float]] = {}  # counter -> (its value, when it had grown to it)

    def closed(self, windows: list[Window]) -> None:
        """Hear of windows as they close, to show the newest of each channel."""
        for window in windows:
            known = self._newest.get(window.symbol)
            if known is None or window.start_ms >= known.start_ms:  # not a new revision of an older one
                self._newest[window.symbol] = window

    # /api/v1/current ----------------------------------------------------------------------------------------

    def current(self) -> dict[str, Any]:
        """Channels, destinations, devices and buses, now."""
        counters = self._intake.count()
        station = self._config.station
        return {
            "station": {
                "province": station.province, "facility": station.facility,
                "code": station.code, "name": station.name,
            },
            "t": rfc3339(self._clock.now_ms()),
            "simulated_clock": self._clock.simulated,
            "problems": self.problems(),
            "channels": [self._channel(channel, counters) for channel in self._config.channel],
            "destinations": [self._destination(id, counters) for id in self._workers],
            "devices": {id: counted.snapshot() for id, counted in counters.links.items()},
            "buses": {id: line.counters.snapshot() for id, line in self._lines.items()},
            "witnesses": [self._witness(name) for name in self._witnesses],
            "interruptions": [
                {"what": " ".join(one.what), "since": rfc3339(one.from_ms), "cause": one.cause}
                for one in self._notices.open
            ],
            "journal": self._journal(),
            "disk": self._disk(),
        }  # fmt: skip

    def _channel(self, channel: Any, counters: Any) -> dict[str, Any]:
        newest = self._intake.newest(channel.symbol)
        window = self._newest.get(channel.symbol)
        return {
            "symbol": channel.symbol, "unit": channel.unit, "decimals": channel.decimals,
            "value": None if newest is None else newest.value,
            "quality": q.NAMES[q.NO_DATA if newest is None else newest.quality],
            "t": None if newest is None else rfc3339(newest.time_ms),
            "window": None if window is None else {
                "end": rfc3339(window.end_ms), "value": window.value, "status": window.status,
                "quality": q.NAMES[window.quality], "valid_share": window.valid_share,
                "revision": window.revision,
            },
            "readings": counters.channel(channel.symbol).snapshot(),
        }  # fmt: skip

    def _destination(self, id: str, counters: Any) -> dict[str, Any]:
        worker = self._workers[id].counters
        counted = counters.destination(id)
        oldest = worker.oldest_unsent_ms
        rate, eta_s = self._estimate(id)
        return {
            "id": id, "connected": worker.connected, "queued": counted.queued, "delivered": counted.delivered,
            "parked": counted.parked, "backlog": counted.waiting, "attempts": worker.attempts,
            "oldest_unsent_s": None if oldest is None else worker.oldest_unsent_age_s(self._clock.now_ms()),
            "rate_per_s": rate, "eta_s": eta_s, "retry_in_s": worker.retry_in_s,
            "refused": worker.refused, "last_error": worker.last_error,
        }  # fmt: skip

    def _estimate(self, id: str) -> tuple[float | None, float | None]:
        """Documents delivered a second, and seconds until none waits; None while it does not move."""
        pace, counted = self._paces[id], self._intake.counters.destination(id)
        pace.look(self._clock.mono_ns() / 1e9, counted.delivered, counted.queued)
        if not self._workers[id].counters.connected or not counted.waiting:
            return None, None
        return pace.rate_per_s(), pace.eta_s(counted.waiting)

    def _witness(self, name: str) -> dict[str, Any]:
        """size, age_s: of the newest checkpoint that it cosigned; behind_s: how long a newer one waits."""
        witness, now_ms = self._witnesses[name], self._clock.now_ms()
        counted = witness.counters
        since_ms = now_ms if counted.behind_since_ms is None else counted.behind_since_ms
        return {
            "name": name, "url": witness.url, "size": counted.size,
            "age_s": None if counted.at_ms is None else max(0.0, (now_ms - counted.at_ms) / 1000),
            "behind_s": max(0.0, (now_ms - since_ms) / 1000) if witness.waiting else None,
            "asked": counted.asked, "cosigned": counted.cosigned, "failed": counted.failed,
            "retry_in_s": counted.retry_in_s, "refused": counted.refused, "disputed": bool(counted.dispute),
            "last_error": counted.last_error,
        }  # fmt: skip

    def _journal(self) -> dict[str, Any]:
        journal = self._intake.journal
        return {
            "entries": journal.size, "commits": journal.commits, "waiting": journal.pending_entries,
            "faults": journal.faults, "status": journal.status,
        }  # fmt: skip

    def _disk(self) -> dict[str, Any]:
        """What gateway/journal/room.py found when it last looked: None where there was too little to tell."""
        room = self._retention.room
        found = {} if room is None else room.numbers()
        return {
            "retention_days": self._config.gateway.retention_days,
            "pruned": self._retention.gone,
            **found,
        }

    # /healthz -----------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Sentences, empty while all is well."""
        found = []
        journal = self._intake.journal
        if journal.status:
            found.append(f"The journal cannot store: {journal.status}")
        if journal.unsigned:
            found.append(journal.unsigned)
        if not self._clock.trusted:
            found.append(
                "The clock is behind the newest entry of the journal: set it, or give it a time server."
            )
        if (free := shutil.disk_usage(self._config.gateway.state_dir).free) < FREE_BYTES_MIN:
            found.append(f"The disk has {free >> 20} MiB left: make room, or nothing can be stored any more.")
        found += self._retention.problems()
        for state in self._intake.windows.states:
            if self._growing(f"unplaced {state.channel.symbol}", state.unplaced):
                found.append(
                    f"Readings of {state.channel.symbol} are in no average: their time is not credible. "
                    "Compare the clocks of the device and the gateway."
                )
        for id, counted in self._intake.counters.links.items():
            if self._growing(f"tag {id}", counted.bad_tag):
                found.append(
                    f"Frames that name the device {id} have a wrong tag: compare its key with its key_file."
                )
            if not counted.connected:
                found.append(f"The device {id} is not connected: check its power and its cable.")
        for id, line in self._lines.items():
            if not line.counters.up:
                found.append(f"The bus {id} is down: {line.counters.down_reason or 'not connected yet'}.")
            silent = [number for number, unit in line.counters.units.items() if unit.backoff_s]
            if silent and line.counters.up:
                found.append(f"On the bus {id} unit {', '.join(map(str, silent))} does not answer.")
        now_ms = self._clock.now_ms()
        for id, worker in self._workers.items():
            age_s = worker.counters.oldest_unsent_age_s(now_ms)
            self._estimate(id)  # looked at again and again, it knows the pace
            if worker.counters.refused:
                found.append(f"The destination {id} refuses us: {worker.counters.last_error}")
            elif age_s > LATE_S and (catching_up := self._catches_up(id)):
                found.append(f"The destination {id} is {age_s / 60:.0f} minutes behind and {catching_up}")
            elif age_s > LATE_S:
                why = f": {worker.counters.last_error}" if worker.counters.last_error else "."
                found.append(f"The destination {id} is {age_s / 60:.0f} minutes behind{why}")
            elif worker.counters.last_error and not worker.counters.connected and age_s:
                found.append(f"The destination {id} is away: {worker.counters.last_error}")
            if parked := self._intake.counters.destination(id).parked:
                found.append(f"{parked} documents for {id} are parked: look at `quantrac gateway parked`.")
        found += self._problems_of_witnesses()
        found += self._notices.problems()
        found += self._feed.problems()
        for id, counted in self._intake.counters.destinations.items():
            if id not in self._workers and counted.waiting:
                found.append(
                    f"{counted.waiting} documents wait for {id}, which the configuration no longer has: "
                    "give a destination that id again."
                )
        return found

    def _catches_up(self, id: str) -> str:
        """How a destination that is behind comes on; "" while it does not move."""
        rate, eta_s = self._estimate(id)
        waiting = self._intake.counters.destination(id).waiting
        documents = "1 document" if waiting == 1 else f"{waiting:,} documents"
        if rate is None:
            return ""
        if eta_s is None:
            return f"takes less than comes: {documents} wait."
        minutes = max(1, round(eta_s / 60))
        if minutes > 180:
            return f"catches up: {documents}, about {minutes / 60:.0f} hours."
        return f"catches up: {documents}, about {minutes} minute{'s' * (minutes > 1)}."

    def _problems_of_witnesses(self) -> Iterator[str]:
        for name, witness in self._witnesses.items():
            counted, behind_s = witness.counters, self._witness(name)["behind_s"] or 0.0
            if counted.dispute:
                yield f"The witness {name} holds another history of this log: {counted.dispute}"
            elif counted.refused:
                yield f"The witness {name} refuses us: {counted.last_error}"
            elif behind_s > WITNESS_LATE_S:
                why = f": {counted.last_error}" if counted.last_error else "."
                yield f"The witness {name} has cosigned nothing for {behind_s / 60:.0f} minutes{why}"

    def _growing(self, name: str, count: int) -> bool:
        """Whether a counter of what should not be has grown within the last GROWN_S."""
        now_s = self._clock.mono_ns() / 1e9
        known, since_s = self._grown.get(name, (0, float("-inf")))
        if count > known:
            self._grown[name] = (count, now_s)
            return True
        return now_s - since_s < GROWN_S

    def sentence(self) -> str:
        """One line for systemd."""
        problems = self.problems()
        return problems[0] if problems else "all is well"

    # /metrics -----------------------------------------------------------------------------------------------

    def families(self) -> dict[str, tuple[str, dict[str, dict[str, Any]]]]:
        """As gateway.metrics.exporter wants them."""
        counters = self._intake.count()
        units = {
            f"{id}/{number}": unit
            for id, line in self._lines.items()
            for number, unit in line.counters.snapshot()["units"].items()
        }
        return {
            "readings": ("channel", {symbol: c.snapshot() for symbol, c in counters.channels.items()}),
            "documents": (
                "destination",
                {id: _numbers(self._destination(id, counters)) for id in self._workers},
            ),
            "device": ("device", {id: c.snapshot() for id, c in counters.links.items()}),
            "bus": ("bus", {id: line.counters.snapshot() for id, line in self._lines.items()}),
            "unit": ("unit", units),
            "journal": ("", {"": _numbers(self._journal())}),
            "disk": ("", {"": self._disk()}),
            "windows": (
                "",
                {"": {"closed": self._intake.windows.closed, "forced": self._intake.windows.forced}},
            ),
            "polls": ("", {"": {"refused": counters.polls_refused}}),
            "witness": ("witness", {name: _numbers(self._witness(name)) for name in self._witnesses}),
        }


def _numbers(found: dict[str, Any]) -> dict[str, Any]:
    named = dict(found)
    if "backlog" in named:
        named["waiting"] = named.pop("backlog")
    for name in ("oldest_unsent_s", "behind_s"):
        if named.get(name, 0) is None:
            named[name] = 0.0
    return named
