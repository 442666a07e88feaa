"""What a notification of alerts says, in Vietnamese (first) and English. Pure data.

Rule 1: Vietnamese uses the words of the regulation (Thông tư 10/2021): thông số, kết quả quan trắc, giá trị
        giới hạn, thiết bị đo, hiệu chuẩn, báo lỗi.
Rule 2: both languages have all texts; a rule that nobody translated yet is told by its own name.
"""

from __future__ import annotations

Both = tuple[str, str]
"""(Vietnamese, English)"""

LANGUAGES = ("vi", "en")

RULES: dict[str, Both] = {
    "limit": ("vượt giới hạn", "limit exceeded"),
    "near": ("gần giá trị giới hạn", "near the limit"),
    "instrument fault": ("thiết bị đo báo lỗi", "instrument fault"),
    "channel interrupted": ("gián đoạn kết quả quan trắc", "no results"),
    "destination interrupted": ("gián đoạn truyền dữ liệu", "transmission interrupted"),
    "no data": ("không có số liệu", "no data"),
    "clock untrusted": ("thời gian chưa được đồng bộ", "clock untrusted"),
    "disk short": ("bộ nhớ lưu trữ sắp đầy", "disk short"),
    "log refused": ("nhật ký không được xác nhận", "log refused"),
    "calibration overdue": ("quá hạn hiệu chuẩn", "calibration overdue"),
    "door open": ("cửa trạm đang mở", "door open"),
    "mains lost": ("mất điện lưới", "mains lost"),
}
"""Every rule by which there are alerts; "limit" and "near" also with a span behind them."""

SPANS: dict[str, Both] = {
    "hour": ("trung bình giờ", "hourly mean"),
    "8 hours": ("trung bình 8 giờ", "mean of 8 hours"),
    "day": ("trung bình ngày", "daily mean"),
}

STATES: dict[str, Both] = {
    "raised": ("phát sinh", "raised"),
    "acknowledged": ("đã có người xác nhận", "acknowledged"),
    "escalated": ("CHƯA AI XỬ LÝ", "NOBODY ACTED"),
    "cleared": ("đã kết thúc", "over"),
    "past": ("phát hiện muộn", "found late"),
}

TEXTS: dict[str, Both] = {
    "alert": ("Cảnh báo", "Alert"),
    "alerts": ("{count} cảnh báo", "{count} alerts"),
    "joined": (
        "Thông báo này gộp {count} cảnh báo, theo thứ tự phát sinh.",
        "This notification joins {count} alerts, in their order.",
    ),
    "station": ("Trạm quan trắc", "Station"),
    "about": ("Đối tượng", "About"),
    "channel": ("Thông số", "Channel"),
    "state": ("Trạng thái", "State"),
    "value": ("Kết quả quan trắc", "Value"),
    "limit": ("Giá trị giới hạn", "Limit"),
    "warning": ("Ngưỡng cảnh báo sớm", "Warned beyond"),
    "short": ("giới hạn", "limit"),
    "basis": ("Căn cứ", "Basis"),
    "cause": ("Nguyên nhân", "Cause"),
    "since": ("Từ", "Since"),
    "until": ("Đến", "Until"),
    "window": ("Phiên quan trắc", "Window"),
    "begins": ("bắt đầu {at}", "beginning {at}"),
    "revision": ("lần tính {number}", "revision {number}"),
    "by": ("Người xác nhận", "Acknowledged by"),
    "note": ("Ghi chú", "Note"),
    "code": ("Mã cảnh báo", "Alert code"),
    "entry": ("mục {number} của nhật ký", "entry {number} of the log"),
    "footer": (
        "Thông báo tự động của bộ thu thập dữ liệu; xin không trả lời thư này.",
        "Sent by the station's data logger; nobody reads answers.",
    ),
}
