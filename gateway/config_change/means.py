"""What a change of the configuration means for the station, in sentences. Pure.

Rule 1: what costs something is said before it is done: readings, documents that wait, files that miss a line.
Rule 2: what cannot be changed by a restart alone is refused here, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.config_model import Config

FIXED = (("gateway", "state_dir"), ("station", "province"), ("station", "facility"), ("station", "code"))
"""The journal lies there, and its log is named after the station."""
TEXTS = {
    "restart": (
        "Gateway tự khởi động lại: các bus ngừng đọc vài giây; thiết bị trạm giữ kết quả trong lúc đó.",
        "The gateway restarts itself: its buses are not read for some seconds; station devices keep theirs.",
    ),
    "unit": (
        "{about}: đơn vị đổi từ '{old}' sang '{new}'; kết quả cũ giữ đơn vị cũ. Hãy xem lại giới hạn.",
        "{about} changes its unit from '{old}' to '{new}'; older windows keep theirs. Look at its limits.",
    ),
    "channel gone": (
        "{about} không còn được đo: thông số này sẽ thiếu trong tệp gửi cơ quan quản lý.",
        "{about} is measured no more: it will be missing in the files that the department expects it in.",
    ),
    "channel": ("{about} được đo thêm.", "{about} is measured from now on."),
    "destination gone": (
        "Nơi nhận {about} bị bỏ: {old} tài liệu đang chờ sẽ nằm lại, cho đến khi có nơi nhận cùng id.",
        "The destination {about} goes: {old} documents that wait for it stay, until one of that id is back.",
    ),
    "destination": (
        "Nơi nhận {about} đổi: {old} tài liệu đang chờ sẽ được gửi theo cấu hình mới.",
        "The destination {about} changes: {old} documents that wait for it go where it leads then.",
    ),
    "page": (
        "Trang của gateway chuyển từ {old} sang {new}: hãy xác nhận ở đó.",
        "The gateway's page moves from {old} to {new}: confirm it there.",
    ),
    "retention": (
        "Dữ liệu cũ hơn {new} ngày sẽ bị xóa (trước đây: {old} ngày).",
        "What is older than {new} days is deleted (before: {old} days).",
    ),
    "window": (
        "Kết quả trung bình đổi từ {old} phút sang {new} phút.",
        "Windows change from {old} to {new} minutes.",
    ),
}
"""Vietnamese and English."""
LANGUAGES = ("vi", "en")


class Meaning(NamedTuple):
    """One sentence: a key of TEXTS and what it is about."""

    what: str
    about: str = ""
    old: str = ""
    new: str = ""

    def said(self, language: str = "en") -> str:
        """In "vi" or "en"."""
        return TEXTS[self.what][LANGUAGES.index(language)].format(**self._asdict())


class Fixed(NamedTuple):
    """A setting that cannot be changed so."""

    section: str
    key: str
    old: str
    new: str


def fixed(old: Config, new: Config) -> list[Fixed]:
    """What rule 2 refuses."""
    found = []
    for section, key in FIXED:
        before, after = (str(getattr(getattr(one, section), key)) for one in (old, new))
        if before != after:
            found.append(Fixed(section, key, before, after))
    return found


def meanings(old: Config, new: Config, waiting: Mapping[str, int]) -> list[Meaning]:
    """All of it. waiting: documents by the id of their destination."""
    return [Meaning("restart"), *_channels(old, new), *_destinations(old, new, waiting), *_gateway(old, new)]


def _channels(old: Config, new: Config) -> Iterator[Meaning]:
    before = {one.symbol: one for one in old.channel}
    after = {one.symbol: one for one in new.channel}
    for symbol in before.keys() - after.keys():
        yield Meaning("channel gone", symbol)
    for symbol, channel in after.items():
        if symbol not in before:
            yield Meaning("channel", symbol)
        elif before[symbol].unit != channel.unit:
            yield Meaning("unit", symbol, before[symbol].unit, channel.unit)


def _destinations(old: Config, new: Config, waiting: Mapping[str, int]) -> Iterator[Meaning]:
    after = {one.id: one for one in new.destination}
    for one in old.destination:
        count = waiting.get(one.id, 0)
        if one.id not in after:
            yield Meaning("destination gone", one.id, str(count))
        elif count and after[one.id] != one:
            yield Meaning("destination", one.id, str(count))


def _gateway(old: Config, new: Config) -> Iterator[Meaning]:
    before, after = old.gateway, new.gateway
    pages = [f"http://{web.host}:{web.port}" for web in (before.web, after.web)]
    if pages[0] != pages[1]:
        yield Meaning("page", "", *pages)
    if after.retention_days < before.retention_days:
        yield Meaning("retention", "", str(before.retention_days), str(after.retention_days))
    if before.window_minutes != after.window_minutes:
        yield Meaning("window", "", str(before.window_minutes), str(after.window_minutes))
