"""What a certificate says, in Vietnamese and English. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """The same in both languages."""

    vi: str
    en: str


def same(text: str) -> Text:
    """What is no word."""
    return Text(text, text)


TITLE = Text("BIÊN BẢN HIỆU CHUẨN THIẾT BỊ QUAN TRẮC", "CALIBRATION CERTIFICATE OF A MONITORING INSTRUMENT")
STATION = Text("Trạm quan trắc", "Station")
DEVICE = Text("Thiết bị thu nhận số liệu", "Station device")
CHANNEL = Text("Thông số", "Parameter")
INSTRUMENT = Text("Thiết bị đo", "Instrument")
PROFILE = Text("Hồ sơ thiết bị", "Instrument profile")
PLACE = Text("Vị trí trên đường truyền", "Place on the bus")
SERIAL = Text("Số sê-ri", "Serial number")
NUMBER = Text("Số hiệu chuẩn", "Calibration number")
BEFORE = Text("Hiệu chuẩn trước", "Calibration before")
TIME = Text("Thời gian (GMT+7)", "Time (GMT+7)")
BY = Text("Người thực hiện", "Carried out by")
STANDARDS = Text("Chất chuẩn", "Standards")
CERTIFICATE = Text("Giấy chứng nhận", "Certificate")
VALUE = Text("Giá trị", "Value")
UNCERTAINTY = Text("Độ không đảm bảo", "Uncertainty")
VALID = Text("Hiệu lực đến", "Valid until")
READINGS = Text("Số liệu đo", "Readings taken")
POINT = Text("Điểm", "Point")
REFERENCE = Text("Giá trị chuẩn", "Standard")
RAW = Text("Giá trị thô", "Raw value")
SCATTER = Text("Độ lệch chuẩn", "Std. deviation")
COUNT = Text("Số lần đo", "Readings")
FROM_TO = Text("Từ – đến", "From – to")
FOUND = Text("Trước hiệu chỉnh", "As found")
LEFT = Text("Sau hiệu chỉnh", "As left")
RESIDUAL = Text("Sai số còn lại", "Residual")
LINE = Text("Đường hiệu chuẩn", "Calibration line")
SLOPE = Text("Độ dốc", "Slope")
OFFSET = Text("Điểm cắt", "Offset")
OLD = Text("Cũ", "Old")
NEW = Text("Mới", "New")
HELD = Text("Các điểm lưu trong thiết bị (thô : kết quả)", "Points in the device (raw : value)")
DRIFT = Text("Độ trôi so với lần hiệu chuẩn trước", "Drift since the calibration before")
ZERO_DRIFT = Text("Điểm không", "Zero")
SPAN_DRIFT = Text("Điểm chuẩn", "Span")
AT = Text("Tại", "At")
FOUND_DRIFT = Text("Độ trôi", "Drift")
ALLOWED = Text("Giới hạn", "Allowed")
VERDICT = Text("Kết luận", "Verdict")
HOLDS = Text("Đạt", "Holds")
BEYOND = Text("VƯỢT GIỚI HẠN", "BEYOND")
NO_LIMIT = Text("Không đặt giới hạn", "No limit set")
CHECKED = Text("Kiểm tra sau khi ghi", "Reading after it was written")
NOT_CHECKED = Text("không có", "none")
METHOD = Text(
    "Mỗi điểm là trung bình của các số liệu trong {within:g} s, độ lệch chuẩn không quá {limit} (giá trị "
    "thô). Đường hiệu chuẩn theo phương pháp bình phương tối thiểu; sai số còn lại cho phép {residual} "
    "{unit}.",
    "Each point is the mean of the readings of {within:g} s with a standard deviation of at most {limit} "
    "(raw). The line is by least squares; a residual of {residual} {unit} is allowed.",
)
PIECEWISE = Text(
    "Thiết bị nội suy tuyến tính giữa các điểm; đường hiệu chuẩn chỉ để tham khảo.",
    "The device goes straight from point to point; the line is for information.",
)
THROUGH = Text(
    "Gửi đến thiết bị qua máy chủ của trạm.",
    "Given to the device by the station's gateway.",
)
DAY = Text("Ngày ..... tháng ..... năm .........", "Date: ....................")
TECHNICIAN = Text("NGƯỜI THỰC HIỆN", "CARRIED OUT BY")
HEAD = Text("ĐẠI DIỆN CƠ SỞ", "FOR THE FACILITY")
SIGN = Text("(Ký, ghi rõ họ tên)", "(signature and name)")
