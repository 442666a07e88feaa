"""What an index or a load lacks, in Vietnamese: the arithmetic says it in English. Pure.

Rule 1: what is not known here stays as it is: nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.loads import NO_WINDOW
from gateway.reports.period_words import Words
from protocol import quality as q

_VI = [
    (r"(.+): (\d+) of 24 hours", r"\1: thiếu \2/24 giờ"),
    (r"(.+): the mean of 24 hours", r"\1: không đủ giờ cho trung bình 24 giờ"),
    (r"(.+): no index of 8 hours above 400 µg/m³", r"\1: không có chỉ số 8 giờ khi trên 400 µg/m³"),
    (r"PM10 or PM2\.5, without which there is no VN_AQI", "PM10 hoặc PM2.5 (bắt buộc để tính VN_AQI)"),
    (r"(.+): fewer than 2 of the newest 3 hours", r"\1: chưa đủ 2 trong 3 giờ gần nhất"),
    (
        r"(.+): (\d+) of 12 hours, the sum is not divided by the weights",
        r"\1: thiếu \2/12 giờ, tổng không chia cho trọng số",
    ),
    (r"(.+): (\d+) of 12 hours", r"\1: thiếu \2/12 giờ"),
    (r"(.+): this hour", r"\1: giờ này"),
    (
        r"group ([IV]+): (\d+) of the (\d+) parameters that it needs",
        r"nhóm \1: có \2 trong \3 thông số cần có",
    ),
    (r"(\d+) of the (\d+) groups that VN_WQI needs", r"có \1 trong \2 nhóm cần cho VN_WQI"),
    (r"group ([IV]+): (.+)", r"nhóm \1: \2"),
    (r"DO: no water temperature, so no saturation", "DO: không có nhiệt độ nước để tính độ bão hòa"),
]
_PATTERNS = [(re.compile(pattern), text) for pattern, text in _VI]


def missing(parts: Sequence[str], words: Words) -> str:
    """What an index lacks, as one text."""
    return "; ".join(_vi(part) if words.language == "vi" else part for part in parts)


def _vi(part: str) -> str:
    for pattern, text in _PATTERNS:
        if pattern.fullmatch(part):
            return pattern.sub(text, part)
    return part


def why(reason: str, words: Words) -> str:
    """A gap's reason (loads.Gap): "Flow: TIMEOUT; COD: no window"."""
    if reason == NO_WINDOW:
        return words("no_window")
    found = []
    for part in reason.split("; "):
        symbol, _, name = part.partition(": ")
        said = words("no_window") if name == NO_WINDOW else _quality(name, words)
        found.append(f"{symbol}: {said}")
    return "; ".join(found)


def _quality(name: str, words: Words) -> str:
    return words.quality(q.NAMES.index(name)) if name in q.NAMES else name
