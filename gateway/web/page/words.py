"""The page's language: its texts (texts.py), and what the reports' words know of figures and moments. Pure.

Rule 1: Vietnamese first: whoever says nothing reads Vietnamese.
Rule 2: what somebody wrote (a reason, a name, a server's answer) stays as it was written.
"""

from __future__ import annotations

from collections.abc import Container

from gateway.reports import period_words
from gateway.reports.alert_words import RULES, SPANS, STATES
from gateway.reports.interruption import CAUSES_VI
from gateway.web.page import said
from gateway.web.page.problems import in_vietnamese
from gateway.web.page.texts import TEXTS

LANGUAGES = period_words.LANGUAGES
COOKIE = "lang"


def chosen(asked: str | None, kept: str | None) -> str:
    """The language of a page: what is asked for, what was chosen before, Vietnamese."""
    return next((one for one in (asked, kept) if one in LANGUAGES), LANGUAGES[0])


class Words(period_words.Words):
    """One language of the page."""

    def __call__(self, name: str, /, **parts: object) -> str:
        """A text, with `parts` filled in."""
        text = self.both(TEXTS[name])
        return text.format(**parts) if parts else text

    @property
    def names(self) -> Container[str]:
        """Of the texts that there are."""
        return TEXTS.keys()

    def known(self, name: str) -> str:
        """A text, where there is one of this name; else the name itself."""
        return self(name) if name in TEXTS else name

    @property
    def other(self) -> str:
        """The other language."""
        return LANGUAGES[1 - self._at]

    def problem(self, sentence: str) -> str:
        """A sentence of the status."""
        return sentence if self._at else in_vietnamese(sentence)

    def said(self, answer: str) -> str:
        """What was answered to something that a person did."""
        return answer if self._at else said.in_vietnamese(answer)

    def basis(self, text: str) -> str:
        """Why an alert was raised: a cause that the gateway names, a rule of the regulation as it is."""
        return text if self._at else CAUSES_VI.get(text, in_vietnamese(text))

    def rule(self, rule: str) -> str:
        """What an alert's rule is called: near the limit (hourly mean)."""
        if rule in RULES:
            return self.both(RULES[rule])
        kind, _, span = rule.partition(" ")
        if kind in RULES and span in SPANS:
            return f"{self.both(RULES[kind])} ({self.both(SPANS[span])})"
        return rule

    def alert_state(self, state: str) -> str:
        """What an alert's state is called."""
        return self.both(STATES[state]) if state in STATES else state

    def ago(self, seconds: float | None) -> str:
        """How long something is back: 12 s, 5 min, 3 h, 4 d."""
        if seconds is None:
            return "–"
        for size, vi, en in ((86_400, "ngày", "d"), (3600, "giờ", "h"), (60, "phút", "min")):
            if seconds >= 2 * size:
                return f"{int(seconds // size)} {self.both((vi, en))}"
        return f"{int(max(0.0, seconds))} {self.both(('giây', 's'))}"

    def bytes(self, count: float | None) -> str:
        """1,5 GiB"""
        if count is None:
            return "–"
        for size, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if count >= size:
                return f"{self.figure(count / size, 1)} {unit}"
        return f"{int(count)} B"
