"""Folder layouts of provincial servers: named presets, and templates of one's own.

A template holds {station} {yyyy} {MM} {dd} {yyyyMMdd} {ddMMyyyy}; the date is that of the file's stamp.
Source of the presets: layouts observed on servers in use (gateway/README.md).
"""

from __future__ import annotations

import re
import time

from gateway.zone import GMT7_S

PRESETS = {
    "default": "{station}/{yyyy}/{MM}/{dd}",
    "none": "",
    "station": "{station}",
    "date": "{station}/{yyyyMMdd}",
    "thang-date": "{station}/{yyyy}/Thang{MM}/{yyyyMMdd}",
    "thang-ngay": "{station}/{yyyy}/Thang{MM}/Ngay{dd}",
    "iso-date": "{station}/{yyyy}-{MM}-{dd}",
    "thang-ddmmyyyy": "{station}/{yyyy}/Thang{MM}/{ddMMyyyy}",
    "underscores": "{station}/{yyyy}_{MM}_{dd}",
    "month-ddmmyyyy": "{station}/{yyyy}/{MM}/{ddMMyyyy}",
    "nam-thang-ngay": "{station}/Nam {yyyy}/thang {MM}/ngay {dd}",
}
PLACEHOLDERS = ("station", "yyyy", "MM", "dd", "yyyyMMdd", "ddMMyyyy")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def stamp(time_ms: int) -> str:
    """Unix ms -> yyyyMMddHHmmss in GMT+7, with no offset written."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(time_ms // 1000 + GMT7_S))


def stamp_ms(text: str) -> int:
    """yyyyMMddHHmmss in GMT+7 -> Unix ms. ValueError when it is not one."""
    if not (len(text) == 14 and text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a stamp yyyyMMddHHmmss")
    import calendar

    seconds = calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S")) - GMT7_S
    if stamp(seconds * 1000) != text:
        raise ValueError(f"{text!r} is not a real moment")
    return seconds * 1000


def named_after(label: str, start_ms: int, end_ms: int) -> int:
    """The moment (Unix ms) whose stamp a window has: its end, where `label` is not "start"."""
    return start_ms if label == "start" else end_ms


def layout_fault(layout: object) -> tuple[str, str] | None:
    """(what is wrong, what to write instead), or None for a preset's name or a usable template."""
    instead = f"Write a preset ({', '.join(PRESETS)}) or a template such as {PRESETS['default']}."
    if not isinstance(layout, str):
        return "A layout is text in quotes.", instead
    if layout in PRESETS or layout == "":
        return None
    for name in _PLACEHOLDER.findall(layout):
        if name not in PLACEHOLDERS:
            known = " ".join("{" + p + "}" for p in PLACEHOLDERS)
            return f"A layout knows no placeholder {{{name}}}.", f"It knows {known}."
    plain = _PLACEHOLDER.sub("x", layout)
    if re.search(r"[{}]", plain):
        return "A curly bracket of the layout has no partner.", instead
    if plain == layout:
        return (
            f"'{layout}' is neither a preset nor a template.",
            instead + " A fixed folder belongs into path.",
        )
    parts = plain.split("/")
    if (
        not plain.isprintable()
        or "\\" in plain
        or any(p.strip(" .") == "" for p in parts)
        or len(plain) > 200
    ):
        return "A layout is a relative folder, its parts separated by single '/', without '..'.", instead
    if any(p != p.strip() or p.endswith(".") for p in parts):
        what = "A folder of the layout begins or ends with a space, or ends with a dot."
        return what, "Take it away: servers on Windows drop it, and the folder has another name then."
    return None


def folder(layout: str, station: str, time_ms: int) -> str:
    """The folder for a file stamped `time_ms`, relative, '/' between its parts."""
    date = stamp(time_ms)
    yyyy, month, day = date[:4], date[4:6], date[6:8]
    values = {
        "station": station,
        "yyyy": yyyy,
        "MM": month,
        "dd": day,
        "yyyyMMdd": yyyy + month + day,
        "ddMMyyyy": day + month + yyyy,
    }
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], PRESETS.get(layout, layout))
