"""What the first page shows: does the station measure, store and send; every channel; what to do. Pure.

Rule 1: it is made of the object of /api/v1/current and the configuration alone: what a program reads there
        and what a person sees here cannot differ.
Rule 2: each state is a word and a sign besides its colour: nobody needs to see colours.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from gateway import flags
from gateway.alert_levels import Levels, warns
from gateway.alert_states import EXCEEDS
from gateway.config_model import Channel, Config
from gateway.limits.choose import WINDOW
from gateway.quality_words import WORDS
from gateway.web.page.words import Words
from protocol import quality as q

GOOD, CARE, BAD, OFF = "good", "care", "bad", "off"
SIGNS = {GOOD: "✓", CARE: "▲", BAD: "✕", OFF: "–"}
LATE_S = 900.0
"""A document that waits longer is late: then the receiver shows the station offline."""
BEYOND = 1.25
"""A limit bar goes so far beyond the limit."""
QUALITIES = {name: quality for quality, name in flags.NAMES.items()}
_BY_HAND = (q.CALIBRATING, q.MAINTENANCE)


class Answer(NamedTuple):
    """To one of the three questions."""

    name: str
    state: str
    text: str
    sign: str


class Bar(NamedTuple):
    """Where a value stands against its limits, in percent of the bar's width."""

    value: float
    low: float | None
    high: float | None
    warn_low: float | None
    warn_high: float | None
    words: str


class Row(NamedTuple):
    """One channel."""

    symbol: str
    unit: str
    value: str
    state: str
    sign: str
    word: str
    age: str
    mean: str
    status: str
    limit: str
    bar: Bar | None


class Index(Protocol):
    """gateway/index_now.py: Rated."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def length_ms(self) -> int: ...
    @property
    def deciding(self) -> str: ...
    @property
    def label(self) -> tuple[str, str]: ...
    @property
    def advice(self) -> tuple[str, str]: ...
    @property
    def rgb(self) -> tuple[int, int, int]: ...


def look(current: dict[str, Any], config: Config, t: Words, index: Index | None = None) -> dict[str, Any]:
    """For the template now_live.html."""
    now = datetime.fromisoformat(current["t"])
    channels = {channel.symbol: channel for channel in config.channel}
    rows = [_row(told, channels[told["symbol"]], now, t) for told in current["channels"]]
    answers = [_measures(current, rows, t), _stores(current, t), _sends(current, t)]
    return {
        "answers": answers,
        "worst": worst(answer.state for answer in answers),
        "rows": rows,
        "at": t.moment(int(now.timestamp() * 1000)),
        "clock": now.strftime("%H:%M:%S"),
        "simulated": current["simulated_clock"],
        "problems": [t.problem(text) for text in current["problems"]],
        "alerts": [alert(told, t) for told in current["alerts"]],
        "index": None if index is None else _index(index, t),
    }


def _index(index: Index, t: Words) -> dict[str, str]:
    """Its colour is the decision's; name and number stand beside it."""
    whole_day = index.length_ms > 3_600_000
    return {
        "name": index.name, "value": str(index.value), "label": t.both(index.label),
        "advice": t.both(index.advice), "deciding": t("decided_by", name=index.deciding),
        "of": t("of_day", at=t.date(index.start_ms)) if whole_day else
        t("of_hour", at=t.hour(index.start_ms)), "colour": "#{:02x}{:02x}{:02x}".format(*index.rgb),
    }  # fmt: skip


def worst(states: Iterable[str]) -> str:
    """Of several states the one to look at first."""
    order = (BAD, CARE, OFF, GOOD)
    return min(states, key=order.index, default=GOOD)


def alert(told: dict[str, Any], t: Words) -> dict[str, Any]:
    """One that stands, in words."""
    since = datetime.fromisoformat(told["since"])
    causes = [
        f"{each['symbol']} {t.plain(each['value'])}"
        + (f" ({t('limit')} {t.plain(each['limit'])})" if each["limit"] is not None else "")
        for each in told["windows"][:3]
    ]
    return {
        "name": told["alert"], "rule": t.rule(told["rule"]), "about": told["about"],
        "state": told["state"], "word": t.alert_state(told["state"]),
        "since": t.moment(int(since.timestamp() * 1000)), "basis": t.basis(told["basis"]),
        "by": told.get("by", ""), "note": told.get("note", ""), "causes": causes,
    }  # fmt: skip


# The three questions ----------------------------------------------------------------------------------------


def _measures(current: dict[str, Any], rows: list[Row], t: Words) -> Answer:
    away = [name for name, each in current["devices"].items() if not each["connected"]]
    away += [name for name, each in current["buses"].items() if not each["up"]]
    bad = [row.symbol for row in rows if row.state == BAD]
    care = [row.symbol for row in rows if row.state == CARE]
    good = sum(row.state == GOOD for row in rows)
    if away:
        return _answer("measures", BAD, t("away", names=", ".join(away)))
    if bad:
        return _answer("measures", BAD, t("not_measured", names=", ".join(bad)))
    if care:
        return _answer("measures", CARE, t("looked_after", names=", ".join(care)))
    return _answer("measures", GOOD, t("all_measured", count=good))


def _stores(current: dict[str, Any], t: Words) -> Answer:
    journal, disk = current["journal"], current["disk"]
    if journal["status"]:
        return _answer("stores", BAD, t("not_stored"))
    if not current["clock"]["trusted"]:
        return _answer("stores", CARE, t("clock_wrong"))
    left = disk.get("left_days")
    if left is not None and left < 7:
        return _answer("stores", CARE, t("room_short", days=int(left)))
    return _answer("stores", GOOD, t("stored", count=t.count(journal["entries"])))


def _sends(current: dict[str, Any], t: Words) -> Answer:
    late, waiting, parked = [], 0, 0
    for each in current["destinations"]:
        parked += each["parked"]
        waiting += each["backlog"]
        if each["refused"] or (each["oldest_unsent_s"] or 0.0) > LATE_S:
            late.append(each["id"])
    if not current["destinations"]:
        return _answer("sends", OFF, t("no_destinations"))
    if late:
        return _answer("sends", BAD, t("not_sent", names=", ".join(late), count=t.count(waiting)))
    if parked:
        return _answer("sends", CARE, t("some_parked", count=t.count(parked)))
    return _answer("sends", GOOD, t("all_sent") if not waiting else t("sending", count=t.count(waiting)))


def _answer(name: str, state: str, text: str) -> Answer:
    return Answer(name, state, text, SIGNS[state])


# Channels ---------------------------------------------------------------------------------------------------


def _row(told: dict[str, Any], channel: Channel, now: datetime, t: Words) -> Row:
    quality = QUALITIES[told["quality"]]
    word = t.both(WORDS[quality])
    window = told["window"]
    limits = next((each for each in channel.limits.figures if each.span == WINDOW), None)
    state = GOOD if quality == q.OK else CARE if quality in _BY_HAND else BAD
    if state == GOOD and limits is not None and told["value"] is not None:
        levels = Levels(limits.min, limits.max)
        if levels.beyond(told["value"]) is not None:
            state, word = BAD, t("beyond_limit")
        elif warns(levels, told["value"], channel.limits.warn_share, 1.0)[0] == EXCEEDS:
            state, word = CARE, t("near_limit")
    age_s = None if told["t"] is None else (now - datetime.fromisoformat(told["t"])).total_seconds()
    return Row(
        told["symbol"], told["unit"],
        t.figure(told["value"] if quality in (q.OK, *_BY_HAND) else None, _decimals(told)),
        state, SIGNS[state], word, t.ago(age_s),
        "–" if window is None else t.figure(window["value"], told["decimals"]),
        "" if window is None else window["status"],
        "" if limits is None else _limit(limits.min, limits.max, t),
        _bar(told["value"], channel, t) if quality == q.OK else None,
    )  # fmt: skip


def _decimals(told: dict[str, Any]) -> int:
    """Of a figure that changes every second fewer are read than are sent."""
    size = abs(told["value"] or 0.0)
    return min(told["decimals"], 3 if size < 1 else 2 if size < 100 else 1)


def _limit(low: float | None, high: float | None, t: Words) -> str:
    if low is not None and high is not None:
        return f"{t.plain(low)} – {t.plain(high)}"
    if high is not None:
        return f"≤ {t.plain(high)}"
    return "" if low is None else f"≥ {t.plain(low)}"


def _bar(value: float | None, channel: Channel, t: Words) -> Bar | None:
    """None where there is no limit for a window."""
    found = next((each for each in channel.limits.figures if each.span == WINDOW), None)
    if found is None or value is None or (found.min is None and found.max is None):
        return None
    low, high = found.min, found.max
    inner = Levels(low, high).inner(channel.limits.warn_share)
    if low is not None and high is not None:
        begin, end = low - (high - low) * (BEYOND - 1), high + (high - low) * (BEYOND - 1)
    elif high is not None:
        begin, end = min(0.0, value), high * BEYOND if high > 0 else high + 1.0
    else:
        assert low is not None
        begin, end = min(0.0, low), max(2 * low, value) if low > 0 else value + 1.0
    width = max(end - begin, 1e-12)

    def place(at: float | None) -> float | None:
        return None if at is None else round(100 * min(1.0, max(0.0, (at - begin) / width)), 1)

    return Bar(place(value) or 0.0, place(low), place(high), place(inner.low), place(inner.high),
               f"{t.plain(value)} / {_limit(low, high, t)}")  # fmt: skip
