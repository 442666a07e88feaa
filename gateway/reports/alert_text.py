"""Alerts as a person reads them, one or many together: a short subject and a text. Pure.

Rule 1: it says the station, the channel, what happened, value and limit with their unit, since when, which
        window shows it, and who acknowledged it; the code and the log's entry lead back to the proof.
Rule 2: a figure has the decimals that are sent, with a comma in Vietnamese; moments are GMT+7.
Rule 3: alerts that are told together keep their order, and their count is said first.
Rule 4: what came from outside (a note, a cause) stays on its line: no text can pretend to be another one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.reports.alert_words import LANGUAGES, RULES, SPANS, STATES, TEXTS, Both
from gateway.zone import GMT7_S

SUBJECT_LENGTH_MAX = 120
LINE_LENGTH_MAX = 300


class Channel(NamedTuple):
    """What is known of a channel for this."""

    unit: str
    decimals: int


class Notice(NamedTuple):
    """What is told."""

    subject: str
    text: str
    urgent: bool  # something was raised, or nobody acted


class Teller:
    """Of one station, in one language ("vi" | "en")."""

    def __init__(self, station: str, name: str, channels: Mapping[str, Channel], language: str):
        self._station, self._name, self._channels = station, name, channels
        self._place = LANGUAGES.index(language)

    def notice(self, alerts: Sequence[Mapping[str, Any]]) -> Notice:
        """These alerts, as gateway.feed_entries makes them, in one notification."""
        head = [f"{self._text('station')}: {_line(self._name)} ({self._station})", ""]
        if len(alerts) > 1:
            head[1:] = [self._text("joined", count=len(alerts)), ""]
        blocks: list[str] = []
        for number, alert in enumerate(alerts, 1):
            mark = f"{number}. " if len(alerts) > 1 else ""
            blocks += [mark + _raised(self._what(alert)), *self._rows(alert), ""]
        urgent = any(alert["state"] in ("raised", "escalated", "past") for alert in alerts)
        text = "\n".join([*head, *blocks, self._text("footer"), ""])
        return Notice(self._subject(alerts), text, urgent)

    def _subject(self, alerts: Sequence[Mapping[str, Any]]) -> str:
        if len(alerts) == 1:
            alert = alerts[0]
            said = _raised(self._what(alert))
            shown = self._shown(alert)
            if alert["state"] == "raised" and shown:
                said += f" {shown}"
            else:
                said += f", {self._word(STATES, alert['state'])}"
        else:
            abouts = list(dict.fromkeys(str(alert["about"]) for alert in alerts))
            said = f"{self._text('alerts', count=len(alerts))}: {', '.join(abouts)}"
        return _line(f"[{self._station}] {said}", SUBJECT_LENGTH_MAX)

    def _what(self, alert: Mapping[str, Any]) -> str:
        """vượt giới hạn (trung bình giờ): COD"""
        kind, span = split(str(alert["rule"]))
        of = f" ({self._word(SPANS, span)})" if span else ""
        return f"{self._word(RULES, kind)}{of}: {_line(str(alert['about']))}"

    def _shown(self, alert: Mapping[str, Any]) -> str:
        """82,5000 mg/l (giới hạn 75 mg/l), of the newest window that shows it."""
        for window in reversed(alert.get("windows", ())):
            if window.get("limit") is not None:
                symbol = window["symbol"]
                limit = f"{self._text('short')} {self._figure(symbol, window['limit'], exact=True)}"
                return f"{self._figure(symbol, window['value'])} ({limit})"
        return ""

    def _rows(self, alert: Mapping[str, Any]) -> list[str]:
        windows = alert.get("windows", ())
        found = [("channel" if alert["about"] in self._channels else "about", alert["about"])]
        found.append(("state", self._word(STATES, alert["state"])))
        for window in windows:
            found += self._window(window, split(str(alert["rule"]))[0])
        for name in ("basis", "cause"):
            if alert.get(name):
                found.append((name, alert[name]))
        found.append(("since", _moment(alert["since"])))
        if alert.get("until"):
            found.append(("until", _moment(alert["until"])))
        if alert.get("by"):
            found += [("by", alert["by"]), *([("note", alert["note"])] if alert.get("note") else [])]
        found.append(("code", f"{alert['alert']}; {self._text('entry', number=alert['entry'])}"))
        return [f"   {self._text(name)}: {_line(str(value))}" for name, value in found]

    def _window(self, window: Mapping[str, Any], rule: str) -> list[tuple[str, str]]:
        """Value, limit and window of what shows it."""
        symbol, found = window["symbol"], list[tuple[str, str]]()
        if window.get("value") is not None and rule != "instrument fault":
            found.append(("value", self._figure(symbol, window["value"])))
        if window.get("limit") is not None:
            name = "warning" if rule == "near" else "limit"
            found.append((name, self._figure(symbol, window["limit"], exact=True)))
        at = self._text("begins", at=_moment(window["start"]))
        revision = window.get("revision", 1)
        more = f", {self._text('revision', number=revision)}" if revision > 1 else ""
        return [*found, ("window", f"{symbol}, {at}{more}")]

    def _figure(self, symbol: str, value: float, exact: bool = False) -> str:
        """A value with the decimals that are sent; a limit (`exact`) as it is configured. With its unit."""
        channel = self._channels.get(symbol, Channel("", 4))
        text = f"{value:.10g}" if exact else f"{value:.{channel.decimals}f}"
        text = text.replace(".", ",") if self._place == 0 else text
        return f"{text} {channel.unit}".rstrip()

    def _text(self, name: str, **given: object) -> str:
        return TEXTS[name][self._place].format(**given)

    def _word(self, table: Mapping[str, Both], word: str) -> str:
        return table[word][self._place] if word in table else _line(word)


def split(rule: str) -> tuple[str, str]:
    """ "limit hour" -> ("limit", "hour"); any other rule and "" ."""
    kind, _, span = rule.partition(" ")
    return (kind, span) if kind in ("limit", "near") else (rule, "")


def _raised(text: str) -> str:
    """With a capital letter."""
    return text[:1].upper() + text[1:]


def _moment(rfc3339: str) -> str:
    """ "2026-03-25T00:05:00+07:00" -> "00:05 25/03/2026"; all moments of ours are GMT+7."""
    date, clock = rfc3339[:10], rfc3339[11:16]
    return f"{clock} {date[8:10]}/{date[5:7]}/{date[:4]}"


def date_header(time_ms: int) -> str:
    """Unix ms -> "Wed, 25 Mar 2026 00:05:00 +0700" (RFC 5322), whatever the machine's time zone."""
    at = time.gmtime(time_ms // 1000 + GMT7_S)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.tm_wday]
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * at.tm_mon - 3 : 3 * at.tm_mon]
    return time.strftime(f"{day}, %d {month} %Y %H:%M:%S +0700", at)


def _line(text: str, length: int = LINE_LENGTH_MAX) -> str:
    """One line of printable characters, not longer."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
