"""Events about what a channel is, for the journal: its meter went back, its unit became another one. Pure.

["meter", symbol, "went back", start_ms, revision, times, meter]
["unit", symbol, "changed", old, new]
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway import flags
from gateway.accumulate import Channel
from gateway.windows import Window
from protocol import cbor


def meters(windows: Iterable[Window]) -> list[bytes]:
    """One for each window in which a meter showed less than before: it was changed, or set back. `meter` is
    what it showed at the window's end; nothing was counted for the step.
    """
    found = []
    for window in windows:
        times = flags.counts(window.flags).get(flags.METER_BACK, 0)
        if times:
            at = (window.start_ms, window.revision, times, window.meter)
            found.append(cbor.dumps(["meter", window.symbol, "went back", *at]))
    return found


def units(before: Iterable[Channel], now: Iterable[Channel]) -> list[bytes]:
    """One for each channel that is configured in another unit than at the start before."""
    known = {channel.symbol: channel.unit for channel in before}
    return [
        cbor.dumps(["unit", channel.symbol, "changed", known[channel.symbol], channel.unit])
        for channel in now
        if known.get(channel.symbol, channel.unit) != channel.unit
    ]
