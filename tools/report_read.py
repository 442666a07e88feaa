"""What `quantrac report` reads: a period from the journal, while the gateway runs or is stopped.

Rule 1: what is read are the entries that the journal had when the reading began, so that the figures and the
        checkpoint belong together while the gateway goes on writing.
Rule 2: a long period is read by two processes, half of the channels each; where signs are looked for, one
        makes the index meanwhile. The report is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gateway import alert_states
from gateway.calibration.fit import Judged, judged
from gateway.calibration.history import kept
from gateway.config import Channel, Config
from gateway.errors import JournalError
from gateway.ingest.calibrations import IN_FORCE
from gateway.ingest.corrections import CORRECTION
from gateway.interruptions import DESTINATION
from gateway.journal.kinds import CALIBRATION, EVENT
from gateway.journal.reader import Reader, Stored, reading
from gateway.notices import listed_of_month
from gateway.reports import period_build as build
from gateway.reports import period_model as model
from gateway.reports.period import Period
from gateway.reports.period_added import Rating, added, is_rated, keeps, rated
from gateway.reports.period_loads import Rates
from gateway.reports.period_runs import DAY, HOUR, WINDOW, Limits
from gateway.reports.period_signs import can_look
from gateway.verify_beside import Beside, is_possible
from gateway.zone import DAY_MS, HOUR_MS
from protocol import cbor, checkpoint, note
from protocol.errors import CodecError
from tools import report_tables
from tools.people import Failure

BESIDE_MS = 10 * DAY_MS
"""Below it a second process costs more than it brings."""
_ROWS = (
    f"SELECT {build.COLUMNS} FROM window WHERE start_ms >= ? AND start_ms < ? "
    "AND symbol >= ? AND symbol < ? AND idx < ? ORDER BY start_ms, symbol, revision"
)
LAST = "\U0010ffff"
"""Behind all symbols."""
_SIGNED = "SELECT note FROM checkpoint WHERE size <= ? ORDER BY size DESC LIMIT 1"
_NEWEST = "SELECT COALESCE(MAX(end_ms), 0) FROM window WHERE start_ms = (SELECT MAX(start_ms) FROM window)"
_LENGTH = "SELECT end_ms - start_ms FROM window WHERE start_ms >= ? ORDER BY start_ms LIMIT 1"


def read(config: Config, asked: Period) -> model.Report:
    """The report of a period. Failure and JournalError say why there is none."""
    path = config.gateway.state_dir / "journal.db"
    if not path.exists():
        raise Failure(f"{path} does not exist: has this gateway ever run?")
    with reading(path) as reader:
        moment = _moment(reader, config, asked)
    settings = [_setting(channel) for channel in config.channel]
    parts = _parts(path, asked, settings, moment)
    station = config.station
    with reading(path) as reader:
        report = build.build(
            model.Station(station.province, station.facility, station.code, station.name, station.kind),
            asked, settings, moment.grid, parts, moment.newest_ms, _beside(reader, asked, moment),
            _evidence(reader, moment),
        )  # fmt: skip
        recorded = [each.record for each in kept(reader) if each.entry < moment.entries]
    rates = Rates(config.fees.flow, config.fees.monitored, config.fees.rates)
    instruments = report_tables.instruments(config, recorded)
    with _rating(report, settings) as rating:
        return report._replace(added=added(report, settings, parts, rates, instruments, rating))


@contextmanager
def _rating(report: model.Report, settings: list[model.Setting]) -> Iterator[Rating | None]:
    """The station's index; made by a copy of this process while this one looks long for signs."""
    period = report.period
    looks = _is_long(period) and can_look(period.from_ms, period.to_ms)
    if is_rated(report.station.kind) and looks and is_possible():
        with Beside(lambda: rated(report, settings)) as beside:
            yield beside.result
    else:
        yield None


def _setting(channel: Channel) -> model.Setting:
    figures = {figure.span: Limits(figure.max, figure.min, figure.basis) for figure in channel.limits.figures}
    means = tuple((span, figures[span]) for span in (HOUR, DAY) if span in figures)
    limits = figures.get(WINDOW, Limits())
    return model.Setting(channel.symbol, channel.unit, channel.decimals, limits, means, channel.average)


class _Moment(NamedTuple):
    """The journal as it was when the reading began (rule 1)."""

    entries: int  # what comes later is left out
    newest_ms: int  # end of the newest window
    now_ms: int  # when the newest entry arrived
    grid: build.Grid


def _moment(reader: Reader, config: Config, asked: Period) -> _Moment:
    gateway, entries = config.gateway, reader.size()
    ((newest_ms,),) = reader.rows(_NEWEST)
    length = reader.rows(_LENGTH, asked.from_ms)
    length_ms = length[0][0] if length else gateway.window_minutes * 60_000
    grid = build.Grid(length_ms, gateway.label == "end", gateway.valid_share_min)
    return _Moment(entries, newest_ms, reader.newest_ms(), grid)


def _is_long(asked: Period) -> bool:
    return asked.to_ms - asked.from_ms > BESIDE_MS


def _parts(path: Path, asked: Period, settings: list[model.Setting], moment: _Moment) -> list[build.Part]:
    """All channels; half of them by a copy of this process, where another core is there."""

    def part(mine: list[model.Setting], first: str, behind: str) -> build.Part:
        with reading(path) as reader:
            rows = _hours(reader, asked, moment, first, behind)
            return build.collect(
                asked, mine, moment.grid, rows, moment.newest_ms, partial(keeps, asked, settings)
            )

    if not _is_long(asked) or len(settings) < 2 or not is_possible():
        return [part(settings, "", LAST)]
    middle = sorted(setting.symbol for setting in settings)[len(settings) // 2]
    here = [setting for setting in settings if setting.symbol < middle]
    there = [setting for setting in settings if setting.symbol >= middle]
    with Beside(lambda: part(there, middle, LAST)) as beside:
        return [part(here, "", middle), beside.result()]


def _hours(reader: Reader, asked: Period, moment: _Moment, first: str, behind: str) -> Iterator[list[tuple]]:
    """Rows of one hour after the other, of symbols from `first` to before `behind`."""
    for hour_ms in range(asked.from_ms, build.reach_of(asked, moment.newest_ms), HOUR_MS):
        yield reader.rows(_ROWS, hour_ms, hour_ms + HOUR_MS, first, behind, moment.entries)


def _beside(reader: Reader, asked: Period, moment: _Moment) -> model.Beside:
    kept = [list(reader.entries(0, moment.entries - 1, (kind,))) for kind in (EVENT, CALIBRATION)]
    try:
        events, calibrations = ([(one, cbor.loads(one.body)) for one in entries] for entries in kept)
        alerts = tuple(_alerts([entry for entry, _ in events], asked))
        in_force = tuple(_calibrations(calibrations, asked))
    except (CodecError, TypeError, ValueError, KeyError) as error:
        raise JournalError(
            f"An entry of {reader.path} is not as a gateway writes it ({error}): check the journal with "
            "`quantrac rebuild`, or restore it from a backup."
        ) from error
    stops = [
        model.Stop(*listed) for listed in listed_of_month(reader, asked.from_ms, asked.to_ms, moment.now_ms)
    ]
    stops.sort(key=lambda stop: stop.interruption.what[0] == DESTINATION)
    records = tuple(_records(reader, asked, moment))
    return model.Beside(alerts, in_force, tuple(stops), records)


def _alerts(events: list[Stored], asked: Period) -> Iterator[model.Alert]:
    """Alerts that touch the period, by their beginning, with what was done about each (alert_states.py)."""
    found: dict[tuple[str, str, int], model.Alert] = {}
    for entry in events:
        said = alert_states.parse(entry.body)
        if said is None:
            continue
        key = (said.symbol, said.rule, said.since_ms)
        cause = said.windows[0] if said.windows else None
        known = found.get(key)
        if known is None or said.said == "raised":
            ends_ms = said.since_ms if said.said == "past" else None
            known = found[key] = model.Alert(
                said.symbol, said.rule, said.since_ms, ends_ms, cause.value if cause else None,
                cause.limit if cause else None, said.basis, (),
            )  # fmt: skip
        if said.said == "cleared":
            ends_ms = cause.start_ms if cause else entry.arrived_ms
            found[key] = known._replace(until_ms=ends_ms)
        elif said.said in (alert_states.ACKNOWLEDGED, alert_states.ESCALATED):
            acted = model.Acted(entry.arrived_ms, said.said, said.by, said.note)
            found[key] = known._replace(acted=(*known.acted, acted))
    for alert in sorted(found.values(), key=lambda alert: (alert.since_ms, alert.about, alert.rule)):
        if alert.since_ms < asked.to_ms and (alert.until_ms is None or alert.until_ms >= asked.from_ms):
            yield alert


def _calibrations(entries: list[tuple[Stored, Any]], asked: Period) -> Iterator[model.Calibration]:
    for entry, said in entries:
        in_force = isinstance(said, dict) and said.get("what") in (IN_FORCE, CORRECTION)
        if in_force and asked.from_ms <= entry.arrived_ms < asked.to_ms:
            points = tuple((float(raw), float(value)) for raw, value in said["points"])
            yield model.Calibration(
                entry.arrived_ms, entry.source, said["quantity"], said["calibration"], points
            )


def _records(reader: Reader, asked: Period, moment: _Moment) -> Iterator[Judged]:
    """Records of the period, by time; each held against the one before it, whenever that was."""
    known = [each.record for each in kept(reader) if each.entry < moment.entries]
    found = [one for some in judged(known).values() for one in some]
    for one in sorted(found, key=lambda one: (one.record.at_ms, one.record.channel)):
        if asked.from_ms <= one.record.at_ms < asked.to_ms:
            yield one


def _evidence(reader: Reader, moment: _Moment) -> model.Evidence:
    rows = reader.rows(_SIGNED, moment.entries)
    if not rows:
        return model.Evidence(moment.entries, "", 0, "")
    newest = checkpoint.parse(note.parse(rows[0][0]).text)
    return model.Evidence(moment.entries, newest.origin, newest.size, note.to_base64(newest.root))
