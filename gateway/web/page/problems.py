"""The status' sentences in Vietnamese. Pure.

The status says what is wrong in English (status.py, conditions.py, notices.py ...); the operator reads
Vietnamese. So each of its sentences has one here: {} stands for what differs, in the same order, and {0} for
the first of them where Vietnamese puts it elsewhere.

Rule 1: a sentence that nobody translated is shown as it is: never nothing.
Rule 2: tests/gateway/test_page_problems.py looks through the sources for sentences without one.
"""

from __future__ import annotations

import re

from gateway.web.page import problems_cameras

SENTENCES: dict[str, str] = {
    "The journal cannot store: {}": "Không ghi được nhật ký: {}",
    "The clock is behind the newest entry of the journal: set it, or give it a time server.":
        "Đồng hồ chậm hơn mục mới nhất của nhật ký: hãy chỉnh giờ hoặc cấu hình máy chủ thời gian.",
    "No time server keeps the clock right any more: look at `chronyc tracking` and the network.":
        "Đồng hồ không còn được máy chủ thời gian hiệu chỉnh: kiểm tra `chronyc tracking` và mạng.",
    "The disk has {} MiB left: make room, or nothing can be stored any more.":
        "Ổ đĩa chỉ còn {} MiB: hãy giải phóng chỗ, nếu không sẽ không lưu được số liệu.",
    "The configuration of {} is not confirmed: in {} minutes that of before comes back. Confirm it: {}":
        "Cấu hình của {} chưa được xác nhận: sau {} phút cấu hình cũ trở lại. Xác nhận: {}",
    "{} was changed by hand and does not run: {} apply, or cancel, which writes what runs.":
        "{} đã bị sửa bằng tay và chưa chạy: {} apply, hoặc cancel để ghi lại cấu hình đang chạy.",
    "{} is not what runs, and has {} faults, the first: {} What runs is written by: {}":
        "{} khác với cấu hình đang chạy và có {} lỗi, lỗi đầu: {} Ghi lại cấu hình đang chạy: {}",
    "The configuration's file cannot be looked after: {}":
        "Không theo dõi được tệp cấu hình: {}",
    "Readings of {} are in no average: their time is not credible. Compare the clocks of the device "
    "and the gateway.":
        "Số liệu {} không vào được giá trị trung bình vì thời gian không đáng tin: so đồng hồ của thiết "
        "bị và gateway.",
    "Frames that name the device {} have a wrong tag: compare its key with its key_file.":
        "Bản tin mang tên thiết bị {} sai mã xác thực: so khóa của thiết bị với key_file.",
    "The device {} is not connected: check its power and its cable.":
        "Thiết bị {} chưa kết nối: kiểm tra nguồn điện và cáp.",
    "The bus {} is down: {}.": "Đường truyền {} bị ngắt: {}.",
    "On the bus {} unit {} does not answer.": "Trên đường truyền {}, thiết bị số {} không trả lời.",
    "{} documents wait for {}, which the configuration no longer has: give a destination that id again.":
        "{} tài liệu chờ gửi đến {}, nơi nhận không còn trong cấu hình: hãy đặt lại nơi nhận với mã đó.",
    "The destination {} refuses us: {}": "Nơi nhận {} từ chối trạm: {}",
    "The destination {} is {} minutes behind and catches up: {}, about {} hours.":
        "Nơi nhận {} chậm {} phút và đang gửi bù: {}, khoảng {} giờ.",
    "The destination {} is {} minutes behind and catches up: {}, about {} minutes.":
        "Nơi nhận {} chậm {} phút và đang gửi bù: {}, khoảng {} phút.",
    "The destination {} is {} minutes behind and catches up: {}, about {} minute.":
        "Nơi nhận {} chậm {} phút và đang gửi bù: {}, khoảng {} phút.",
    "The destination {} is {} minutes behind and takes less than comes: {} wait.":
        "Nơi nhận {} chậm {} phút và nhận chậm hơn số liệu mới: {} đang chờ.",
    "The destination {} is {} minutes behind: {}": "Nơi nhận {} chậm {} phút: {}",
    "The destination {} is {} minutes behind.": "Nơi nhận {} chậm {} phút.",
    "The destination {} is away: {}": "Không kết nối được nơi nhận {}: {}",
    "{} documents for {} are parked: look at `quantrac gateway parked`.":
        "{} tài liệu gửi đến {} đang bị giữ lại: xem trang Nơi nhận hoặc `quantrac gateway parked`.",
    "The witness {} holds another history of this log: {}":
        "Bên chứng kiến {} giữ một lịch sử khác của nhật ký này: {}",
    "The witness {} refuses us: {}": "Bên chứng kiến {} từ chối trạm: {}",
    "The witness {} has cosigned nothing for {} minutes: {}":
        "Bên chứng kiến {} không ký xác nhận trong {} phút: {}",
    "The witness {} has cosigned nothing for {} minutes.":
        "Bên chứng kiến {} không ký xác nhận trong {} phút.",
    "Nothing is sent to {} until somebody resumes it: paused by {} ({}).":
        "Không gửi gì đến {} cho đến khi có người cho gửi tiếp: {} đã tạm dừng ({}).",
    "Nothing old can be pruned: {}": "Không xóa được số liệu gốc đã quá hạn lưu: {}",
    "The disk will hold {} days of readings at the present rate, and {} must be kept: give it more room, "
    "or the journal cannot store in {} days.":
        "Với tốc độ hiện nay, ổ đĩa chỉ chứa được {} ngày số liệu, trong khi phải lưu {} ngày: hãy thêm "
        "dung lượng, "
        "nếu không sau {} ngày sẽ không ghi được nữa.",
    "The disk will be full in {} days, with {} days of readings: give it more room, or set "
    "retention_days to {} "
    "(it is {}).":
        "Ổ đĩa sẽ đầy sau {} ngày, khi đó chứa {} ngày số liệu: hãy thêm dung lượng, hoặc đặt "
        "retention_days là {} "
        "(hiện là {}).",
    "The {} {} has been interrupted for {} hours ({}): complete the notice in {}, and send it.":
        "{1} bị gián đoạn {2} giờ ({3}): hãy hoàn thiện thông báo trong {4} và gửi đi.",
    "No {} are sent: {}. Start the gateway again; if that does not help, report it.":
        "Không gửi được {}: {}. Hãy khởi động lại gateway; nếu vẫn lỗi, báo cho nhà cung cấp.",
    "The page's certificate ends in {} days: start the gateway again, it makes another one.":
        "Chứng chỉ của trang hết hạn sau {} ngày: hãy khởi động lại gateway để tạo chứng chỉ mới.",
    "The page's certificate ends in {} days: put a new one into cert_file.":
        "Chứng chỉ của trang hết hạn sau {} ngày: hãy đặt chứng chỉ mới vào cert_file.",
    "The page's certificate has ended: start the gateway again, it makes another one.":
        "Chứng chỉ của trang đã hết hạn: hãy khởi động lại gateway để tạo chứng chỉ mới.",
    "The page's certificate has ended: put a new one into cert_file.":
        "Chứng chỉ của trang đã hết hạn: hãy đặt chứng chỉ mới vào cert_file.",
    "Commands of the department cannot come by {}: {}": "Lệnh của Sở không đến được qua {}: {}",
    "The sampler has no empty bottle: all {} are used. Put empty ones in.":
        "Máy lấy mẫu hết chai trống: cả {} chai đã dùng. Hãy thay chai mới.",
    "{} Those of before may log in.": "{} Danh sách người dùng trước đó vẫn có hiệu lực.",
    "{} was calibrated {} days ago: {} are allowed.": "{} đã hiệu chuẩn cách đây {} ngày; cho phép {} ngày.",
    "{} has no calibration in this journal, begun {} days ago: {} are allowed.":
        "{} chưa có lần hiệu chuẩn nào trong nhật ký, bắt đầu từ {} ngày trước; cho phép {} ngày.",
}  # fmt: skip
_HOLE = re.compile(r"\{\}")


class Table:
    """Sentences and their Vietnamese."""

    def __init__(self, sentences: dict[str, str]):
        self._known = [(_pattern(english), vietnamese) for english, vietnamese in sentences.items()]

    def of(self, sentence: str) -> str:
        """As it is where it has none (rule 1)."""
        for pattern, vietnamese in self._known:
            found = pattern.fullmatch(sentence)
            if found is not None:
                return vietnamese.format(*found.groups())
        return sentence


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(re.escape(part) for part in _HOLE.split(sentence)), re.DOTALL)


_TABLE = Table(SENTENCES | problems_cameras.SENTENCES)


def in_vietnamese(sentence: str) -> str:
    """A sentence of the status in Vietnamese."""
    return _TABLE.of(sentence)
