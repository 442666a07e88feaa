"""From what a channel writes as its `limits` to the figures that hold: with the rules of gateway/limits and
those of the operator's own files.

`resolve(parts)` yields (place, what, instead), and puts channels with their figures in the place of those
that name a rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config_lines import Place
from gateway.config_model import Channel
from gateway.limits.books import read, rules
from gateway.limits.choose import choose
from gateway.limits.rule import FACTORS, LimitsFault, Rule

Found = tuple[Place, str, str]
OF_A_RULE = ("column", "size", "parameter", *FACTORS)


def resolve(parts: dict[str, Any]) -> Iterator[Found]:
    """Every fault in files of limits and in what channels ask of them."""
    channels: dict[int, Channel] = parts["channel"]
    own: list[Rule] = []
    broken = False
    for path in parts["limits"].files if parts["limits"] is not None else ():
        try:
            own.append(read(path, {channel.symbol for channel in channels.values()}))
        except LimitsFault as fault:
            broken = True
            yield ("limits", "files"), fault.what, fault.instead
    try:
        known = rules(own)
    except LimitsFault as fault:
        yield ("limits", "files"), fault.what, fault.instead
        return
    for index, channel in channels.items():
        place = ("channel", index, "limits")
        limits = channel.limits
        if not limits.rule:
            for name in OF_A_RULE:
                if getattr(limits, name) not in ("", None):
                    what = f"{name} has no meaning without a rule."
                    yield (*place, name), what, 'Write rule = "QCVN 40:2011" as well, or remove it.'
        elif limits.rule in known:
            rule = known[limits.rule]
            try:
                figures = choose(rule, limits.asked(channel.symbol, channel.unit))
                channels[index] = channel.model_copy(update={"limits": limits.by(rule, figures)})
            except LimitsFault as fault:
                yield place, fault.what, fault.instead
        elif not broken:  # it may be the one that could not be read
            what = f"There is no rule '{limits.rule}'."
            instead = f"Write one of: {', '.join(sorted(known))}; or name its file in [limits] files."
            yield (*place, "rule"), what, instead
