"""POST /do/...: what people do at the page, each an Order as the command line gives it (gateway/requests.py).

    mark          channel (or *, all of them), mark, minutes, reason
    acknowledge   alert, note
    release       destination, or id (several), reason
    park          id (several), reason
    pause         destination, reason
    resume        destination, reason
    calibrate     channel, at, by, serial, kind, reference1, before1, after1 ... reference5, before5, after5,
                  certificate_number, certificate_value, certificate_uncertainty, certificate_until, remark,
                  photo (the SHA-256 that POST /do/photo gave: pictures.py)
    sample        bottles, reason
    carousel      reason: it was emptied

Rule 1: what is done, refused and failed is an entry of the log before the answer goes out: who, from where,
        what, to what, and what was said of it (deeds.py).
Rule 2: the answer leads back to a page of ours (`back`), where its sentence is shown once.
Rule 3: another action is another line of a table: its name, who may, its fields, the orders that they make.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.calibration.given import POINTS_MAX
from gateway.errors import GatewayError
from gateway.logs import get_logger
from gateway.people.may import Who
from gateway.requests import (
    ACKNOWLEDGE,
    BOTTLES_MAX,
    CALIBRATE,
    IDS_MAX,
    MARK,
    MARKS,
    PARK,
    PAUSE,
    RELEASE,
    RESUME,
    SAMPLE,
    Answer,
    Order,
)
from gateway.web.door import guard, tell
from gateway.web.forms import Form, own_path

log = get_logger("actions")

ALL = "*"
"""In the place of a channel: every one that has an instrument."""
TEXT_MAX = 300
MINUTES_MAX = 7 * 24 * 60
BACK = "back"

Do = Callable[[Order], Awaitable[Answer]]


class Refused(Exception):
    """A form that says nothing that could be done; a sentence."""


class Asked:
    """A form of one action. Raises Refused."""

    def __init__(self, form: Form, symbols: Sequence[str]):
        self.form, self.symbols = form, symbols

    def text(self, name: str, needed: bool = True) -> str:
        """A line of text."""
        text = self.form.line(name)
        if needed and not text:
            raise Refused(f"'{name}' is missing: write it.")
        if len(text) > TEXT_MAX or not (text.isprintable() or not text):
            raise Refused(f"'{name}' is a line of at most {TEXT_MAX} characters.")
        return text

    def one_of(self, name: str, known: Sequence[str]) -> str:
        """One of these."""
        text = self.text(name)
        if text not in known:
            raise Refused(f"'{name}' is one of {', '.join(known)}.")
        return text

    def figure(self, name: str) -> float | None:
        """A number, with a comma or a point; None where there is none."""
        text = self.text(name, needed=False).replace(",", ".")
        if not text:
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", text):
            raise Refused(f"'{name}' is a number, such as 12,5.")
        return float(text)

    def minutes(self, name: str) -> int:
        """From 1 minute on."""
        return self.count(name, MINUTES_MAX)

    def count(self, name: str, most: int) -> int:
        """From 1 on."""
        text = self.text(name)
        if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= most:
            raise Refused(f"'{name}' is a whole number from 1 to {most}.")
        return int(text)

    def ids(self, name: str) -> tuple[int, ...]:
        """Numbers of documents."""
        found = self.form.all(name)
        if len(found) > IDS_MAX or not all(re.fullmatch("[0-9]{1,18}", each) and int(each) for each in found):
            raise Refused("Documents are named by numbers.")
        return tuple(map(int, found))


class Action(NamedTuple):
    """One of the table."""

    may: str  # an action of gateway/people/may.py
    orders: Callable[[Asked, str], Sequence[Order]]  # of a form, by this account; Refused
    shown: Sequence[str]  # fields that stand in the entry


def _mark(asked: Asked, who: str) -> list[Order]:
    channel, mark = asked.text("channel"), asked.one_of("mark", MARKS)
    over = mark == MARKS[-1]
    minutes, reason = (0 if over else asked.minutes("minutes")), asked.text("reason", needed=not over)
    symbols = asked.symbols if channel == ALL else [channel]
    return [Order(MARK, (), "", who, reason, "", each, mark, minutes) for each in symbols]


def _acknowledge(asked: Asked, who: str) -> list[Order]:
    return [Order(ACKNOWLEDGE, (), "", who, asked.text("note", needed=False), asked.text("alert"))]


def _release(asked: Asked, who: str) -> list[Order]:
    ids = asked.ids("id")
    destination = "" if ids else asked.text("destination")
    return [Order(RELEASE, ids, destination, who, asked.text("reason"))]


def _park(asked: Asked, who: str) -> list[Order]:
    ids = asked.ids("id")
    if not ids:
        raise Refused("No document is named.")
    return [Order(PARK, ids, "", who, asked.text("reason"))]


def _sample(asked: Asked, who: str) -> list[Order]:
    return [Order(SAMPLE, (), "", who, asked.text("reason"), bottles=asked.count("bottles", BOTTLES_MAX))]


def _carousel(asked: Asked, who: str) -> list[Order]:
    return [Order(SAMPLE, (), "", who, asked.text("reason", needed=False))]


_POINT = ("reference", "before", "after")
CALIBRATION_FIELDS = (
    "channel", "at", "by", "serial", "kind",
    *(f"{name}{n}" for n in range(1, POINTS_MAX + 1) for name in _POINT),
    "certificate_number", "certificate_value", "certificate_uncertainty", "certificate_until", "remark",
)  # fmt: skip


def _calibrate(asked: Asked, who: str) -> list[Order]:
    """The record as gateway/calibration/given.py reads it: what is wrong with it is said there, all of it."""
    rows = [{name: asked.figure(f"{name}{n}") for name in _POINT} for n in range(1, POINTS_MAX + 1)]
    number = asked.text("certificate_number", needed=False)
    certificate = {
        "number": number, "value": asked.figure("certificate_value"),
        "uncertainty": asked.figure("certificate_uncertainty"),
        "valid_until": asked.text("certificate_until", needed=False),
    }  # fmt: skip
    record = {
        "channel": asked.text("channel"), "at": asked.text("at"),
        "who": asked.text("by", needed=False) or who,
        "serial": asked.text("serial"), "kind": asked.text("kind"),
        "points": [_there(row) for row in rows if row["reference"] is not None],
        "remark": asked.text("remark", needed=False),
    }  # fmt: skip
    if number:
        record["certificate"] = _there(certificate)
    if photo := asked.text("photo", needed=False):
        record["photo"] = photo
    return [Order(CALIBRATE, (), "", who, "", record=json.dumps(record))]


def _there(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _pause(asked: Asked, who: str) -> list[Order]:
    return [Order(PAUSE, (), asked.text("destination"), who, asked.text("reason"))]


def _resume(asked: Asked, who: str) -> list[Order]:
    return [Order(RESUME, (), asked.text("destination"), who, asked.text("reason", needed=False))]


ACTIONS: Mapping[str, Action] = {
    "pause": Action("release", _pause, ("destination", "reason")),
    "resume": Action("release", _resume, ("destination", "reason")),
    "calibrate": Action("calibrate", _calibrate, CALIBRATION_FIELDS),
    "mark": Action("mark", _mark, ("channel", "mark", "minutes", "reason")),
    "acknowledge": Action("acknowledge", _acknowledge, ("alert", "note")),
    "release": Action("release", _release, ("destination", "id", "reason")),
    "park": Action("release", _park, ("id", "reason")),
    "sample": Action("sample", _sample, ("bottles", "reason")),
    "carousel": Action("sample", _carousel, ("reason",)),
}


def routes(
    do: Do, symbols: Callable[[], Sequence[str]], actions: Mapping[str, Action] = ACTIONS
) -> list[Route]:
    """`do` does an order (GatewayError); `symbols()` are those of the channels that have an instrument."""
    return [
        Route(
            f"/do/{name}",
            guard(action.may, functools.partial(_done, name, action, do, symbols)),
            methods=["POST"],
        )
        for name, action in actions.items()
    ]


async def _done(
    name: str, action: Action, do: Do, symbols: Callable[[], Sequence[str]], request: Request
) -> Response:
    form = request.state.form
    answer = await _carried_out(action, Asked(form, symbols()), request.state.who, request.state.address, do)
    details = [f"{field}={', '.join(form.all(field))}" for field in action.shown if form.line(field)]
    await tell(request, name, details, answer.ok, answer.said)
    request.state.session.say(answer.said, answer.ok)
    return RedirectResponse(own_path(form.get(BACK, "/")), 303)


async def _carried_out(action: Action, asked: Asked, who: Who, address: str, do: Do) -> Answer:
    """Order after order; the first that fails is the last."""
    said: list[str] = []
    try:
        for order in action.orders(asked, who.name):
            answer = await do(order._replace(at=address))
            said.append(answer.said)
            if not answer.ok:
                return Answer("\n".join(said), ok=False)
    except (Refused, GatewayError) as error:
        return Answer("\n".join([*said, str(error)]), ok=False)
    except Exception as error:
        log.exception("an action failed by a mistake of ours", reason=repr(error))
        return Answer("\n".join([*said, "It failed by a mistake in this program: see its log."]), ok=False)
    return Answer("\n".join(said))
