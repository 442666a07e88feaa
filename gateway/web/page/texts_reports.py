"""What the page of the reports says: (Vietnamese, English). Data; see texts.py."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "nav_reports": ("Báo cáo", "Reports"),
    "reports": ("Báo cáo", "Reports"),
    "reports_help": (
        "Bản HTML để đọc, PDF để ký, XLSX và CSV để tính tiếp. Giữ {count} báo cáo mới nhất.",
        "HTML to read, PDF to sign, XLSX and CSV to work with. The newest {count} reports are kept.",
    ),
    "no_reports": ("Chưa có báo cáo nào.", "No report was made yet."),
    "report_period": ("Kỳ báo cáo", "Period"),
    "report_language": ("Ngôn ngữ", "Language"),
    "report_made": ("Lập lúc", "Made"),
    "report_files": ("Tệp", "Files"),
    "report_vi": ("Tiếng Việt", "Vietnamese"),
    "report_en": ("Tiếng Anh", "English"),
    "report_at_work": ("Đang lập", "Being made"),
    "report_waits": ("Đang chờ", "Waits"),
    "report_by": ("{period}, {language} (theo {who})", "{period}, {language} (asked for by {who})"),
    "report_refresh": (
        "Trang này tự tải lại mỗi {seconds} giây cho đến khi xong.",
        "This page loads itself again every {seconds} seconds until it is done.",
    ),
    "report_failed": ("Không lập được", "Could not be made"),
    "report_make": ("Lập báo cáo", "Make a report"),
    "report_other": ("hoặc kỳ khác (ví dụ 2026-03-25, 2026-03, 2026-Q1, 2026-H1, 2026)",
                     "or another (such as 2026-03-25, 2026-03, 2026-Q1, 2026-H1, 2026)"),
    "reports_unreadable": ("Không đọc được thư mục báo cáo: hãy kiểm tra ổ đĩa.",
                           "The folder of the reports cannot be read: look at the disk."),
    "did_report": ("yêu cầu lập báo cáo", "asked for a report"),
}  # fmt: skip
