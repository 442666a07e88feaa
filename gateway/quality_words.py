"""What status and quality of a window are called, in Vietnamese and English, for whoever reads them."""

from __future__ import annotations

from gateway import flags
from protocol import quality as q

STATUSES = {
    "00": ("đang đo", "measuring"),
    "01": ("hiệu chuẩn", "calibrating"),
    "02": ("thiết bị đo báo lỗi", "instrument fault"),
}
"""The three of the regulation, Vietnamese and English."""
WORDS = {
    q.OK: STATUSES["00"],
    q.CALIBRATING: STATUSES["01"],
    q.MAINTENANCE: ("bảo trì, bảo dưỡng", "maintenance"),
    q.FAULT: STATUSES["02"],
    q.TIMEOUT: ("thiết bị đo không trả lời", "the instrument does not answer"),
    q.BAD_REPLY: ("tín hiệu của thiết bị đo bị lỗi", "the instrument's answers are damaged"),
    q.OUT_OF_RANGE: ("ngoài khoảng đo của thiết bị", "outside the measuring range"),
    q.OFF: ("thiết bị đo đang tắt", "the instrument is switched off"),
    q.OVERLOAD: ("mạch dòng 4-20 mA bị đứt hoặc quá tải", "the current loop is broken or overloaded"),
    q.TIME_UNTRUSTED: ("chưa xác định được thời gian đo", "the time of measurement is not known"),
    q.NO_DATA: ("không có số liệu", "no data"),
    q.COVERAGE: ("không đủ số liệu hợp lệ", "too few valid readings"),
    flags.IMPLAUSIBLE: ("giá trị không hợp lý", "not plausible"),
    flags.RATE: ("giá trị thay đổi quá nhanh", "changed too fast"),
    flags.SPIKE: ("giá trị đột biến", "a spike"),
    flags.STUCK: ("giá trị không thay đổi", "the value does not change"),
    flags.NEGATIVE: ("giá trị âm", "below zero"),
    flags.UNSUPPORTED: ("thiếu thông số để hiệu chỉnh", "what it is corrected with is missing"),
}
"""A window's quality, in words."""
