"""What the page of the configuration says: (Vietnamese, English). Data; see texts.py."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "configuration": ("Cấu hình", "Configuration"),
    "config_unconfirmed": ("Cấu hình mới chưa được xác nhận", "The new configuration is not confirmed"),
    "config_unconfirmed_help": (
        "Cấu hình của {who} đang chạy thử. Không ai xác nhận trong {minutes} phút thì cấu hình cũ trở lại.",
        "The configuration of {who} is tried. When nobody confirms it within {minutes} minutes, that of "
        "before comes back.",
    ),
    "config_confirm": ("Xác nhận", "Confirm it"),
    "config_back": ("Trở lại cấu hình cũ", "Go back to that of before"),
    "config_edited": ("Tệp cấu hình khác với cấu hình đang chạy", "The file is not what runs"),
    "config_apply_file": ("Áp dụng tệp này", "Apply the file"),
    "config_write": ("Ghi lại cấu hình đang chạy vào tệp", "Write what runs into the file"),
    "config_applied": (
        "Cấu hình mới đang được áp dụng: gateway khởi động lại, mất vài giây. Nếu không ai xác nhận, "
        "cấu hình cũ trở lại.",
        "The new configuration is being applied: the gateway restarts, which takes some seconds. When nobody "
        "confirms it, that of before comes back.",
    ),
    "config_to_confirm": ("Đăng nhập lại để xác nhận", "Log in again, to confirm it"),
    "config_found": ("Lỗi", "Faults"),
    "config_warnings": ("Cần xem lại", "To be looked at"),
    "config_differences": ("Thay đổi so với cấu hình đang chạy", "What differs from what runs"),
    "config_setting": ("Mục", "Setting"),
    "config_old": ("Đang chạy", "Runs"),
    "config_new": ("Mới", "New"),
    "config_same": (
        "Không có gì khác ngoài chú thích và khoảng trắng.",
        "Nothing but comments and spaces differs.",
    ),
    "config_means": ("Hệ quả", "What it means"),
    "config_help": (
        "Kiểm tra trước; chưa có gì thay đổi cho đến khi áp dụng. Sau khi áp dụng, gateway khởi động lại: "
        "hãy đăng nhập lại và xác nhận tại đây.",
        "Check it first; nothing changes until it is applied. Then the gateway restarts: log in again, and "
        "confirm it here.",
    ),
    "config_check": ("Kiểm tra", "Check"),
    "config_minutes": ("Phải xác nhận trong (phút)", "To be confirmed within (minutes)"),
    "config_apply": ("Áp dụng", "Apply"),
}
