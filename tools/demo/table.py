"""The demo's live table: every channel, what was sent, and where to look."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

STATUS_STYLE = {"00": "green", "01": "yellow", "02": "red"}


def fetch_current(url: str, timeout_s: float = 1.0) -> dict[str, Any] | None:
    """The gateway's own view of itself, or None while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return None


def render(current: dict[str, Any] | None, received: dict[str, int], page: str, note: str) -> Group:
    """One screen.

    current: the gateway's /api/v1/current; received: what each receiver holds; note: what is going on.
    """
    if current is None:
        return Group(
            Text(f"the gateway does not answer at {page} (starting, or it was stopped)", style="yellow"),
            Text(note),
        )
    station = current["station"]
    channels = Table(title=f"{station['name']} · {station['code']} · {current['t']}")
    for column, justify in (
        ("channel", "left"), ("now", "right"), ("unit", "left"), ("quality", "left"),
        ("5-minute mean", "right"), ("status", "center"), ("valid", "right"),
    ):  # fmt: skip
        channels.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in current["channels"]:
        window = row.get("window") or {}
        status = window.get("status", "")
        channels.add_row(
            row["symbol"],
            "-" if row["value"] is None else f"{row['value']:.{row['decimals']}f}",
            row["unit"],
            row["quality"],
            "-" if not window else f"{window['value']:.{row['decimals']}f}",
            Text(status, style=STATUS_STYLE.get(status, "")),
            "-" if not window else f"{window['valid_share']:.0%}",
        )
    sent = Table()
    for column in ("destination", "delivered", "waiting", "oldest", "received there", "last error"):
        sent.add_column(column)
    for row in current["destinations"]:
        age = row["oldest_unsent_s"]
        sent.add_row(
            row["id"], str(row["delivered"]), str(row["backlog"]),
            "-" if age is None else f"{age:.0f} s", str(received.get(row["id"], "-")),
            row["last_error"] or "",
        )  # fmt: skip
    cosigned = Table()
    for column in ("witness", "cosigned", "up to entry", "newest waits for", "last error"):
        cosigned.add_column(column)
    for row in current["witnesses"]:
        behind = row["behind_s"]
        cosigned.add_row(
            row["name"], str(row["cosigned"]), str(row["size"]), "-" if behind is None else f"{behind:.0f} s",
            row["last_error"],
        )  # fmt: skip
    return Group(
        channels,
        sent,
        cosigned,
        Text(f"{page}api/v1/current   {page}metrics   {page}healthz", style="dim"),
        Text(note),
    )
