"""Channels, judged for the record of a test: a plausible value of quality OK, taken since the test began.

Rule 1: a reading from before the test is no evidence, however good it is.
Rule 2: a counter that did not count has shown nothing: its 0 is not tested, not ok.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.quality_words import WORDS
from protocol.quality import by_name
from tools.station.live.found import Found
from tools.station.live.known import COUNTER, LOOP, Channel
from tools.station.live.sheet import Now, Sheet, current_ma, shown

WAIT_S = 60.0
SLOW_S = 45.0
"""A channel that is read less often may have no reading within WAIT_S: then it is not tested."""
LOOK_S = 0.2


def judge(one: Now, began_s: float) -> Found:
    """A channel by what is known of it now. `began_s`: for how long the test has been running."""
    channel, reading = one.channel, one.reading
    if reading is None or one.age_s is None or one.age_s > began_s:
        every = f", it is read every {one.interval_ms / 1000:g} s" if one.interval_ms else ""
        slow = one.interval_ms / 1000 > SLOW_S
        return Found(channel.name, None if slow else False, f"no reading in time{every}")
    value = shown(reading.value, channel.decimals) + (f" {channel.unit}" if channel.unit else "")
    if reading.value is not None:
        value += _raw(channel, one, reading.raw)
    if reading.quality != "OK":
        said = f"{value}: {_why(one)}" if reading.value is not None else _why(one)
        return Found(channel.name, False, said)
    if one.doubt:
        return Found(channel.name, False, one.doubt.text)
    if channel.kind == COUNTER and reading.raw == 0:
        return Found(channel.name, None, "no pulse came: let the meter turn")
    return Found(channel.name, True, value + _range(channel))


def _why(one: Now) -> str:
    """A quality in words, with what makes it clearer."""
    assert one.reading
    words = WORDS[by_name(one.reading.quality)][1]
    if one.doubt:
        return f"{words}. {one.doubt.text}"
    if one.reading.quality == "OUT_OF_RANGE":
        return words + _range(one.channel)
    return f"{words} ({one.said})" if one.said else words


def _range(channel: Channel) -> str:
    if channel.low is None and channel.high is None:
        return ""
    low = "any" if channel.low is None else f"{channel.low:g}"
    high = "any" if channel.high is None else f"{channel.high:g}"
    return f" (range {low} to {high})"


def _raw(channel: Channel, one: Now, raw: float | None) -> str:
    ma = current_ma(channel, raw)
    if channel.kind == LOOP and ma is not None:
        return f", {ma:.2f} mA"
    return f", raw {shown(raw, None)}" if one.calibrated else ""


async def judged(
    sheet: Sheet, follow: Callable[[], None], show: Callable[[dict[str, Found]], None], seconds: float
) -> list[Found]:
    """Wait until each channel is ok, at most so long; then what each is.

    follow() brings the sheet up to the link; show(found) is called whenever something has changed.
    """
    began = time.monotonic()
    found: dict[str, Found] = {}
    while True:
        follow()
        passed_s = time.monotonic() - began
        before = {name: one.ok for name, one in found.items()}
        for one in sheet.channels():
            if (found.get(one.channel.name) or Found("", None, "")).ok is not True:
                found[one.channel.name] = judge(one, passed_s)
        if before != {name: one.ok for name, one in found.items()}:
            show(found)
        good = all(one.ok for one in found.values()) and sheet.peek.complete
        if good or passed_s >= seconds:
            return list(found.values())
        await asyncio.sleep(LOOK_S)
