"""What the other pages show, as plain words and figures for their templates. Pure.

Rule 1: nothing is left out that the gateway knows; what it does not know is a dash.
Rule 2: an event that nobody described yet is shown by its name and as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway import flags
from gateway.alert_history import Episode
from gateway.calibration.history import History
from gateway.camera.picture import Taken
from gateway.config_model import BusSource, Config, DeviceSource
from gateway.marks import Mark
from gateway.page_reads import EVENTS_PAGE, Event, Evidence
from gateway.people import deeds
from gateway.quality_words import WORDS
from gateway.reports.layout import stamp
from gateway.web.page.now import BAD, CARE, GOOD, LATE_S, OFF, SIGNS
from gateway.web.page.words import Words
from gateway.zone import GMT7
from protocol import quality as q

__all__ = ["EVENTS_PAGE"]
DETAIL_MAX = 400
DEED_PARTS = 6


def destinations(current: dict[str, Any], config: Config, t: Words) -> dict[str, Any]:
    """For destinations_live.html."""
    kinds = {each.id: (each.kind, ", ".join(each.send)) for each in config.destination}
    rows = []
    for told in current["destinations"]:
        late_s = told["oldest_unsent_s"] or 0.0
        bad = told["refused"] or late_s > LATE_S
        care = told["paused"] or told["parked"] or (told["backlog"] and not told["connected"])
        state = BAD if bad else CARE if care else GOOD
        kind, send = kinds[told["id"]]
        rows.append(
            {
                "id": told["id"], "kind": kind, "send": send, "state": state, "sign": SIGNS[state],
                "word": t("paused") if told["paused"] else
                t("connected") if told["connected"] else t("not_connected"),
                "paused": told["paused"],
                "sent": t("all_sent") if not told["backlog"] else t("sent_until", ago=t.ago(late_s)),
                "delivered": t.count(told["delivered"]), "backlog": t.count(told["backlog"]),
                "parked": t.count(told["parked"]), "has_parked": bool(told["parked"]),
                "eta": "" if told["eta_s"] is None else t("done_in", time=t.ago(told["eta_s"])),
                "retry": t("again_in", time=t.ago(told["retry_in_s"])) if told["retry_in_s"] else "",
                "answer": told["last_error"],
            }
        )  # fmt: skip
    return {"rows": rows}


def health(current: dict[str, Any], config: Config, t: Words) -> dict[str, Any]:
    """For health_live.html."""
    journal, disk, clock = current["journal"], current["disk"], current["clock"]
    kept = {None: "–", True: t("yes"), False: t("no")}
    facts = [
        (t("entries"), t.count(journal["entries"])),
        (t("journal_state"), journal["status"] or t("all_well")),
        (t("journal_size"), t.bytes(disk.get("journal_bytes"))),
        (t("free"), t.bytes(disk.get("free_bytes"))),
        (t("fits"), _days(disk.get("fits_days"), t)),
        (t("kept_for"), f"{disk['retention_days']} {t('days')}"),
        (t("clock_trusted"), kept[clock["trusted"]]),
        (t("clock_synchronized"), kept[clock["synchronized"]]),
        (t("clock_error"), "–" if clock["error_s"] is None else f"{t.plain(clock['error_s'], 3)} s"),
    ]
    devices = [
        {"id": id, **_line(each["connected"]),
         "word": t("connected") if each["connected"] else t("not_connected"),
         "readings": t.count(each["readings"]), "gaps": t.count(each["gaps"]),
         "bad": t.count(each["bad_tag"] + each["refused"] + each["undecodable"])}
        for id, each in current["devices"].items()
    ]  # fmt: skip
    buses = [
        {"id": id, **_line(each["up"]),
         "word": t("connected") if each["up"] else (each["down_reason"] or t("not_connected")),
         "rows": t.count(each["rows"]), "losses": t.count(each["losses"])}
        for id, each in current["buses"].items()
    ]  # fmt: skip
    return {
        "problems": [t.problem(text) for text in current["problems"]],
        "facts": facts, "devices": devices, "buses": buses,
        "channels": [
            {"symbol": each["symbol"], **{name: t.count(each["readings"][name]) for name in
             ("read", "journaled", "windowed", "open", "late", "unplaced")}}
            for each in current["channels"]
        ],
    }  # fmt: skip


def _line(stands: bool) -> dict[str, str]:
    state = GOOD if stands else BAD
    return {"state": state, "sign": SIGNS[state]}


def _days(days: float | None, t: Words) -> str:
    return "–" if days is None else f"{t.count(int(days))} {t('days')}"


def episode(one: Episode, t: Words) -> dict[str, str]:
    """An alert of the past, or one that stands."""
    return {
        "name": one.name, "rule": t.rule(one.rule), "about": one.about, "since": t.moment(one.since_ms),
        "until": "" if one.until_ms is None else t.moment(one.until_ms),
        "word": t("over") if one.until_ms is not None else t.alert_state(one.state),
        "value": "–" if one.value is None or one.limit is None else t.plain(one.value),
        "limit": "–" if one.limit is None else t.plain(one.limit),
        "by": one.by, "note": one.note, "basis": t.basis(one.basis),
    }  # fmt: skip


def event(one: Event, t: Words) -> dict[str, str]:
    """A row of the events' page."""
    detail = one.detail
    if one.name == deeds.EVENT_NAME and isinstance(detail, list) and len(detail) >= DEED_PARTS:
        text = _deed(detail, t)
    elif isinstance(detail, dict):
        text = ", ".join(f"{name}: {value}" for name, value in detail.items())
    elif isinstance(detail, list):
        text = " · ".join(_item(item, t) for item in detail if item not in ("", None, []))
    else:
        text = str(detail)
    return {
        "entry": str(one.entry), "at": t.moment(one.at_ms), "name": t.known(f"event_{one.name}")
        if f"event_{one.name}" in t.names else one.name or "–",
        "about": one.about, "detail": text[:DETAIL_MAX] + "…" * (len(text) > DETAIL_MAX),
    }  # fmt: skip


def _deed(detail: list[Any], t: Words) -> str:
    """What somebody did at the page, from where, and what was answered."""
    _, address, action, fields, ok, said, *_ = detail
    did = t.known(f"did_{action}") if f"did_{action}" in t.names else str(action)
    fields = ", ".join(map(str, fields)) if isinstance(fields, list) else str(fields)
    parts = [did if ok else f"{did} ({t('did_refused')})", fields, t.said(str(said)), str(address)]
    return " · ".join(part for part in parts if part)


def _item(item: Any, t: Words) -> str:
    """Moments are told as such: an integer of that size is one, in every entry of ours."""
    if isinstance(item, int) and 1_000_000_000_000 < item < 10_000_000_000_000:
        return t.moment(item)
    return str(item)


def instruments(
    current: dict[str, Any], config: Config, marks: list[Mark], histories: Sequence[History], t: Words
) -> dict[str, Any]:
    """For instruments.html."""
    known = {one.symbol: one for one in histories}
    now_ms = int(datetime.fromisoformat(current["t"]).timestamp() * 1000)
    told = {each["symbol"]: each for each in current["channels"]}
    newest: dict[str, Mark] = {}
    for mark in reversed(marks):
        newest[mark.symbol] = mark
    rows = []
    for channel in config.channel:
        each = told[channel.symbol]
        rows.append(
            {
                "symbol": channel.symbol, "unit": channel.unit, "source": _source(channel.source),
                "word": t.both(WORDS[_quality(each["quality"])]),
                "marked": _marked(newest.get(channel.symbol), now_ms, t),
                **_calibrated(known.get(channel.symbol), now_ms, t),
            }
        )  # fmt: skip
    said = [
        {"symbol": mark.symbol,
         "word": t("measuring_again") if mark.quality == q.OK else t.both(WORDS[mark.quality]),
         "from": t.moment(mark.from_ms), "to": t.moment(mark.to_ms), "who": mark.who, "reason": mark.reason}
        for mark in marks
    ]  # fmt: skip
    now_text = datetime.fromtimestamp(now_ms / 1000, GMT7).strftime("%Y-%m-%dT%H:%M")
    return {
        "rows": rows,
        "said": said,
        "now": now_text,
        "symbols": [channel.symbol for channel in config.channel],
    }


def _calibrated(found: History | None, now_ms: int, t: Words) -> dict[str, str]:
    """When it was calibrated, how it had drifted, when it is due."""
    if found is None:
        return {"calibrated": "–", "drifted": "–", "due": "–", "due_state": OFF, "due_sign": ""}
    newest = found.newest
    late = found.due_ms is not None and found.due_ms < now_ms
    state = OFF if found.due_ms is None else BAD if late else GOOD
    return {
        "calibrated": "–" if found.calibrated_ms is None else t.date(found.calibrated_ms),
        "drifted": "–" if newest is None else t(
            "drifted", zero=t.plain(newest.drift.zero, 3), span=t.plain(newest.drift.span, 3), unit=found.unit
        ) + {True: " ✓", False: " ✕", None: ""}[newest.drift.holds],
        "due": "–" if found.due_ms is None else t.date(found.due_ms),
        "due_state": state, "due_sign": "" if state == OFF else SIGNS[state],
    }  # fmt: skip


def drifts(histories: Sequence[History], t: Words) -> list[dict[str, Any]]:
    """Of each channel that was calibrated twice or more, for its chart: zero and span, and their limits."""
    return [
        {
            "symbol": one.symbol, "unit": one.unit, "t": [at for at, _, _ in one.drifts()],
            "zero": [zero for _, zero, _ in one.drifts()], "span": [span for _, _, span in one.drifts()],
            "zero_max": one.limits.zero_drift_max, "span_max": one.limits.span_drift_max,
        }
        for one in histories if len(one.records) > 1
    ]  # fmt: skip


def drift_words(t: Words) -> dict[str, str]:
    """What drift.js says."""
    return {name: t(f"drift_{name}") for name in ("zero", "span", "limit")}


def bottles(told: dict[str, Any] | None, t: Words) -> dict[str, Any] | None:
    """The sampler, for instruments.html; None where there is none."""
    if told is None:
        return None
    newest = [
        {
            "name": f"bottle/{each['bottle']}/{stamp(each['begun_ms'])}", "number": str(each["bottle"]),
            "at": t.moment(each["begun_ms"]), "word": t(f"bottle_{each['state'].replace(' ', '_')}"),
            "who": each["who"], "reason": each["reason"], "pictures": [],
        }
        for each in reversed(told["newest"])
    ]  # fmt: skip
    return {
        "used": told["used"], "bottles": told["bottles"], "left": told["bottles"] - told["used"],
        "at_work": told["at_work"], "by_rule": told["by_rule_today"], "per_day": told["per_day"],
        "newest": newest,
    }  # fmt: skip


def pictures(found: Sequence[Taken], t: Words) -> list[dict[str, str]]:
    """Links to pictures, with what stands under them."""
    return [
        {"at": t.moment(one.t_ms), "camera": one.camera, "href": f"/api/v1/picture/{one.digest.hex()}"}
        for one in found
    ]


def _marked(mark: Mark | None, now_ms: int, t: Words) -> str:
    """What stands of what was said."""
    if mark is None or mark.quality == q.OK or not mark.from_ms <= now_ms < mark.to_ms:
        return ""
    until = t.moment(mark.to_ms)
    return f"{t.both(WORDS[mark.quality])} {t('until')} {until} ({mark.who}: {mark.reason})"


def _quality(name: str) -> int:
    return next(quality for quality, known in flags.NAMES.items() if known == name)


def _source(source: Any) -> str:
    if isinstance(source, DeviceSource):
        return f"{source.device} · {source.quantity}"
    if isinstance(source, BusSource):
        return f"{source.bus} · {source.unit} · {source.table} {source.register}"
    return "–"


def evidence(found: Evidence, current: dict[str, Any], t: Words) -> dict[str, Any]:
    """For evidence.html."""
    witnesses = [
        {"name": each["name"], "size": "–" if each["size"] is None else t.count(each["size"]),
         "age": t.ago(each["age_s"]), "cosigned": t.count(each["cosigned"]), "answer": each["last_error"],
         "sign": SIGNS[BAD if each["disputed"] or each["refused"] else GOOD],
         "state": BAD if each["disputed"] or each["refused"] else GOOD}
        for each in current["witnesses"]
    ]  # fmt: skip
    lines = found.checkpoint.splitlines()
    return {
        "checkpoint": found.checkpoint, "vkey": found.vkey, "unsigned": t.problem(found.unsigned),
        "size": t.count(int(lines[1])) if len(lines) > 1 and lines[1].isdigit() else "–",
        "origin": lines[0] if lines else "–", "witnesses": witnesses,
    }  # fmt: skip


def chart_words(t: Words) -> dict[str, str]:
    """What history.js says."""
    names = ("mean", "spread", "limit", "warning", "alerts", "not_valid", "no_data_here", "failed",
             "loading", "hours_shown", "points")  # fmt: skip
    return {name: t(f"chart_{name}") for name in names} | {
        flags.NAMES[quality]: t.both(both) for quality, both in WORDS.items() if quality in flags.NAMES
    }
