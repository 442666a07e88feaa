"""The report of a fleet, for people: on a terminal, in Markdown, or as a page of its own.

One text, in Markdown, is all there is; HTML is made of it, tables and paragraphs only, with nothing from
outside.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from tools.people import UsageError

SUFFIXES = (".md", ".html")


def usable(path: Path) -> None:
    """UsageError unless a report can have this name."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"A report is a page or a text: name a file that ends in {' or '.join(SUFFIXES)}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}: make it, or name another with --out.")


def write(path: Path, results: list[dict[str, Any]]) -> None:
    """The report of these results, as its name says."""
    text = markdown(results)
    path.write_text(text if path.suffix == ".md" else page(text), encoding="utf-8")


def markdown(results: list[dict[str, Any]]) -> str:
    """The whole report as text."""
    day = time.strftime("%Y-%m-%d %H:%M")
    parts = [f"# A fleet, {day}", f"Machine: {results[0]['machine']}. Times are real time, on loopback."]
    for result in results:
        parts += _facility(result) if result["name"] == "fleet-facility" else _province(result)
    return "\n\n".join(parts) + "\n"


def _facility(result: dict[str, Any]) -> list[str]:
    delays, ledger = result["delays"], result["ledger"]
    return [
        f"## One gateway with {result['stations']} station devices",
        f"{result['channels']} channels each, a reading of each every {result['interval_s']:g} s, for "
        f"{result['seconds']:g} s: {result['value']:,} readings/s. A device holds readings for "
        f"{result['hold_ms']} ms at most to fill a frame.",
        _table(("aim", "measured", "at most", ""), [
            (aim["what"], f"{aim['value']:,}", f"{aim['at_most']:,}", "holds" if aim["holds"] else "missed")
            for aim in result["aims"]
        ]),
        _table(("delay, ms", "p50", "p99", "max"), [
            (what, *(f"{delays[f'{name}_{word}_ms']:,.0f}" for word in ("p50", "p99", "max")))
            for what, name in (
                ("from a reading's time to its acknowledgement", "reading"),
                ("from a frame's departure to its acknowledgement", "frame"),
            )
        ]),
        _table(("ledger", "readings"), [(name, f"{count:,}") for name, count in ledger.items()]),
        f"Gateway: {result['cpu_seconds']:g} s of processor time, {result['rss_mib']:g} MiB resident, "
        f"{result['peak_mib']:g} MiB at its highest, {result['written_bytes_per_second']:,} bytes/s written, "
        f"{result['windows']:,} windows, {result['restarts']} restarts. The devices: "
        f"{result['senders_cpu_share']:.0%} of a core, {result['links']} links, "
        f"{result['resent_frames']} frames sent again.",
    ]  # fmt: skip


def _province(result: dict[str, Any]) -> list[str]:
    columns = ("documents", "seconds", "province_p99_s", "province_max_s", "national_p99_s", "national_max_s")
    costs = ("sender_cpu_s", "sshd_cpu_s", "mosquitto_cpu_s")
    memory = ", ".join(
        f"{name} {use['mib']:,} MiB in {use['processes']} processes"
        for name, use in result["servers"].items()
    )
    sizes = ", ".join(f"{name} {size:,}" for name, size in result["bytes"].items())
    return [
        f"## A province of {result['gateways']:,} gateways",
        f"{result['channels']} channels each. In each round all gateways close a window at one moment: a "
        "file by SFTP, the window and a checkpoint by MQTT (QoS 1). In the first round they connect, "
        f"{result['abreast']} at a time; after it: {result['value']:,} documents/s. "
        f"Broker: {result['broker']}.",
        _table(
            ("round", "documents", "s", "file p99, s", "file max, s", "message p99, s", "message max, s"),
            [(r["round"], *(f"{r[name]:,}" for name in columns)) for r in result["rounds"]],
        ),
        _table(
            ("round", "senders, CPU s", "sshd, CPU s", "broker, CPU s"),
            [(r["round"], *(f"{r[name]:,}" for name in costs)) for r in result["rounds"]],
        ),
        _table(
            ("ledger", *result["received"]["files"]),
            [(name, *(f"{count:,}" for count in each.values())) for name, each in result["received"].items()],
        ),
        f"Servers: {memory}. Bytes of a document: {sizes}. Attempts that failed and were repeated: "
        f"{result['failures']}; documents parked: {result['parked']}.",
    ]


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def page(text: str) -> str:
    """The Markdown of markdown() as HTML."""
    title = html.escape(text.split("\n", 1)[0].lstrip("# "))
    return _PAGE.format(
        title=title, body=MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ border: 1px solid #999; padding: .2rem .6rem; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
</style></head><body>
{body}
</body></html>
"""
