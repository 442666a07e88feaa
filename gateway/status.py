"""What the gateway knows about itself: for people (/api/v1/current), monitors (/healthz) and Prometheus.

Reads the live objects, changes nothing. Problems are sentences that say what to look at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway import flags
from gateway.accumulate import Newest
from gateway.alert_counts import LABELS, counts
from gateway.clock import Clock
from gateway.conditions import CLOCK, DISK, GATEWAY, LOG, NO_DATA, Condition
from gateway.config_model import Config
from gateway.feed import Feed
from gateway.forward.pace import Pace
from gateway.forward.worker import Worker
from gateway.ingest.intake import Intake
from gateway.journal.retention import Retention
from gateway.journal.room import FREE_BYTES_MIN
from gateway.metrics import Families
from gateway.notices import Notices
from gateway.reports.message import rfc3339
from gateway.windows import Window
from gateway.witness import Witness
from protocol import quality as q

if TYPE_CHECKING:
    from gateway.ingest.line import Line

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
        alerts: Callable[[], list[dict[str, Any]]] = list,
        people: Callable[[], list[str]] = list,
        page: Callable[[], dict[str, Any]] = dict,
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
        self._alerts = alerts
        self._people = people
        self._page = page
        self.more: Callable[[], dict[str, Any]] = dict  # what only some stations have
        self._newest: dict[str, Window] = {}
        self._paces = {id: Pace() for id in workers}
        self._kept_once = False  # a time server kept the clock right since the start
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
            "alerts": self._alerts(),
            "page": self._page(),
            "clock": self._clock_numbers(),
            "journal": self._journal(),
            "disk": self._disk(),
            **self.more(),
        }  # fmt: skip

    def _channel(self, channel: Any, counters: Any) -> dict[str, Any]:
        newest = self._intake.newest(channel.symbol)
        window = self._newest.get(channel.symbol)
        if newest is None and window is not None and hasattr(channel.source, "derived"):
            newest = Newest(window.end_ms, window.value, window.quality)  # it is made of windows
        return {
            "symbol": channel.symbol, "unit": channel.unit, "decimals": channel.decimals,
            "value": None if newest is None else newest.value,
            "quality": flags.NAMES[q.NO_DATA if newest is None else newest.quality],
            "t": None if newest is None else rfc3339(newest.time_ms),
            "window": None if window is None else {
                "end": rfc3339(window.end_ms), "value": window.value, "status": window.status,
                "quality": flags.NAMES[window.quality], "valid_share": window.valid_share,
                "revision": window.revision,
            },
            "readings": counters.channel(channel.symbol).snapshot(),
        }  # fmt: skip

    def _shown(self, channel: Any) -> dict[str, Any]:
        """The newest value as numbers; good: it may be shown as a result."""
        newest = self._intake.newest(channel.symbol)
        if newest is None:
            return {}
        age_s = max(0.0, (self._clock.now_ms() - newest.time_ms) / 1000)
        return {"value": newest.value, "good": newest.quality == q.OK, "age_s": age_s}

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
            "refused": worker.refused, "last_error": worker.last_error, "paused": self._workers[id].paused,
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

    def _clock_numbers(self) -> dict[str, Any]:
        """trusted: not behind the journal. The others as the kernel says, None where it does not."""
        kept = self._clock.kept()
        said = {"synchronized": None, "error_s": None} if kept is None else kept._asdict()
        return {"trusted": self._clock.trusted, **said}

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
        return [condition.text for condition in self.conditions()]

    def conditions(self) -> Iterator[Condition]:
        """What is not well, each a sentence; with the rule of its alert where somebody is called for it."""
        yield from self._of_the_gateway()
        yield from self._of_devices()
        for id in self._workers:
            yield from map(Condition, self._of_destination(id))
        yield from self._problems_of_witnesses()
        yield from map(Condition, self._notices.problems())
        yield from map(Condition, self._feed.problems())
        yield from map(Condition, self._people())
        for id, counted in self._intake.counters.destinations.items():
            if id not in self._workers and counted.waiting:
                yield Condition(
                    f"{counted.waiting} documents wait for {id}, which the configuration no longer has: "
                    "give a destination that id again."
                )

    def _of_the_gateway(self) -> Iterator[Condition]:
        journal = self._intake.journal
        if journal.status:
            yield Condition(f"The journal cannot store: {journal.status}")
        if journal.unsigned:
            yield Condition(journal.unsigned, LOG, GATEWAY)
        if not self._clock.trusted:
            yield Condition(
                "The clock is behind the newest entry of the journal: set it, or give it a time server.",
                CLOCK,
                GATEWAY,
            )
        elif self._lost_time():
            yield Condition(
                "No time server keeps the clock right any more: look at `chronyc tracking` and the network.",
                CLOCK,
                GATEWAY,
            )
        if (free := shutil.disk_usage(self._config.gateway.state_dir).free) < FREE_BYTES_MIN:
            text = f"The disk has {free >> 20} MiB left: make room, or nothing can be stored any more."
            yield Condition(text, DISK, GATEWAY)
        for text in self._retention.problems():
            called = () if text == self._retention.problem else (DISK, GATEWAY)
            yield Condition(text, *called)

    def _lost_time(self) -> bool:
        """A station without any time server is no problem by that alone; one that lost its own is."""
        kept = self._clock.kept()
        self._kept_once |= kept is not None and kept.synchronized
        return self._kept_once and kept is not None and not kept.synchronized

    def _of_devices(self) -> Iterator[Condition]:
        for state in self._intake.windows.states:
            if self._growing(f"unplaced {state.channel.symbol}", state.unplaced):
                yield Condition(
                    f"Readings of {state.channel.symbol} are in no average: their time is not credible. "
                    "Compare the clocks of the device and the gateway.",
                    CLOCK,
                    state.channel.symbol,
                )
        for id, counted in self._intake.counters.links.items():
            if self._growing(f"tag {id}", counted.bad_tag):
                yield Condition(
                    f"Frames that name the device {id} have a wrong tag: compare its key with its key_file."
                )
            if not counted.connected:
                text = f"The device {id} is not connected: check its power and its cable."
                yield Condition(text, NO_DATA, id)
        for id, line in self._lines.items():
            if not line.counters.up:
                text = f"The bus {id} is down: {line.counters.down_reason or 'not connected yet'}."
                yield Condition(text, NO_DATA, id)
            silent = [number for number, unit in line.counters.units.items() if unit.backoff_s]
            if silent and line.counters.up:
                text = f"On the bus {id} unit {', '.join(map(str, silent))} does not answer."
                yield Condition(text, NO_DATA, id)

    def _of_destination(self, id: str) -> Iterator[str]:
        """Whoever is called for it hears of an interruption."""
        worker = self._workers[id]
        age_s = worker.counters.oldest_unsent_age_s(self._clock.now_ms())
        self._estimate(id)  # looked at again and again, it knows the pace
        if worker.counters.refused:
            yield f"The destination {id} refuses us: {worker.counters.last_error}"
        elif age_s > LATE_S and (catching_up := self._catches_up(id)):
            yield f"The destination {id} is {age_s / 60:.0f} minutes behind and {catching_up}"
        elif age_s > LATE_S:
            why = f": {worker.counters.last_error}" if worker.counters.last_error else "."
            yield f"The destination {id} is {age_s / 60:.0f} minutes behind{why}"
        elif worker.counters.last_error and not worker.counters.connected and age_s:
            yield f"The destination {id} is away: {worker.counters.last_error}"
        if parked := self._intake.counters.destination(id).parked:
            yield f"{parked} documents for {id} are parked: look at `quantrac gateway parked`."

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

    def _problems_of_witnesses(self) -> Iterator[Condition]:
        for name, witness in self._witnesses.items():
            counted, behind_s = witness.counters, self._witness(name)["behind_s"] or 0.0
            if counted.dispute:
                text = f"The witness {name} holds another history of this log: {counted.dispute}"
                yield Condition(text, LOG, name)
            elif counted.refused:
                yield Condition(f"The witness {name} refuses us: {counted.last_error}", LOG, name)
            elif behind_s > WITNESS_LATE_S:
                why = f": {counted.last_error}" if counted.last_error else "."
                yield Condition(
                    f"The witness {name} has cosigned nothing for {behind_s / 60:.0f} minutes{why}"
                )

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

    def families(self) -> Families:
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
            "clock": ("", {"": self._clock_numbers()}),
            "health": ("", {"": {"problems": len(self.problems())}}),
            "alerts": (LABELS, counts(self._alerts())),
            "channel": (
                "channel",
                {channel.symbol: self._shown(channel) for channel in self._config.channel},
            ),
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
