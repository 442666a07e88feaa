"""`quantrac report`: the files of a period's report, and a few lines about it.

Rule 1: the outputs are made from the one model object (tools/report_read.py) and nothing else.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway import config as configuration
from gateway.reports import period_model as model
from gateway.reports.message import rfc3339
from gateway.reports.period import Period, between, period
from gateway.verify_beside import Beside, is_possible
from tools.log.times import time_ms
from tools.people import Failure, UsageError
from tools.report_read import BESIDE_MS, read

LANGUAGES = ("vi", "en")

BESIDE = ("report.xlsx", "aqi_hours.csv")
"""Files that the other process makes: about half of the work, and all that needs the index of each hour."""

Renderer = Callable[[model.Report], bytes]


def asked_period(name: str | None, from_: str | None, to: str | None) -> Period:
    """What --period, or --from and --to, ask for. UsageError."""
    if (name is None) == (from_ is None and to is None) or (from_ is None) != (to is None):
        raise UsageError("Name one period: --period 2026-H1, or --from and --to together.")
    try:
        if name is not None:
            return period(name)
        assert from_ is not None and to is not None
        return between(time_ms(from_, "--from"), time_ms(to, "--to"))
    except ValueError as fault:
        raise UsageError(str(fault)) from None


def print_report(config_path: Path, asked: Period, out: Path, language: str, as_json: bool) -> int:
    """Write the report's files into `out`, and say what is in it."""
    if language not in LANGUAGES:
        raise UsageError(f"--lang {language!r} is not known: write vi or en.")
    with _uncollected():
        report = read(configuration.load(config_path), asked)
        if report.data_ms is None:
            raise Failure(
                f"The journal holds no windows from {rfc3339(asked.from_ms)} to {rfc3339(asked.to_ms)}: "
                "ask for a period in which the station measured."
            )
        out.mkdir(parents=True, exist_ok=True)
        files = _write(report, out, renderers(language, report))
    summary = summary_of(report) | {"files": [str(out / name) for name in files]}
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        _say(report, out, files)
    return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: millions of tuples come and go, none of them in a cycle."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _write(report: model.Report, out: Path, rendered: dict[str, Renderer]) -> list[str]:
    """All files; half of the work by a copy of this process, where it can be had."""

    def write(names: list[str]) -> None:
        for name in names:
            (out / name).write_bytes(rendered[name](report))

    there = [name for name in rendered if name in BESIDE]
    here = [name for name in rendered if name not in there]
    if report.period.to_ms - report.period.from_ms > BESIDE_MS and is_possible():
        with Beside(lambda: write(there)) as beside:
            write(here)
            beside.result()
    else:
        write(list(rendered))
    return list(rendered)


def renderers(language: str, report: model.Report) -> dict[str, Renderer]:
    """The files of a report and how each is made; what it takes is imported by the process that makes it."""

    def html(report: model.Report) -> bytes:
        from gateway.reports import period_html

        return period_html.render(report, language)

    def pdf(report: model.Report) -> bytes:
        from gateway.reports import period_pdf

        return period_pdf.render(report, language)

    def xlsx(report: model.Report) -> bytes:
        from gateway.reports import period_xlsx

        return period_xlsx.render(report, language)

    from gateway.reports import period_csv, period_csv_added

    more = period_csv_added.files(report.added) if report.added is not None else {}
    return {
        "report.html": html, "report.pdf": pdf, "report.xlsx": xlsx, "hours.csv": period_csv.hours,
        "days.csv": period_csv.days, "exceedances.csv": period_csv.exceedances,
        "capture.csv": period_csv.capture, **more,
    }  # fmt: skip


def summary_of(report: model.Report) -> dict[str, Any]:
    """What --json prints."""
    assert report.data_ms is not None
    return {
        "station": report.station.code, "period": report.period.name, "from": rfc3339(report.period.from_ms),
        "to": rfc3339(report.period.to_ms), "reaches": rfc3339(report.reach_ms),
        "data": [rfc3339(moment) for moment in report.data_ms],
        "channels": [
            {
                "symbol": channel.symbol, "unit": channel.unit, "capture": model.shares(channel.capture_ms),
                "mean": channel.statistics.mean if channel.statistics else None,
                "minimum": channel.statistics.minimum.value if channel.statistics else None,
                "maximum": channel.statistics.maximum.value if channel.statistics else None,
                "exceedances": len(channel.exceedances), "exceeded_minutes": channel.exceeded_ms // 60_000,
            }
            for channel in report.channels
        ],
        "alerts": len(report.beside.alerts), "calibrations": len(report.beside.calibrations),
        "interruptions": len(report.beside.interruptions), "revised_windows": report.revised_count,
        "entries": report.evidence.entries, "checkpoint": report.evidence._asdict(),
    }  # fmt: skip


def _say(report: model.Report, out: Path, names: list[str]) -> None:
    print(f"{report.period.name} of {report.station.code}, up to {rfc3339(report.reach_ms)}")
    for channel in report.channels:
        share = model.shares(channel.capture_ms)["valid"]
        found = channel.statistics
        mean = "no valid window" if found is None else f"mean {found.mean:.6g} {channel.unit}".strip()
        print(f"  {channel.symbol:<10} {share:6.2f} % valid  {mean}, {len(channel.exceedances)} exceedances")
    print(f"{', '.join(names)} are in {out}")
