"""What may stand in a scenario: every kind of process, fault, act and expectation, with its keys.

Rule 1: this is the one list. simulator/scenario.py reads by it, scenarios/README.md explains it (a test holds
        them together), and what is not in it is a fault of the file.
Rule 2: a kind is here when the engine (tools/scenario) or the checks can do it, and a story uses it.
"""

from __future__ import annotations

from typing import NamedTuple

NUMBER, SHARE, COUNT, TEXT, FLAG = (
    "a number",
    "a number from 0 to 1",
    "a whole number",
    "a text",
    "true or false",
)
LENGTH, MOMENT, SYMBOL = "a length of time", "a moment", "a channel of the station"


class Key(NamedTuple):
    """A key of a kind."""

    sort: str
    says: str
    needed: bool = False
    among: tuple[str, ...] = ()


class Kind(NamedTuple):
    """What it is; `lasts`: whether it has `for` (None: it may)."""

    says: str
    lasts: bool | None = True
    keys: dict[str, Key] = {}  # noqa: RUF012 (never changed)


def _key(sort: str, says: str, *among: str) -> Key:
    return Key(sort, says, False, among)


def _need(sort: str, says: str, *among: str) -> Key:
    return Key(sort, says, True, among)


PROCESS = {
    # what is in the pipe
    "upset": Kind("the plant falls ill and recovers: a smooth hump of `size`, in the channel's unit"),
    "batch": Kind("a tank is let out: `size` more, in the channel's unit, mixed within `mix`", True, {
        "mix": _key(LENGTH, "how long it takes to come through, 20min unless said"),
    }),
    "rain": Kind("storm water: everything times `size`, coming and going within an hour"),
    "weekly": Kind("Saturday and Sunday differ: times `size`", None),
    "step": Kind("from now on `size` more, in the channel's unit", None),
    # what the instrument makes of it
    "drift": Kind("it goes wrong by `size` a day, in the channel's unit, until it is set right", None),
    "fouling": Kind("a window grows over: it loses the share `size` a day, until it is cleaned", None),
    "bubbles": Kind("bubbles in the cell: single readings are `size` higher", True, {
        "probability": _key(SHARE, "of a reading to be hit, 0.2 unless said"),
    }),
    "frozen": Kind("the analyser shows what it showed when it began", True),
    "fault": Kind("the instrument says that it is broken", True),
    "standard": Kind("it measures a standard of the value `size`; `says`: its state says so", True, {
        "says": _key(FLAG, "whether the instrument itself says that it is calibrating; false unless said"),
    }),
    # what somebody makes of it
    "dilution": Kind("somebody leads clean water to the sample: it shows `size` times what is in the pipe"),
    "clamp": Kind("somebody set the analyser's output to stop at `size`, in the channel's unit", None),
    "replay": Kind("somebody plays back what it showed `size` days before"),
}  # fmt: skip

_RATE = {"rate_bytes_s": _need(NUMBER, "bytes a second")}
_LATENCY = {"latency_s": _need(NUMBER, "seconds")}
_CHANCE = {"probability": _need(SHARE, "of each message, or of each kilobyte, to be hit")}
_ONE = {"channel": _need(SYMBOL, "one that it measures")}
_CUT = Kind("nothing goes through, what was open breaks")
_SILENT = Kind("what is open stays open and nothing ever answers")
_SLOW = Kind("it goes through, slowly", True, _RATE)
_LATENCY_KIND = Kind("everything takes longer", True, _LATENCY)
_HALF = Kind("what is open is dead without a word; what is opened anew works", False)
_REFUSE = Kind("nobody listens there")
_PASSWORD = Kind("the password is not valid any more; at the end the old one is again")
_FLIP = Kind("bits change on the way", True, _CHANCE)

FAULT = {
    "province": {
        "cut": _CUT, "silent": _SILENT, "slow": _SLOW, "latency": _LATENCY_KIND, "half-open": _HALF,
        "refuse": _REFUSE, "wrong-password": _PASSWORD,
        "full": Kind("the receiver's disk is full: every write fails"),
        "lose-reply": Kind("the file arrives, the answer does not", True, _CHANCE),
    },
    "national": {"cut": _CUT, "silent": _SILENT, "latency": _LATENCY_KIND, "half-open": _HALF,
                 "refuse": _REFUSE, "wrong-password": _PASSWORD},
    "witness": {"cut": _CUT, "silent": _SILENT, "latency": _LATENCY_KIND},
    "link": {
        "cut": _CUT, "silent": _SILENT, "slow": _SLOW, "latency": _LATENCY_KIND, "half-open": _HALF,
        "flip": _FLIP,
        "lose": Kind("messages vanish", True, _CHANCE),
        "duplicate": Kind("messages come twice", True, _CHANCE),
    },
    "bus": {
        "silent": Kind("a unit does not answer", True, _ONE),
        "lose": Kind("answers are missing", True, _CHANCE),
        "flip": Kind("answers are damaged", True, _CHANCE),
    },
    "bus.gateway": {
        "cut": _CUT, "silent": _SILENT, "half-open": _HALF,
        "mute": Kind("an instrument does not answer", True, _ONE),
        "refuse": Kind("an instrument answers that it cannot", True, _ONE),
        "slow": Kind("an instrument thinks for long before it answers", True, _ONE | _LATENCY),
        "wrong": Kind("answers are to questions that nobody asked", True, _CHANCE),
    },
    "department": {
        "cut": _CUT, "latency": _LATENCY_KIND,
        "refuse": Kind("its server answers, and says that it is out of order"),
    },
    "sampler": {"blind": Kind("the contact that says that a bottle is full does not close")},
    "device": {"power": Kind("without power")},
    "gateway": {"power": Kind("without power"), "kill": Kind("killed, started again a moment later", False)},
    "disk": {"full": Kind("no space left"), "read-only": Kind("the card went read-only"),
             "io-error": Kind("every write fails with an I/O error")},
    "clock.gateway": {
        "jump": Kind("the clock is set", False, {"by": _need(LENGTH, "forwards, or back with a minus")}),
        "wakes": Kind("it starts without a battery and without network time, as if it were `as`; "
                      "after `for` it is set right", True, {"as": _need(TEXT, "a date and time")}),
    },
    "clock.device": {
        "jump": Kind("the clock is set", False, {"by": _need(LENGTH, "forwards, or back with a minus")}),
    },
}  # fmt: skip

_WHY = {"reason": _key(TEXT, "as it is written down")}
_TO = {"destination": _key(TEXT, "which, province unless said", "province", "national")}
ACT = {
    "mark": Kind("says that an instrument is worked on", False, {
        "channel": _need(SYMBOL, "whose instrument"), "minutes": _need(COUNT, "for how long at the most"),
        "mark": _need(TEXT, "as what", "calibrating", "maintenance", "over"), **_WHY,
    }),
    "calibrate": Kind("writes down a calibration with zero and span", False, {
        "channel": _need(SYMBOL, "whose instrument"),
        "zero": _need(NUMBER, "what it showed at zero"),
        "span": _need(NUMBER, "what it showed at `standard`"),
        "standard": _need(NUMBER, "the standard"), **_WHY,
    }),
    "acknowledge": Kind("takes an alert in hand", False, {"channel": _need(SYMBOL, "of the alert"), **_WHY}),
    "pause": Kind("lets a destination rest", False, _TO | _WHY),
    "resume": Kind("lets it go on", False, _TO | _WHY),
    "park": Kind("puts aside what waits", False, _TO | _WHY),
    "release": Kind("has it sent after all", False, _TO | _WHY),
    "empty": Kind("puts empty bottles into the sampler", False, _WHY),
    "order": Kind("the department's: signs a command and lays it on its desk", False, {
        "verb": _need(TEXT, "what is to be done", "sample", "resend", "status"),
        "bottles": _key(COUNT, "of a sample, 1 unless said"),
        "from": _key(MOMENT, "of what is to be sent again"), "to": _key(MOMENT, "its end"),
        "lasts": _key(LENGTH, "until it expires, 1d unless said"), **_WHY,
    }),
}  # fmt: skip

_SPAN = {"from": _need(MOMENT, "where it begins"), "to": _need(MOMENT, "where it ends")}
_OF = {"channel": _need(SYMBOL, "which")}
_ABOUT = {"about": _need(TEXT, "a channel, a device or a destination")}
EXPECT = {
    "nothing lost": Kind("what was acknowledged is in the journal"),
    "nothing doubled": Kind("nothing is in the journal twice, or at a destination"),
    "nothing unexpected": Kind("nothing is in the journal that was not measured, or with another value"),
    "nothing missing": Kind("what a device measured is in the journal, but for `but` readings", None, {
        "but": _key(COUNT, "readings that may be missing, 0 unless said"),
    }),
    "every poll": Kind("each poll of the gateway's own instruments is in the journal once, with what the "
                       "instrument answered, or the reason", None, {
        "without": _key(COUNT, "polls that at least have a reason and no value, 0 unless said"),
        "but": _key(COUNT, "polls that may be missing, 0 unless said"),
    }),
    "every answer": Kind("what the instruments of a real device have answered is in the journal once, with "
                         "that value, or the reason", None, {
        "but": _key(COUNT, "answers that may be missing, 0 unless said"),
    }),
    "recovered": Kind("so many readings waited for the end of a fault, and are there", None, {
        "least": _need(COUNT, "readings"),
    }),
    "every file": Kind("every window's file is at the destination, once, oldest first", None, _TO),
    "status": Kind("windows have this status", None, _OF | _SPAN | {
        "is": _need(TEXT, "the provincial code", "00", "01", "02"),
        "share": _key(SHARE, "of the windows, all unless said"),
        "because": _key(TEXT, "the quality's name, such as STUCK"),
    }),
    "true mean": Kind("the mean of valid windows is near what was in the pipe", None, _OF | _SPAN | {
        "within": _need(NUMBER, "in the channel's unit"),
    }),
    "false mean": Kind("it is not: the instrument was wrong, and valid", None, _OF | _SPAN | {
        "by": _need(NUMBER, "at least, in the channel's unit; negative: below"),
    }),
    "sign": Kind("the list of what is too good to be true has it", None, _OF | {
        "name": _need(TEXT, "the sign's"),
        "from": _key(MOMENT, "it has to touch"), "to": _key(MOMENT, "it has to touch"),
    }),
    "no sign": Kind("that list is empty for the channel", None, _OF),
    "alert": Kind("an alert is raised within `within` after `from`", None, _ABOUT | {
        "from": _need(MOMENT, "when there is reason"), "within": _need(LENGTH, "at the latest"),
        "rule": _key(TEXT, "limit unless said"),
        "cleared": _key(MOMENT, "by when it is over"),
        "by": _key(TEXT, "who has to have taken it in hand"),
    }),
    "no alert": Kind("none is raised", None, _ABOUT | {"rule": _key(TEXT, "limit unless said")}),
    "answered": Kind("the order of that moment is answered in time, signed by the station", None, {
        "at": _need(MOMENT, "when it was given"), "within": _need(LENGTH, "at the latest"),
        "is": _need(TEXT, "what came of it", "done", "refused", "unknown"),
        "says": _key(TEXT, "what stands in the answer"),
    }),
    "bottles": Kind("so many bottles are filled, in the journal and truly, for that reason", None, _SPAN | {
        "count": _need(COUNT, "bottles, 0 for none"),
        "because": _key(TEXT, "who or what asked: `rule`, `department`, a person; anybody unless said"),
        "state": _key(TEXT, "what is known of them, filled unless said", "filled", "no feedback", "not sent"),
    }),
    "sent again": Kind("documents came once more, with the same bytes", None, _TO | {
        "least": _need(COUNT, "documents"),
    }),
    "refused": Kind("somebody is told no: without this line a refusal makes the run fail", None, {
        "by": _need(TEXT, "who"), "act": _need(TEXT, "what he wanted", *ACT),
        "says": _key(TEXT, "what stands in the answer"),
    }),
    "recovers": Kind("after every fault the backlog is through in a tenth of it and five minutes"),
    "revised": Kind("windows were revised after late data; what was said before stands", None, _OF | _SPAN),
    "not revised": Kind("no window has a second revision", None, _OF | _SPAN),
    "time runs forwards": Kind("windows do not overlap, none is of no length, each lies in the scenario"),
    "export holds": Kind("an export of the last six hours is verified, and a changed one is not"),
    "cosigned": Kind("the newest checkpoints carry the witness's signature"),
}  # fmt: skip
