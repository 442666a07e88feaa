"""What the gateway answers to what people do at the page, in Vietnamese. Pure; the rules are problems.py's.

The same sentences answer the command line, in English (app.py, parked.py, alert_people.py, accounts.py).
Each line of an answer is a sentence of its own.
"""

from __future__ import annotations

from gateway.web.page import said_calibration
from gateway.web.page.problems import Table

SENTENCES: dict[str, str] = {
    # mark, acknowledge
    "{} is measuring again, as {} says.": "{} đang đo trở lại (theo {}).",
    "{}: calibrating until {}, as {} says; then it ends by itself.":
        "{}: đang hiệu chuẩn đến {} (theo {}), sau đó tự kết thúc.",
    "{}: maintenance until {}, as {} says; then it ends by itself.":
        "{}: đang bảo trì đến {} (theo {}), sau đó tự kết thúc.",
    "There is no channel '{}'. Name one of: {}.": "Không có thông số '{}'. Hãy chọn: {}.",
    "{} minutes are no time for that: {} days are the most.": "{} phút là không hợp lệ: tối đa {} ngày.",
    "{} is acknowledged by {}.": "{} đã được {} xác nhận.",
    "No alert '{}' is raised: there are {}.": "Không có cảnh báo '{}' đang mở: hiện có {}.",
    "No alert '{}' is raised: there is none.": "Không có cảnh báo '{}' đang mở.",
    "'{}' may be {}: name one of them.": "'{}' có thể là {}: hãy chọn một.",
    # documents
    "1 document waits to be sent again.": "1 tài liệu chờ gửi lại.",
    "{} documents wait to be sent again.": "{} tài liệu chờ gửi lại.",
    "{} documents wait to be sent again. There may be more: give it once more.":
        "{} tài liệu chờ gửi lại. Có thể còn nữa: hãy làm lại lần nữa.",
    "1 document is parked.": "1 tài liệu đã được giữ lại.",
    "{} documents are parked.": "{} tài liệu đã được giữ lại.",
    "No document for {} is parked.": "Không có tài liệu gửi đến {} nào bị giữ lại.",
    "Documents are named by numbers.": "Tài liệu được gọi bằng số.",
    "No document is named.": "Chưa chọn tài liệu nào.",
    "There is no destination '{}': there are {}.": "Không có nơi nhận '{}': hiện có {}.",
    "{} is paused already.": "{} đã tạm dừng rồi.",
    "{} is not paused.": "{} không bị tạm dừng.",
    "{} is paused: what comes for it waits until somebody resumes it.":
        "{} đã tạm dừng: tài liệu mới sẽ chờ đến khi có người cho gửi tiếp.",
    "{} goes on, the oldest first.": "{} tiếp tục nhận, cũ trước mới sau.",
    # the sampler
    "The sampler fills a bottle, as {} says; what came of it stands in the log.":
        "Máy lấy mẫu đang lấy một chai (theo {}); kết quả được ghi trong nhật ký.",
    "The sampler fills {} bottles, as {} says; what came of it stands in the log.":
        "Máy lấy mẫu đang lấy {} chai (theo {}); kết quả được ghi trong nhật ký.",
    "The carousel is empty, as {} says; {} bottles were taken out.":
        "Khay chai đã được thay (theo {}); đã lấy ra {} chai.",
    "No sampler is configured: see [sampler].": "Chưa cấu hình máy lấy mẫu: xem [sampler].",
    "The sampler is at work: ask again when it is done.":
        "Máy lấy mẫu đang làm việc: hãy yêu cầu lại khi xong.",
    "The sampler is at work: wait until it is done.": "Máy lấy mẫu đang làm việc: hãy chờ đến khi xong.",
    "{} of {} bottles are used: empty the carousel and say so (quantrac gateway sample CONFIG --emptied).":
        "Đã dùng {} trên {} chai: hãy thay chai rồi báo lại (quantrac gateway sample CONFIG --emptied).",
    # forms
    "'{}' is missing: write it.": "Thiếu '{}': hãy nhập.",
    "'{}' is a line of at most {} characters.": "'{}' là một dòng tối đa {} ký tự.",
    "'{}' is one of {}.": "'{}' là một trong: {}.",
    "'{}' is a whole number from 1 to {}.": "'{}' là số nguyên từ 1 đến {}.",
    "It failed by a mistake in this program: see its log.":
        "Không thực hiện được do lỗi chương trình: xem nhật ký của chương trình.",
    # reports
    "The report {} ({}) is being made: it will stand here when it is whole.":
        "Báo cáo {} ({}) đang được lập: khi xong sẽ hiện ở đây.",
    "The report {} ({}) is being made already.": "Báo cáo {} ({}) đang được lập rồi.",
    "{} reports wait already: ask again when one of them is there.":
        "Đã có {} báo cáo đang chờ: hãy yêu cầu lại khi một báo cáo xong.",
    "The name of a period is shorter: write 2026-03, 2026-Q1, 2026-H1 or 2026.":
        "Tên kỳ báo cáo ngắn hơn: hãy viết 2026-03, 2026-Q1, 2026-H1 hoặc 2026.",
    "No period is named.": "Chưa chọn kỳ báo cáo.",
    "The period {} has not begun.": "Kỳ báo cáo {} chưa bắt đầu.",
    "'{}' is no period: there is no such day.": "'{}' không phải là kỳ báo cáo: không có ngày đó.",
    "'{}' is no period: there is no month {}.": "'{}' không phải là kỳ báo cáo: không có tháng {}.",
    "'{}' is no period: write {}.":
        "'{}' không phải là kỳ báo cáo: hãy viết 2026-03-25 (ngày), 2026-03 (tháng), 2026-Q1 (quý), 2026-H1 "
        "(nửa năm) hoặc 2026 (năm).",
    "The journal holds no windows from {} to {}: ask for a period in which the station measured.":
        "Nhật ký không có kết quả quan trắc từ {} đến {}: hãy chọn kỳ mà trạm có đo.",
    "The disk has no room for a report: it is kept for the journal.":
        "Ổ đĩa không còn chỗ cho báo cáo: chỗ trống dành cho nhật ký.",
    "The report cannot be stored: {}.": "Không lưu được báo cáo: {}.",
    "The report has more than {} MB: ask for a shorter period.":
        "Báo cáo lớn hơn {} MB: hãy chọn kỳ ngắn hơn.",
    "It took more than {} minutes and was ended: ask for a shorter period, or use `quantrac report` at the "
    "machine.":
        "Quá {} phút nên đã bị dừng: hãy chọn kỳ ngắn hơn, hoặc dùng `quantrac report` trên máy của trạm.",
    "The system ended it (signal {}): is the memory too small?":
        "Hệ thống đã dừng việc lập báo cáo (tín hiệu {}): có thể thiếu bộ nhớ.",
    # the door
    "The role {} may not: {}.": "Vai trò {} không được phép: {}.",
    "This form is not of your session: open the page again, and send it once more.":
        "Biểu mẫu này không thuộc phiên làm việc của bạn: hãy mở lại trang và gửi lại.",
    "This form came from another site's page.": "Biểu mẫu này đến từ trang của nơi khác.",
    "This is no form.": "Đây không phải là biểu mẫu.",
    "The form did not come.": "Không nhận được biểu mẫu.",
    "This is more than {} bytes.": "Lớn hơn {} byte.",
    "A form is sent as {}.": "Biểu mẫu được gửi dạng {}.",
    # people
    "{} may log in with the password below.": "{} đăng nhập được bằng mật khẩu dưới đây.",
    "{} may log in no more.": "{} không đăng nhập được nữa.",
    "{} has the role {} from now on.": "Từ bây giờ {} có vai trò {}.",
    "Ask another administrator: nobody changes his own role or removes himself.":
        "Hãy nhờ người quản trị khác: không ai tự đổi vai trò hay tự xóa mình.",
    "There is a '{}' already: change role or password instead.":
        "Đã có '{}': hãy đổi vai trò hoặc mật khẩu.",
    "There is nobody called '{}'. There is: {}.": "Không có ai tên '{}'. Hiện có: {}.",
    "{}: a name has 1 to 32 small letters, digits, dots, hyphens and underscores, such as 'lan' or "
    "'tran.van.an'.":
        "{}: tên gồm 1 đến 32 chữ thường không dấu, số, dấu chấm, gạch nối, gạch dưới, ví dụ 'lan' hoặc "
        "'tran.van.an'.",
    "{}: a role is one of {}.": "{}: vai trò là một trong: {}.",
    "{} people are the most: remove those who left.": "Tối đa {} người: hãy xóa người đã nghỉ.",
    "The list of people cannot be written: {}.": "Không ghi được danh sách người dùng: {}.",
    "Wrong name or password; the next attempt in {} s.":
        "Tên hoặc mật khẩu không đúng; được thử lại sau {} giây.",
    # the configuration
    "The configuration is confirmed, as {} says.": "Cấu hình đã được xác nhận (theo {}).",
    "The configuration of before is in place again; the gateway restarts with it now.":
        "Cấu hình cũ đã trở lại; gateway đang khởi động lại với cấu hình đó.",
    "The gateway restarts with it now. Confirm it within {} minutes, or that of before comes back: {}":
        "Gateway đang khởi động lại. Hãy xác nhận trong {} phút, nếu không cấu hình cũ trở lại: {}",
    "That is what runs: there is nothing to apply.": "Đó là cấu hình đang chạy: không có gì để áp dụng.",
    "No change waits for being confirmed.": "Không có thay đổi nào chờ xác nhận.",
    "There is nothing to cancel: the file is what runs.": "Không có gì để hủy: tệp là cấu hình đang chạy.",
    "Nothing was changed: it has 1 fault.": "Chưa có gì thay đổi: có 1 lỗi.",
    "Nothing was changed: it has {} faults.": "Chưa có gì thay đổi: có {} lỗi.",
    "{} is what runs again; what stood there is kept as {}.":
        "{} lại là cấu hình đang chạy; nội dung trước đó được giữ ở {}.",
    "The gateway is about to restart: ask again in a few seconds.":
        "Gateway sắp khởi động lại: hãy thử lại sau vài giây.",
    # one's own password
    "Your password is another one now.": "Đã đổi mật khẩu của bạn.",
    "The old password is wrong. Try again in {} s.": "Mật khẩu hiện tại không đúng. Thử lại sau {} giây.",
    "Too many attempts. Try again in {} s.": "Thử quá nhiều lần. Thử lại sau {} giây.",
    "The new password is not twice the same.": "Hai lần nhập mật khẩu mới không giống nhau.",
    "A password has {} to {} characters: a short sentence is a good one.":
        "Mật khẩu dài {} đến {} ký tự: một câu ngắn là tốt nhất.",
    "A password is one line, without characters that nobody sees.":
        "Mật khẩu là một dòng, không có ký tự ẩn.",
    "The same few characters are soon guessed: write a short sentence.":
        "Vài ký tự lặp lại rất dễ đoán: hãy viết một câu ngắn.",
    "The password holds the name of its owner: write another.":
        "Mật khẩu chứa tên của người dùng: hãy chọn mật khẩu khác.",
}  # fmt: skip

_TABLE = Table(SENTENCES | said_calibration.SENTENCES)


def in_vietnamese(said: str) -> str:
    """An answer, line by line; what has no Vietnamese as it is."""
    return "\n".join(map(_TABLE.of, said.split("\n")))
