"""Table, chart and README of a run's results.json; nothing is measured here, and no figure stands here.

Rule 1: a cell is the median of the turns of one who at one task; what failed says so in its cell.
Rule 2: an aim that is not reached says so, as one that is.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.peers.chart import Bar, Panel, svg

OURS, THEIRS, MEMORY, SINGLE, WINDOWS = (
    "quantrac", "thingsboard", "thingsboard-memory", "thingsboard-single", "quantrac-windows",
)  # fmt: skip
NODE_RED = (9_984, 0.095)
"""readings/s and cores, quoted from an earlier measurement of Node-RED without any store; not measured."""
Results = dict[str, Any]


class Row(NamedTuple):
    """A line of the table: `key` of both, `how` it is shown, and the aim as (words, does it hold?)."""

    what: str
    task: str
    key: str
    show: str
    aim: tuple[str, str] | None = None


ROWS = (
    Row(
        "10,000 readings/s asked (10 instruments x 100 every 100 ms): delivered/s",
        "asked",
        "delivered_per_s",
        "{:,.0f}",
    ),
    Row("share of a core", "asked", "cores", "{:.3f}"),
    Row("CPU microseconds a reading", "asked", "cpu_us_per_reading", "{:.1f}"),
    Row("readings a CPU-second", "asked", "readings_per_cpu_s", "{:,.0f}", ("at least 5 times", "ratio5")),
    Row("resident memory, MiB", "asked", "rss_mib", "{:.1f}", ("at most theirs", "most1")),
    Row("written to disk, bytes/s", "asked", "written_per_s", "{:,.0f}"),
    Row("lost of 100 readings made", "asked", "lost_percent", "{:.2f}"),
    Row("arrived twice", "asked", "twice", "{:,.0f}"),
    Row("40,000 readings/s asked (20 x 100 every 50 ms): delivered/s", "most", "delivered_per_s", "{:,.0f}"),
    Row("readings a CPU-second", "most", "readings_per_cpu_s", "{:,.0f}"),
    Row("peak memory, MiB", "most", "peak_mib", "{:.1f}"),
    Row("lost of 100 readings made", "most", "lost_percent", "{:.2f}"),
    Row("1,000 readings/s asked (10 x 100 a second): delivered/s", "easy", "delivered_per_s", "{:,.0f}"),
    Row("readings a CPU-second", "easy", "readings_per_cpu_s", "{:,.0f}"),
    Row("lost of 100 readings made", "easy", "lost_percent", "{:.2f}"),
    Row(
        "one station, 20 readings/s: share of a core, %",
        "station",
        "core_percent",
        "{:.2f}",
        ("at most 2 %", "2"),
    ),
    Row("resident memory, MiB", "station", "rss_mib", "{:.1f}", ("at most 60", "60")),
    Row("written to disk, bytes/s", "station", "written_per_s", "{:,.0f}", ("at most 2,048", "2048")),
    Row("first reading at the broker after the start, s", "station", "first_s", "{:.1f}"),
    Row("broker away {away_s:.0f} s at 1,000 readings/s: lost", "outage", "lost", "{:,.0f}", ("none", "0")),
    Row("arrived twice", "outage", "twice", "{:,.0f}"),
    Row("first reading after it was back, s", "outage", "first_after_s", "{:.1f}"),
    Row("line dead without a word for {away_s:.0f} s: lost", "silent", "lost", "{:,.0f}", ("none", "0")),
    Row("arrived twice", "silent", "twice", "{:,.0f}"),
    Row(
        "kill -9 during 1,000 readings/s, {kills} times: lost in all",
        "kill",
        "lost",
        "{:,.0f}",
        ("none", "0"),
    ),
    Row("arrived twice", "kill", "twice", "{:,.0f}"),
    Row("polling again after, s", "kill", "back_s", "{:.1f}"),
)


def median(results: Results, task: str, who: str, key: str) -> float | None:
    """Of one who's turns at a task; None when there was none that gave it."""
    found = [
        value
        for turn in results["turns"]
        if turn["task"] == task and turn["who"] == who and (value := _value(turn, key)) is not None
    ]
    return statistics.median(found) if found else None


def _value(turn: dict[str, Any], key: str) -> float | None:
    if "failed" in turn:
        return None
    if key == "lost_percent":
        return 100 * turn["lost"] / turn["made"] if "lost" in turn else None
    if key == "core_percent":
        return 100 * turn["cores"]
    if key == "back_s":
        return statistics.median(turn["back_polling_s"])
    return turn.get(key)


def holds(aim: str, ours: float | None, theirs: float | None) -> bool:
    """Whether an aim of ROWS is reached."""
    if ours is None:
        return False
    if aim == "ratio5":
        return theirs is not None and ours >= 5 * theirs
    if aim == "most1":
        return theirs is not None and ours <= theirs
    return ours <= float(aim)


def table(results: Results) -> str:
    version = results["versions"]["thingsboard-gateway"]
    lines = [
        f"| | Quantrac | thingsboard-gateway {version}, sqlite | ours / theirs | aim |",
        "|---|---:|---:|---:|---|",
    ]
    words = {"away_s": results["away_s"], "kills": _kills(results)}
    for row in ROWS:
        ours, theirs = (median(results, row.task, who, row.key) for who in (OURS, THEIRS))
        if ours is None and theirs is None:
            continue
        ratio = f"{ours / theirs:.2f}" if ours and theirs else ""
        aim = ""
        if row.aim:
            aim = f"{row.aim[0]}: {'reached' if holds(row.aim[1], ours, theirs) else '**not reached**'}"
        cells = (_shown(row.show, ours), _shown(row.show, theirs), ratio, aim)
        lines.append(f"| {row.what.format(**words)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def others(results: Results) -> str:
    """Who else took part, and the floors."""
    lines = [
        "| | readings/s | readings a CPU-second | memory, MiB | lost of 100 |",
        "|---|---:|---:|---:|---:|",
    ]
    for who, task, what in (
        (MEMORY, "asked", "thingsboard-gateway, its default storage (memory only), 10,000/s asked"),
        (SINGLE, "easy", "thingsboard-gateway, every register an entry of its own, 1,000/s asked"),
    ):
        cells = [
            _shown(show, median(results, task, who, key))
            for key, show in (
                ("delivered_per_s", "{:,.0f}"), ("readings_per_cpu_s", "{:,.0f}"), ("rss_mib", "{:.1f}"),
                ("lost_percent", "{:.2f}"),
            )
        ]  # fmt: skip
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    floor = results["floors"].get("mosquitto_pub", {})
    if "readings_per_s" in floor:
        lost = 100 * (1 - floor["arrived"] / floor["messages"])
        what = "floor: `mosquitto_pub -l -q 1` with the messages of one of our turns, no polling, no store"
        shown = (
            f"{floor['readings_per_s']:,.0f} | {floor['readings_per_cpu_s']:,.0f} | {floor['rss_mib']:.1f}"
        )
        lines.append(f"| {what} | {shown} | {lost:.2f} |")
    rate, cores = NODE_RED
    lines.append(
        f"| quoted, not measured here: Node-RED without any store | {rate:,} | {rate / cores:,.0f} | | |"
    )
    for key, what in (
        ("core_percent", "share of a core, %"),
        ("rss_mib", "MiB"),
        ("written_per_s", "bytes/s written"),
    ):
        found = median(results, "station", WINDOWS, key)
        if found is not None and key == "core_percent":
            lines += [
                "",
                "One station whose gateway sends 5-minute windows instead of readings, as in the field: ",
            ]
        if found is not None:
            lines[-1] += f"{found:,.2f} {what}" + (". " if key == "written_per_s" else ", ")
    sftp = results["floors"].get("sftp", {})
    if "documents_s" in sftp:
        theirs, ours, part = sftp.get("sftp_s", 0), sftp["documents_s"], sftp.get("of_sftp", 0)
        lines += [
            "",
            f"Floor of files: of {sftp['documents']} files of half a kilobyte to OpenSSH's server, `sftp -b` "
            f"put and renamed {theirs:,.0f} a second; our gateway, which also checks, syncs and marks each, "
            f"{ours:,.0f} ({part:.2f} of it).",
        ]
    return "\n".join(lines)


def failures(results: Results) -> list[str]:
    return [
        f"- {one['task']}, {one['who']}: {' '.join(one['failed'].split())}"
        for one in results["turns"]
        if "failed" in one
    ]


def chart(results: Results) -> str:
    def bars(task: str, key: str, show: str, who: Sequence[tuple[str, str]]) -> list[Bar]:
        found = [(label, name, median(results, task, name, key)) for label, name in who]
        return [
            Bar(label, value, show.format(value), name) for label, name, value in found if value is not None
        ]

    both = (("Quantrac", OURS), ("thingsboard, sqlite", THEIRS))
    three = (*both, ("thingsboard, memory", MEMORY))
    panels = [
        Panel("Readings a CPU-second, 10,000/s asked", bars("asked", "readings_per_cpu_s", "{:,.0f}", three)),
        Panel("Lost of 100 readings, 10,000/s asked", bars("asked", "lost_percent", "{:.2f}", three)),
        Panel("Delivered/s, 40,000/s asked", bars("most", "delivered_per_s", "{:,.0f}", both)),
        Panel("Memory in MiB, 10,000/s asked", bars("asked", "rss_mib", "{:.0f}", three)),
        Panel("Bytes/s written, 20 readings/s", bars("station", "written_per_s", "{:,.0f}", both)),
        Panel(
            f"Readings lost, line dead for {results['away_s']:.0f} s", bars("silent", "lost", "{:,.0f}", both)
        ),
    ]
    return svg([panel for panel in panels if panel.bars], f"{results['date'][:10]}, {results['machine']}")


def _kills(results: Results) -> int:
    return max((turn.get("kills", 0) for turn in results["turns"]), default=0)


def _shown(show: str, value: float | None) -> str:
    return "" if value is None else show.format(value)


def write(out: Path, results: Results) -> None:
    """README.md, table.md and chart.svg beside results.json."""
    template = Path(__file__).with_name("readme.md.in").read_text(encoding="utf-8")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    failed = failures(results)
    filled = {
        "@DATE@": results["date"], "@ENDED@": results.get("ended", "not to its end"),
        "@MACHINE@": results["machine"], "@COMMIT@": results["commit"], "@VERSIONS@": versions,
        "@LOAD@": results.get("load", "not noted"),
        "@COMMAND@": results["command"], "@SECONDS@": f"{results['seconds']:.0f}",
        "@AWAY@": f"{results['away_s']:.0f}", "@TABLE@": table(results), "@OTHERS@": others(results),
        "@FAILED@": "\n".join(["Turns that failed:", "", *failed, ""]) if failed else "",
    }  # fmt: skip
    for name, text in filled.items():
        template = template.replace(name, text)
    (out / "README.md").write_text(template, encoding="utf-8")
    (out / "chart.svg").write_text(chart(results), encoding="utf-8")
    (out / "table.md").write_text(table(results) + "\n", encoding="utf-8")
