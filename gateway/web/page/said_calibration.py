"""What is answered to a record of a calibration, in Vietnamese. Pure; the rules are problems.py's."""

from __future__ import annotations

SENTENCES: dict[str, str] = {
    # gateway/calibration/desk.py
    "{}: the check is entered.": "{}: đã ghi kết quả kiểm tra.",
    "{}: the adjustment is entered.": "{}: đã ghi kết quả hiệu chỉnh thiết bị.",
    "{}: its readings are corrected from now on.": "{}: từ bây giờ kết quả đo được áp dụng hệ số hiệu chỉnh.",
    "{}: its readings are corrected no more.": "{}: từ bây giờ không áp dụng hệ số hiệu chỉnh nữa.",
    "Against a true instrument, zero drifted by {}, span ({}) by {}.":
        "So với thiết bị đúng: độ trôi điểm không {}, độ trôi điểm chuẩn ({}) {}.",
    "Against the record before it, zero drifted by {}, span ({}) by {}.":
        "So với lần hiệu chuẩn trước: độ trôi điểm không {}, độ trôi điểm chuẩn ({}) {}.",
    "No limit is set for its drift.": "Chưa đặt giới hạn cho độ trôi.",
    "This is within what is allowed: {}.": "Đạt, trong mức cho phép: {}.",
    "This is BEYOND what is allowed: {}.": "KHÔNG ĐẠT, vượt mức cho phép: {}.",
    "This is no record: it is not JSON.": "Đây không phải là kết quả hiệu chuẩn: không phải JSON.",
    "There is no picture {}... here: hand it over first.": "Chưa có ảnh {}...: hãy gửi ảnh trước.",
    "This calibration of {} is entered already.": "Lần hiệu chuẩn này của {} đã được ghi.",
    "Nothing is measured here: there is nothing to correct.": "Ở đây không đo gì: không có gì để hiệu chỉnh.",
    "{} is not corrected now.": "{} hiện không áp dụng hệ số hiệu chỉnh.",
    "The device did not take it: {}": "Thiết bị không nhận: {}",
    # gateway/calibration/correct.py
    "The readings change by {} where the reference changes by 1: between {} and {} is corrected, anything "
    "else is repaired.":
        "Kết quả thay đổi {} khi chất chuẩn thay đổi 1: chỉ hiệu chỉnh khi từ {} đến {}, ngoài khoảng đó "
        "phải sửa thiết bị.",
    "These readings give no correction ({}).": "Các kết quả này không cho hệ số hiệu chỉnh ({}).",
    "What is in force now has no inverse: give points by command instead.":
        "Đường chuẩn đang áp dụng không đảo ngược được: hãy gửi các điểm bằng lệnh.",
    # gateway/calibration/given.py
    "This is no record: write one JSON object with {}.":
        "Đây không phải là kết quả hiệu chuẩn: hãy viết một đối tượng JSON với {}.",
    "{} is not known here: write {}.": "Không biết {}: hãy viết {}.",
    "{} is no channel that is measured here: name one of {}.":
        "{} không phải là thông số được đo ở đây: hãy chọn {}.",
    "kind is {}: write {}.": "Hình thức (kind) là {}: hãy viết {}.",
    "photo is the SHA-256 of the picture, 64 signs of hex, or nothing.":
        "photo là SHA-256 của ảnh, 64 ký tự hex, hoặc để trống.",
    "{} is no line of text.": "{} không phải là một dòng chữ.",
    "{} is a line of {} to {} characters.": "{} là một dòng từ {} đến {} ký tự.",
    "at is {}: write when it was made as 2026-11-30T09:30, in GMT+7.":
        "Thời gian (at) là {}: hãy viết dạng 2026-11-30T09:30, giờ GMT+7.",
    "at is in the future: it is {} at the station.": "Thời gian (at) ở tương lai: ở trạm đang là {}.",
    "at is more than ten years ago: look at the year.": "Thời gian (at) cách đây hơn mười năm: xem lại năm.",
    "{} is {}, which is no number: write it as 12.5.": "{} là {}, không phải là số: hãy viết dạng 12.5.",
    "points are {} to {}: reference, before, after.": "Cần {} đến {} điểm chuẩn: reference, before, after.",
    "Point {} is not reference, before and after.": "Điểm {} không gồm reference, before và after.",
    "All points are of {}: a line needs two that differ.":
        "Mọi điểm chuẩn đều là {}: cần hai điểm khác nhau.",
    "With {} there is no after: it follows from the correction.":
        "Với {} không ghi after: giá trị đó được tính từ hệ số hiệu chỉnh.",
    "After an adjustment each point is read again: after is missing at {}.":
        "Sau khi hiệu chỉnh phải đo lại từng điểm: thiếu after ở điểm {}.",
    "after stands at all points, or at none.": "after phải có ở mọi điểm, hoặc không có ở điểm nào.",
    "certificate is missing: number, value, uncertainty, valid_until of the standard.":
        "Thiếu chứng chỉ chất chuẩn: number, value, uncertainty, valid_until.",
    "The certificate's uncertainty is below 0.": "Độ không đảm bảo đo của chứng chỉ nhỏ hơn 0.",
    "The certificate's valid_until is {}: write a day, 2027-05-01.":
        "Hạn của chứng chỉ là {}: hãy viết ngày, dạng 2027-05-01.",
    "The certificate {} ended on {}, before {}: a standard without a valid certificate shows nothing.":
        "Chứng chỉ {} hết hạn ngày {}, trước {}: chất chuẩn không có chứng chỉ còn hạn thì không dùng được.",
}  # fmt: skip
