"""Interruptions in writing: the notice to the department after twelve hours, the list of a month. Pure.

Rule 1: Vietnamese, since the department reads them; what only a person knows is left open and says so.
Rule 2: a notice names the station, what is interrupted, since when, why as far as the gateway can tell.
Rule 3: the list is CSV with a byte order mark, which is what a spreadsheet needs to read Vietnamese.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.interruptions import CHANNEL, Interruption
from gateway.zone import GMT7_S

if TYPE_CHECKING:
    from gateway.config_model import Station

CAUSES_VI = {
    "the instrument reports a fault": "thiết bị đo tự báo lỗi",
    "the instrument does not answer": "thiết bị đo không trả lời",
    "the instrument's answers are damaged": "tín hiệu trả lời của thiết bị đo bị lỗi",
    "values beyond what the instrument can show": "giá trị vượt ngoài khả năng đo của thiết bị",
    "the instrument is switched off": "thiết bị đo đang tắt",
    "the current loop is broken or overloaded": "mạch dòng 4-20 mA bị đứt hoặc quá tải",
    "the device does not know the time": "bộ ghi tại trạm chưa được đồng bộ thời gian",
    "no readings arrived": "không nhận được số liệu đo",
    "too few good readings": "không đủ số liệu hợp lệ",
    "values that this medium cannot have": "giá trị không hợp lý đối với môi trường đo",
    "values that change faster than the medium can": "giá trị thay đổi nhanh bất thường",
    "the value does not change": "giá trị không thay đổi trong thời gian dài",
    "what it is corrected with is missing": "thiếu thông số dùng để hiệu chỉnh",
    "values below zero": "giá trị âm",
    "spikes": "giá trị đột biến",
    "the gateway was not running": "bộ thu thập dữ liệu không hoạt động (mất điện hoặc bị tắt)",
}
"""Of the causes in gateway.interruptions; an error of a server stays as the server said it."""
UNKNOWN_VI = "chưa xác định"

_NOTICE = """\
THÔNG BÁO GIÁN ĐOẠN QUAN TRẮC TỰ ĐỘNG, LIÊN TỤC
(Bản dự thảo do hệ thống lập {now}; người vận hành bổ sung, ký và gửi)

Kính gửi: Cơ quan chuyên môn về bảo vệ môi trường cấp tỉnh (mã tỉnh {province})

Cơ sở (mã):            {facility}
Trạm:                  {name} (mã {code})

Nội dung gián đoạn:
{items}

Thời gian tính đến nay: {lasts}
Dữ liệu trong thời gian gián đoạn: {data}

Biện pháp khắc phục:    ...............................................................
Dự kiến khôi phục:      ...............................................................
Người lập thông báo:    ..............................  Điện thoại: ...................
"""
_KEPT = "được lưu tại trạm và tự động gửi bù theo thứ tự thời gian khi kết nối trở lại"
_NONE = "không có số liệu đo hợp lệ; các dòng tương ứng được gửi với trạng thái 02"


class Listed(NamedTuple):
    """A row of a month's list."""

    interruption: Interruption
    windows: int  # of the channel within it; documents made within it for a destination
    made_up: int  # ... that have good data by now, or were delivered


def moment(time_ms: int) -> str:
    """As people in Vietnam write it: 08:05 ngày 29/11/2026."""
    return time.strftime("%H:%M ngày %d/%m/%Y", time.gmtime(time_ms // 1000 + GMT7_S))


def length(ms: int) -> str:
    """13 giờ 05 phút."""
    minutes = ms // 60_000
    return f"{minutes // 60} giờ {minutes % 60:02d} phút"


def what(interruption: Interruption) -> str:
    """What is interrupted, for a reader in the department."""
    kind, name = interruption.what
    return f"Thông số {name}" if kind == CHANNEL else f"Truyền dữ liệu đến {name}"


def cause(interruption: Interruption) -> str:
    return CAUSES_VI.get(interruption.cause, interruption.cause or UNKNOWN_VI)


def notice(station: Station, lasting: Sequence[Interruption], now_ms: int) -> str:
    """One notice for all of these (at least one), which last at `now_ms`."""
    oldest = min(lasting, key=lambda interruption: interruption.from_ms)
    items = "\n".join(
        f"  - {what(one)}: từ {moment(one.from_ms)} (GMT+7); nguyên nhân: {cause(one)}" for one in lasting
    )
    return _NOTICE.format(
        now=moment(now_ms), province=station.province, facility=station.facility, name=station.name,
        code=station.code, items=items, lasts=length(oldest.lasts_ms(now_ms)),
        data=_NONE if any(one.what[0] == CHANNEL for one in lasting) else _KEPT,
    )  # fmt: skip


HEADINGS = (
    "Nội dung", "Bắt đầu", "Kết thúc", "Thời gian", "Nguyên nhân", "Trên 12 giờ", "Số phiên", "Đã bù",
)  # fmt: skip


def month_csv(rows: Iterable[Listed], now_ms: int, notice_ms: int) -> bytes:
    """The list of a month."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADINGS)
    for found in rows:
        one = found.interruption
        lasts_ms = one.lasts_ms(now_ms)
        writer.writerow(
            [
                what(one), moment(one.from_ms), "chưa kết thúc" if one.to_ms is None else moment(one.to_ms),
                length(lasts_ms), cause(one), "có" if lasts_ms >= notice_ms else "không", found.windows,
                found.made_up,
            ]
        )  # fmt: skip
    return b"\xef\xbb\xbf" + text.getvalue().encode()
