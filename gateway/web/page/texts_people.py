"""What the door and the pages of people say: (Vietnamese, English). Data; see texts.py."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "account": ("Tên đăng nhập", "Name"),
    "password": ("Mật khẩu", "Password"),
    "login_wrong": (
        "Tên hoặc mật khẩu không đúng. Có thể thử lại sau {seconds} giây.",
        "Wrong name or password. You may try again in {seconds} s.",
    ),
    "login_wait": (
        "Chưa được thử lại: hãy chờ {seconds} giây.",
        "Not yet: wait {seconds} s, then try again.",
    ),
    "login_help": (
        "Quên mật khẩu? Người quản trị đặt mật khẩu mới ở trang Người dùng, hoặc trên máy của trạm bằng "
        "`quantrac gateway people password`.",
        "Forgotten? An administrator makes a new one on the page People, or at the machine with "
        "`quantrac gateway people password`.",
    ),
    "refused": ("Không được phép", "Not allowed"),
    "password_old": ("Mật khẩu hiện tại", "Present password"),
    "password_new": ("Mật khẩu mới", "New password"),
    "password_again": ("Mật khẩu mới, lần nữa", "New password, again"),
    "password_change": ("Đổi mật khẩu", "Change the password"),
    "password_help": (
        "Ít nhất {least} ký tự; một câu ngắn dễ nhớ là tốt nhất.",
        "At least {least} characters; a short sentence is a good one.",
    ),
    "once": ("Mật khẩu này chỉ hiện một lần", "This password is shown only now"),
    "once_help": (
        "Hãy trao tận tay; người dùng tự đổi sau khi đăng nhập.",
        "Hand it over in person; whoever has it changes it after the first log-in.",
    ),
    "role": ("Vai trò", "Role"),
    "inside": ("Đang đăng nhập", "Logged in"),
    "change": ("Thay đổi", "Change"),
    "role_change": ("Đổi vai trò", "Change the role"),
    "password_make": ("Đặt mật khẩu mới", "Make a new password"),
    "remove": ("Xóa", "Remove"),
    "remove_help": (
        "Việc xóa được ghi vĩnh viễn trong nhật ký.",
        "That it was removed stays in the log for ever.",
    ),
    "changed_by": ("Người thay đổi gần nhất", "Changed last by"),
    "person_add": ("Thêm người dùng", "Add a person"),
    "person_help": (
        "Tài khoản cán bộ kiểm tra được lập khi nghiệm thu trạm, có mặt cán bộ đó.",
        "The inspector's account is made at commissioning, with the inspector beside you.",
    ),
    "did_refused": ("không được", "not done"),
    "did_log in": ("đăng nhập", "logged in"),
    "did_log out": ("đăng xuất", "logged out"),
    "did_own password": ("đổi mật khẩu của mình", "changed the own password"),
    "did_people": ("thay đổi người dùng", "changed who may log in"),
    "did_mark": ("đặt trạng thái thiết bị đo", "set an instrument's state"),
    "did_acknowledge": ("xác nhận cảnh báo", "acknowledged an alert"),
    "did_release": ("gửi lại tài liệu", "released documents"),
    "did_sample": ("lấy mẫu", "took a sample"),
    "did_carousel": ("thay chai mẫu", "emptied the carousel"),
    "did_pause": ("tạm dừng gửi", "paused a destination"),
    "did_resume": ("cho gửi tiếp", "resumed a destination"),
    "did_calibrate": ("ghi kết quả hiệu chuẩn", "entered a calibration"),
    "did_configure": ("thay đổi cấu hình", "changed the configuration"),
    "did_park": ("giữ lại tài liệu", "parked documents"),
}
