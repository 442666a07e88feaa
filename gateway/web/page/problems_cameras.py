"""What is wrong with cameras, in Vietnamese. Pure; the rules are problems.py's."""

from __future__ import annotations

_OF = {
    # gateway/camera/snapshot.py, store.py, keeper.py
    "It gave no picture within {} s.": "không cho ảnh trong {} giây.",
    "It did not answer in time ({} s).": "không trả lời trong {} giây.",
    "It cannot be reached: {}.": "không kết nối được: {}.",
    "What it gave is no picture. {}": "cái nhận được không phải là ảnh. {}",
    "It asks for a log-in that is neither Basic nor Digest.":
        "đòi cách đăng nhập không phải Basic hay Digest.",
    "It refuses user and password.": "từ chối user và mật khẩu.",
    "It asks for a user and a password.": "đòi user và mật khẩu.",
    "This user may not have its pictures (HTTP 403).": "user này không được xem ảnh (HTTP 403).",
    "There is no picture at its url (HTTP 404).": "không có ảnh ở url này (HTTP 404).",
    "It sends us elsewhere (HTTP {}), which is not followed: write the right url.":
        "chuyển hướng đi nơi khác (HTTP {}), không đi theo: hãy viết đúng url.",
    "It answers HTTP {} and no picture.": "trả lời HTTP {} và không có ảnh.",
    "Its password_file cannot be read: {}.": "không đọc được password_file: {}.",
    "Its password_file is no text.": "password_file không phải là văn bản.",
    "Its password_file holds no line that is a password.": "password_file không có dòng nào là mật khẩu.",
    "The disk is short: no pictures are kept until there is room.":
        "ổ đĩa sắp đầy: không lưu ảnh cho đến khi có chỗ.",
    "A picture cannot be kept: {}.": "không lưu được ảnh: {}.",
    # gateway/camera/onvif.py
    "By ONVIF it names no profile.": "theo ONVIF không có profile nào.",
    "By ONVIF it refuses user and password.": "theo ONVIF từ chối user và mật khẩu.",
    "By ONVIF it answers HTTP {}: is this its device service?":
        "theo ONVIF trả lời HTTP {}: url có phải là device service không?",
    "By ONVIF it does not say what time it is.": "theo ONVIF không cho biết giờ.",
    "By ONVIF it answers what is no plain XML.": "theo ONVIF trả lời không phải là XML thường.",
    "By ONVIF it does not say {}.": "theo ONVIF không cho biết {}.",
    "By ONVIF it names an address that is none.": "theo ONVIF cho địa chỉ không hợp lệ.",
    # gateway/camera/rtsp.py
    "Pictures of a stream need {}: install it (apt install {}).":
        "ảnh từ luồng RTSP cần {}: hãy cài đặt (apt install {}).",
    "It gave a picture of more than {} bytes.": "ảnh lớn hơn {} byte.",
    "It gave an answer larger than {} bytes.": "câu trả lời lớn hơn {} byte.",
    "Its stream gave no picture: look at url, user and password, and whether it is on.":
        "luồng RTSP không cho ảnh: xem lại url, user, mật khẩu, và camera có bật không.",
    "{}": "{}",  # whatever else, as it is
}  # fmt: skip
SENTENCES = {f"The camera {{}}: {english}": f"Camera {{}}: {said}" for english, said in _OF.items()}
