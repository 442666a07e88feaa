"""What may be missing before a station is handed over: (Vietnamese, English), by the keys of missing.py."""

from __future__ import annotations

MISSING: dict[str, tuple[str, str]] = {
    "missing_faults": ("Cấu hình có lỗi: {what}", "The configuration has a fault: {what}"),
    "missing_config": (
        "Chưa có tệp cấu hình của thiết bị (device/station.json).",
        "There is no configuration for the device (device/station.json).",
    ),
    "missing_config_differs": (
        "device/station.json không đúng với site.json: lập lại cấu hình và nạp lại.",
        "device/station.json is not what site.json describes: make it again and load it.",
    ),
    "missing_gateway": (
        "Chưa có tệp gateway.toml: chưa biết số liệu được chuyển vào thông số nào.",
        "There is no gateway.toml: nobody knows where the data go.",
    ),
    "missing_targets": (
        "Kênh đo chưa được gán vào thông số nào của gateway: {names}.",
        "Channels that no parameter of the gateway takes: {names}.",
    ),
    "missing_records": (
        "{count} dòng của records.jsonl sau lần kiểm tra gần nhất không đọc được: không rõ đã làm gì, cần "
        "kiểm tra lại (station test-io).",
        "Lines of records.jsonl behind the newest test that cannot be read: {count}. Nobody knows what was "
        "done, test again (station test-io).",
    ),
    "missing_scan": (
        "Chưa dò thiết bị đo trên đường truyền (station scan).",
        "The line was never scanned (station scan).",
    ),
    "missing_silent": (
        "Thiết bị đo ở địa chỉ {address} ({profile}) không trả lời khi dò.",
        "The instrument at address {address} ({profile}) did not answer the scan.",
    ),
    "missing_settings": (
        "Thiết bị đo ở địa chỉ {address} ({profile}) trả lời với {found}, đường truyền đặt {wanted}.",
        "The instrument at address {address} ({profile}) answers at {found}, the line is set to {wanted}.",
    ),
    "missing_profile": (
        "Địa chỉ {address}: cấu hình ghi {profile}, khi dò lại giống {found}.",
        "Address {address}: the site says {profile}, what answered looks like {found}.",
    ),
    "missing_strangers": (
        "Có thiết bị ngoài cấu hình trả lời trên đường truyền, địa chỉ {names}.",
        "Instruments answered that the site does not know, at address {names}.",
    ),
    "missing_flash": (
        "Chưa có biên bản nạp phần mềm cho thiết bị (station flash).",
        "No record that the device was flashed (station flash).",
    ),
    "missing_test": (
        "Chưa kiểm tra tín hiệu vào/ra từ lần nạp phần mềm gần nhất (station test-io).",
        "No test of inputs and outputs since the last flash (station test-io).",
    ),
    "missing_test_failed": ("Kiểm tra không đạt: {names}.", "Did not pass the test: {names}."),
    "missing_test_open": ("Chưa được kiểm tra: {names}.", "Not tested: {names}."),
    "missing_compare": (
        "Bảng thanh ghi của {profile} (địa chỉ {address}) có nguồn {mark}, không phải tài liệu của hãng: "
        "chưa so sánh với màn hình thiết bị đo (station test-io): {names}.",
        "The register map of {profile} (address {address}) has the mark {mark}, no maker vouches for it, and "
        "it was not compared with the instrument's display (station test-io asks): {names}.",
    ),
    "missing_never": ("Chưa hiệu chuẩn: {names}.", "Never calibrated: {names}."),
    "missing_overdue": ("Đã quá hạn hiệu chuẩn: {names}.", "Calibration is overdue: {names}."),
    "missing_drift": ("Độ trôi vượt giới hạn cho phép: {names}.", "Drift is beyond its limits: {names}."),
    "missing_expired": (
        "Chất chuẩn đã hết hạn chứng chỉ khi hiệu chuẩn: {names}.",
        "A standard's certificate had expired at the calibration of: {names}.",
    ),
    "missing_update": (
        "Bản cập nhật {version} chưa được thiết bị xác nhận.",
        "The device has not confirmed the update to {version}.",
    ),
    "missing_update_back": (
        "Thiết bị đã bỏ bản cập nhật {version}, quay về bản cũ: {why}",
        "The device took back the update to {version}: {why}",
    ),
    "missing_backup": (
        "Chưa sao lưu thiết bị từ lần thay đổi gần nhất (station backup).",
        "No backup of the device since the last change (station backup).",
    ),
    "missing_photo": ("Chưa có ảnh hiện trường (station photo).", "There is no photograph (station photo)."),
    "missing_file_missing": (
        "Tệp nêu trong hồ sơ không còn: {names}.",
        "Files that the records name are not there: {names}.",
    ),
    "missing_file_changed": (
        "Tệp đã bị thay đổi sau khi ghi hồ sơ (SHA-256 không khớp): {names}.",
        "Files were changed after they were recorded (another SHA-256): {names}.",
    ),
    "missing_file_outside": (
        "Tệp nêu trong hồ sơ nằm ngoài thư mục của trạm: {names}.",
        "Files that the records name lie outside the station's folder: {names}.",
    ),
    "missing_link_key": (
        "Không đọc được khóa kết nối (link.key).",
        "The link key (link.key) cannot be read.",
    ),
    "missing_seal": (
        "Chưa lập khóa niêm phong: kết quả đo không được niêm phong.",
        "No seal key was made: nothing that is measured is sealed.",
    ),
    "missing_seal_key": (
        "Khóa niêm phong vẫn còn trên máy này (device/seal.key): nạp vào thiết bị rồi xóa đi.",
        "The seal key is still on this computer (device/seal.key): hand it to the device and remove it.",
    ),
    "missing_update_key": (
        "Chưa có khóa kiểm tra bản cập nhật (device/update.pub): thiết bị sẽ không nhận bản cập nhật nào.",
        "There is no key for updates (device/update.pub): the device will take none.",
    ),
    "missing_no_answer": (
        "Thiết bị không trả lời qua {port}: {what}",
        "The device did not answer on {port}: {what}",
    ),
    "missing_live_id": (
        "Thiết bị tự xưng là {found}, không phải trạm này.",
        "The device calls itself {found}, which is not this station.",
    ),
    "missing_live_safe": (
        "Thiết bị đang ở chế độ an toàn: {why}",
        "The device is in safe mode: {why}",
    ),
    "missing_live_trial": (
        "Thiết bị đang chạy thử, chưa xác nhận: {what}",
        "The device still runs on trial: {what}",
    ),
    "missing_live_config": (
        "Thiết bị chạy cấu hình khác với device/station.json.",
        "The device runs another configuration than device/station.json.",
    ),
    "missing_live_calibration": (
        "Đường chuẩn trên thiết bị không phải của lần hiệu chuẩn mới nhất: {names}.",
        "The calibration in force on the device is not the newest on record: {names}.",
    ),
    "missing_live_lost": (
        "Thiết bị đo hiện không trả lời: {names}.",
        "Instruments that do not answer now: {names}.",
    ),
}
