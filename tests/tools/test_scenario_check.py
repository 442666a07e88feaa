"""tools/scenario/check*.py: every check holds on an outcome in which all went well, on none that breaks it.

The second half of each case is the check's control: what a broken gateway would have left behind.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway import flags
from gateway.reports.layout import stamp
from gateway.windows import OFF
from protocol import quality as q
from simulator import scenario_words as words
from simulator.ledger import Arrival
from tests.tools.scenario_rig import (
    GRID_MS,
    HOUR_MS,
    evidence,
    holds,
    nothing,
    scenario,
    window,
    with_arrivals,
    with_rows,
    with_windows,
)
from tools.scenario import check
from tools.scenario.check_read import Said
from tools.scenario.notes import WAITED, Note, died, refused

BEGINS = 1_774_544_400_000
SPAN = 'from = "01:00"\nto = "03:00"'
CUT = '[[fault]]\nwhere = "province"\nhow = "cut"\nat = "01:00"\nfor = "2h"\n'
POWER = '[[fault]]\nwhere = "gateway"\nhow = "power"\nat = "01:00"\nfor = "30min"\n'
FROZEN = '[[process]]\nchannel = "COD"\nwhat = "frozen"\nat = "01:00"\nfor = "2h"\n'
DRIFT = '[[process]]\nchannel = "COD"\nwhat = "drift"\nsize = 240.0\nat = "00:30"\n'


def at(hours: float) -> int:
    return BEGINS + round(hours * HOUR_MS)


def said(*what: tuple[str, float], rule: str = "limit", about: str = "COD", by: str = "") -> tuple[Said, ...]:
    return tuple(
        Said(rule, about, one, at(hours), by if one == "acknowledged" else "") for one, hours in what
    )


def drop(symbol: str, revision: int = 1, hours: float = 2.0):
    """Take a window away."""

    def change(windows):
        windows.remove(
            next(w for w in windows if (w.symbol, w.revision, w.start_ms) == (symbol, revision, at(hours)))
        )

    return with_windows(change)


def revise(from_h: float, to_h: float, revision: int = 2, symbol: str = "COD"):
    """The windows of a span get another revision."""

    def change(windows):
        for one in list(windows):
            if one.symbol == symbol and at(from_h) <= one.start_ms < at(to_h) and one.revision == 1:
                windows.append(one._replace(revision=revision))

    return with_windows(change)


def become(quality: int, from_h: float, to_h: float, symbol: str = "COD"):
    """The windows of a span have another quality."""

    def change(windows):
        for place, one in enumerate(windows):
            if one.symbol == symbol and at(from_h) <= one.start_ms < at(to_h):
                windows[place] = window(symbol, one.start_ms, one.value, quality, one.revision)

    return with_windows(change)


def told_off(from_h: float, to_h: float):
    """The windows of a span say that nothing was running."""

    def change(windows):
        for place, one in enumerate(windows):
            if at(from_h) <= one.start_ms < at(to_h):
                windows[place] = one._replace(reason=OFF, value=None, quality=q.NO_DATA, status="02")

    return with_windows(change)


def gone(from_h: float, to_h: float):
    """The province has no files of a span."""

    def change(arrivals):
        first_ms = at(from_h) - at(from_h) % GRID_MS
        names = {stamp(t_ms) for t_ms in range(first_ms, at(to_h), GRID_MS)}
        arrivals[:] = [one for one in arrivals if one.id[-18:-4] not in names]

    return with_arrivals(change)


def again(digest: str, destination: str = "province"):
    """A document comes a second time."""

    def change(arrivals):
        one = next(one for one in arrivals if one.destination == destination)
        arrivals.append(one._replace(digest=digest or one.digest, t_ms=at(5)))

    return with_arrivals(change)


def swapped(arrivals):
    mine = [place for place, one in enumerate(arrivals) if one.destination == "province"]
    a, b = mine[10], mine[11]
    arrivals[a], arrivals[b] = arrivals[b], arrivals[a]


def without(destination: str):
    return with_arrivals(
        lambda a: a.__setitem__(slice(None), [one for one in a if one.destination != destination])
    )


def acknowledged(found):
    """One reading more was acknowledged than is in the journal."""
    found.ledger.acknowledged("st-01", 1, found.numbers.attempts + 1)
    return replace(found)


def waiting(count: int):
    """So many readings wait when a fault begins."""

    def change(found):
        made = found.numbers.attempts
        found.ledger.acknowledged("st-01", 2, 0)
        for n in range(1, count + 1):
            found.ledger.emitted("st-01", 2, n, at(5), "COD", 1.0)
        found.ledger.edge()
        rows = list(found.rows)
        rows += [rows[0]._replace(boot=2, sequence=n, channel="COD", value=1.0) for n in range(1, count + 1)]
        assert made + count == found.ledger.numbers(rows).attempts
        return replace(found, rows=rows)

    return change


def wrong_by(by: float):
    """Every window has another value."""

    def change(windows):
        windows[:] = [one._replace(value=(one.value or 0.0) + by) for one in windows]

    return with_windows(change)


def drained(ms: int | None):
    return lambda found: replace(found, drained_ms={0: ms})


def same(found):
    return found


REFUSED = 'what = "refused"\nby = "Lan"\nact = "park"\nsays = "already"'
ALERT = 'what = "alert"\nabout = "COD"\nfrom = "01:00"\nwithin = "15min"'
GOOD_ALERT = (("raised", 1.1), ("acknowledged", 1.3), ("cleared", 2.5))

CASES = [
    # expectation, more of the scenario, what makes the outcome right for it, what breaks it
    ('what = "nothing lost"', "", same, [with_rows(lambda r: r.pop(17)), acknowledged, nothing]),
    (
        'what = "nothing doubled"', "", same,
        [with_rows(lambda r: r.append(r[3])), again(""), again("ff", "national"), nothing],
    ),
    (
        'what = "nothing unexpected"', "", same,
        [
            with_rows(lambda r: r.__setitem__(5, r[5]._replace(value=1.25))),
            with_rows(lambda r: r.append(r[-1]._replace(sequence=r[-1].sequence + 1))),
            with_rows(lambda r: r.append(r[-1]._replace(boot=9))),
            nothing,
        ],
    ),
    ('what = "nothing missing"', "", same, [with_rows(lambda r: r.pop()), nothing]),
    (
        'what = "nothing missing"\nbut = 2', "", with_rows(lambda r: r.__delitem__(slice(0, 2))),
        [with_rows(lambda r: r.__delitem__(slice(0, 3)))],
    ),
    ('what = "recovered"\nleast = 5', "", waiting(5), [waiting(4), nothing]),
    (
        'what = "every file"', "", same,
        [gone(2, 2.1), without("province"), with_arrivals(swapped), again(""), again("ff"),
         with_arrivals(lambda a: a.append(Arrival("province", "LCa_DEMO_NUO001_20270101000000.txt", "1", 1))),
         lambda e: told_off(2, 3)(gone(2.1, 3.05)(e)), nothing],
    ),
    (
        'what = "every file"', POWER, lambda e: told_off(1, 1.5)(gone(1.1, 1.55)(e)),
        [gone(1.1, 1.55), lambda e: told_off(1, 4)(gone(1.1, 4.05)(e)), gone(3, 3.1)],
    ),
    (
        'what = "every file"\ndestination = "national"', "", again("", "national"),
        [without("national"), nothing],
    ),
    (
        f'what = "status"\nchannel = "COD"\n{SPAN}\nis = "00"', "", same,
        [become(q.FAULT, 2, 2.1), become(q.CALIBRATING, 2, 2.1), nothing],
    ),
    (
        f'what = "status"\nchannel = "COD"\n{SPAN}\nis = "02"\nbecause = "STUCK"', FROZEN,
        become(flags.STUCK, 1, 3), [same, become(q.FAULT, 1, 3), become(flags.STUCK, 1.2, 3), nothing],
    ),
    (
        f'what = "status"\nchannel = "COD"\n{SPAN}\nis = "02"\nshare = 0.5', FROZEN,
        become(q.FAULT, 1, 2), [become(q.FAULT, 1, 1.9)],
    ),
    (
        f'what = "true mean"\nchannel = "COD"\n{SPAN}\nwithin = 2.0', "", same,
        [
            wrong_by(3), wrong_by(-3), become(q.FAULT, 1, 3), nothing,
        ],
    ),
    (
        f'what = "false mean"\nchannel = "COD"\n{SPAN}\nby = 5.0', DRIFT, same,
        [
            lambda e: evidence(scenario(f'what = "false mean"\nchannel = "COD"\n{SPAN}\nby = 5.0')),
            become(q.FAULT, 1, 3), nothing,
        ],
    ),
    (
        f'what = "false mean"\nchannel = "COD"\n{SPAN}\nby = -5.0', DRIFT.replace("240.0", "-240.0"), same,
        [wrong_by(12), nothing],
    ),
    (
        f'what = "revised"\nchannel = "COD"\n{SPAN}', "", revise(1, 3),
        [same, revise(1, 2.5), revise(1, 3, revision=3), lambda e: drop("COD")(revise(1, 3)(e)), nothing],
    ),
    (f'what = "not revised"\nchannel = "COD"\n{SPAN}', "", same, [revise(2, 2.1), nothing]),
    (
        'what = "time runs forwards"', "", revise(1, 3),
        [
            with_windows(lambda w: w.reverse()),
            with_windows(lambda w: w.append(w[-1])),
            with_windows(lambda w: w.append(w[-1]._replace(start_ms=at(-20), end_ms=at(-20) + GRID_MS))),
            with_windows(lambda w: w.append(w[-1]._replace(start_ms=at(9), end_ms=at(9) + GRID_MS))),
            with_windows(lambda w: w.append(w[-1]._replace(end_ms=w[-1].end_ms + 1, revision=2))),
            with_windows(lambda w: w.append(w[-1]._replace(end_ms=w[-1].start_ms, revision=2))),
            with_windows(lambda w: w.insert(50, w[-1]._replace(symbol="X"))),
            nothing,
        ],
    ),
    (
        "what = 'recovers'", CUT, drained(17 * 60_000),
        [drained(17 * 60_000 + 1), drained(None), same],
    ),
    ("what = 'recovers'", "", None, [same]),
    (
        ALERT, "", lambda e: replace(e, said=said(("raised", 1.25))),
        [
            same,
            lambda e: replace(e, said=said(("raised", 1.26))),
            lambda e: replace(e, said=said(("raised", 0.9))),
            lambda e: replace(e, said=said(("raised", 1.1), rule="no data")),
            lambda e: replace(e, said=said(("raised", 1.1), about="TSS")),
            lambda e: replace(e, said=said(("past", 1.1))),
        ],
    ),
    (
        ALERT + '\ncleared = "02:30"', "", lambda e: replace(e, said=said(*GOOD_ALERT)),
        [
            lambda e: replace(e, said=said(*GOOD_ALERT[:2])),
            lambda e: replace(e, said=said(("raised", 1.1), ("cleared", 2.6))),
            lambda e: replace(e, said=said(("cleared", 1.05), ("raised", 1.1))),
        ],
    ),
    (
        ALERT + '\nby = "Lan"', "", lambda e: replace(e, said=said(*GOOD_ALERT, by="Lan")),
        [
            lambda e: replace(e, said=said(*GOOD_ALERT, by="Minh")),
            lambda e: replace(e, said=said(("raised", 1.1), ("cleared", 2), ("acknowledged", 2.5), by="Lan")),
        ],
    ),
    (
        REFUSED, "", lambda e: replace(e, notes=(refused("Lan", "park", "It rests already."),)),
        [same, lambda e: replace(e, notes=(refused("Lan", "park", "No."),))],
    ),
    (
        'what = "no alert"\nabout = "COD"', "",
        lambda e: replace(e, said=said(("raised", 1.1), rule="no data")),
        [
            lambda e: replace(e, said=said(("raised", 1.1))), lambda e: replace(e, said=said(("past", 1.1))),
            nothing,
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("expect", "more", "right", "broken"), CASES)
def test_a_check_holds_and_its_controls_do_not(expect, more, right, broken):
    story = scenario(expect, more)
    if right is not None:
        assert holds(right(evidence(story)))
    for place, change in enumerate(broken):
        verdict, *_ = check.judge(change(evidence(story)))
        assert not verdict.holds, f"control {place} was not caught"


def test_every_check_is_tried_here_or_below():
    tried = {parse_what(expect) for expect, *_ in CASES} | ELSEWHERE
    assert tried == set(check.CHECKS) == set(words.EXPECT)


ELSEWHERE = {
    "export holds", "cosigned", "sign", "no sign",  # test_scenario_check_real.py
    "every poll",  # test_scenario_polled.py
    "every answer",  # test_scenario_firmware.py
    "answered", "bottles", "sent again",  # test_scenario_orders.py
}  # fmt: skip


def parse_what(expect: str) -> str:
    return scenario(expect).expect[0].what


def test_a_verdict_says_what_was_found():
    story = scenario(f'what = "status"\nchannel = "COD"\n{SPAN}\nis = "02"')
    verdict, _ = check.judge(evidence(story))
    assert str(verdict) == "WRONG  status (channel COD, from 1 h, to 3 h, is 02): 24 x 00 OK"


@pytest.mark.parametrize(
    ("note", "known"),
    [
        (died("The gateway", ValueError("why")), False),
        (Note(WAITED, "At the end there waited: 3 of province"), False),
        (refused("Lan", "park", "It rests already."), True),
        (refused("Lan", "park", "No."), False),
        (refused("Lan", "pause", "It rests already."), False),
        (refused("Minh", "park", "It rests already."), False),
    ],
)
def test_what_happens_beside_the_story_makes_a_run_fail(note, known):
    """Unless it is a refusal that the story tells."""
    for expect, holds_with_it in ((REFUSED, known), ('what = "nothing lost"', False)):
        found = evidence(scenario(expect))
        assert check.judge(found)[-1] == (check.BESIDE, True, "nothing")
        *_, beside = check.judge(replace(found, notes=(note,)))
        assert beside.holds == holds_with_it and (known or note.text in beside.found)
