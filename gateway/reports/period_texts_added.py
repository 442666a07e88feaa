"""Words of the sections that only some stations' reports have, for period_words.TEXTS."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "loads": ("Tải lượng ô nhiễm", "Loads"),
    "loads_note": (
        "Tải lượng = lưu lượng ({flow}) x nồng độ, cộng từng phiên mà cả hai đều hợp lệ (trạng thái 00). "
        "Thời gian không có số liệu hợp lệ không được tính và không được bù bằng giá trị nào.",
        "Load = flow ({flow}) x concentration, summed over the windows in which both are valid (status 00). "
        "Time without valid data is not in it, and nothing stands in for it.",
    ),
    "normal_note": (
        "Thể tích ở điều kiện tiêu chuẩn (25 °C, 760 mmHg).",
        "Volumes are at standard conditions (25 °C, 760 mmHg).",
    ),
    "flow_unknown": (
        "Chưa tính được tải lượng: có nhiều kênh lưu lượng ({flows}). Ghi kênh cần dùng vào [fees] flow.",
        "No load is computed: several channels measure a flow ({flows}). Name one in [fees] flow.",
    ),
    "flow_refused": (
        "Chưa tính được tải lượng: đơn vị '{unit}' của {flow} không phải là đơn vị lưu lượng.",
        "No load is computed: '{unit}', the unit of {flow}, is none of a flow.",
    ),
    "load_refused": (
        "Không tính tải lượng cho {symbols}: đơn vị không cùng trạng thái khí với lưu lượng ({unit}).",
        "No load for {symbols}: their unit is of another state of the gas than the flow's ({unit}).",
    ),
    "load": ("Tải lượng (kg)", "Load (kg)"),
    "volume": ("Lưu lượng (m³)", "Volume (m³)"),
    "covered": ("Thời gian có số liệu", "Time covered"),
    "uncovered_hours": ("Giờ không có số liệu", "Hours not covered"),
    "whole": ("cả kỳ", "whole period"),
    "loads_month": ("Theo tháng", "By month"),
    "loads_day": ("Theo ngày (kg)", "By day (kg)"),
    "day_note": (
        "* một phần của ngày không có số liệu hợp lệ; – không có số liệu hợp lệ.",
        "* a part of the day is not covered; – nothing of it.",
    ),
    "days_elsewhere": (
        "Tải lượng từng ngày có trong tệp loads.csv và report.xlsx.",
        "The loads of each day are in loads.csv and report.xlsx.",
    ),
    "sheet_loads_month": ("Tải lượng theo tháng", "Loads by month"),
    "sheet_loads_day": ("Tải lượng theo ngày", "Loads by day"),
    "sheet_gaps": ("Tải lượng, giờ thiếu số liệu", "Loads, time not covered"),
    "gaps": ("Thời gian không có số liệu hợp lệ", "Time not covered"),
    "gaps_long": (
        "Từ một giờ trở lên (tất cả có trong report.xlsx)",
        "An hour and longer (all of them are in report.xlsx)",
    ),
    "other_reasons": ("các lý do khác, mỗi lý do dưới một giờ", "other reasons, each below an hour"),
    "always_missing": ("Thiếu trong mọi ngày: {what}.", "Missing on every day: {what}."),
    "no_window": ("không có phiên", "no window"),
    "fees": ("Dự thảo tờ khai phí", "Draft of the fee's declaration"),
    "fees_note": (
        "Dự thảo để người khai kiểm tra; phí chỉ tính trên phần thời gian có số liệu hợp lệ. Các khoản giảm "
        "trừ chưa được tính.",
        "A draft for the person who declares; the fee is only of the time that is covered by valid data. "
        "Reductions are not computed.",
    ),
    "fees_quarter": (
        "Phí được tính theo quý: kỳ báo cáo này không chứa trọn quý nào.",
        "The fee is computed by quarters, and this period holds none as a whole.",
    ),
    "fees_kind": (
        "Loại hình quan trắc này không có dự thảo phí.",
        "There is no draft of a fee for what is monitored here.",
    ),
    "decree": ("Căn cứ", "Decree"),
    "declared_by": ("Hạn kê khai", "To be declared by"),
    "rate": ("Mức phí (đ/kg)", "Rate (đ/kg)"),
    "fee": ("Phí (đ)", "Fee (đ)"),
    "fixed_fee": ("Phí cố định (đ)", "Fixed fee (đ)"),
    "total_fee": ("Tổng phí (đ)", "Total (đ)"),
    "no_total": ("chưa tính được", "cannot be computed"),
    "no_rates": (
        "Chưa có mức phí ([fees] rates): chưa tính được phí.",
        "No rates are configured ([fees] rates): the fee cannot be computed.",
    ),
    "flat_fee": ("tính theo thể tích, không theo quan trắc", "by volume, without monitoring"),
    "air_index": ("Chỉ số chất lượng không khí (VN_AQI)", "Air quality index (VN_AQI)"),
    "water_index": ("Chỉ số chất lượng nước (VN_WQI)", "Water quality index (VN_WQI)"),
    "air_note": (
        "Theo Quyết định 1459/QĐ-TCMT, từ trung bình giờ hợp lệ. VN_AQI giờ có trong tệp report.xlsx và "
        "aqi_hours.csv. Không dùng số liệu trước kỳ báo cáo.",
        "By Quyết định 1459/QĐ-TCMT, from valid hour means. The VN_AQI of each hour is in report.xlsx and "
        "aqi_hours.csv. Data before the period are not used.",
    ),
    "water_note": (
        "Theo Quyết định 1460/QĐ-TCMT, từ trung bình ngày hợp lệ; N và P tính theo N, P. Giá trị trong ngoặc "
        "chỉ để tham khảo: chưa đủ nhóm thông số theo quy định.",
        "By Quyết định 1460/QĐ-TCMT, from valid day means; nitrogen as N, phosphorus as P. Figures in "
        "brackets are indicative: there are fewer groups of parameters than the decision asks for.",
    ),
    "index": ("Chỉ số", "Index"),
    "index_day": ("VN_AQI ngày", "Daily VN_AQI"),
    "index_hour": ("VN_AQI giờ", "Hourly VN_AQI"),
    "index_water": ("VN_WQI ngày", "VN_WQI by day"),
    "deciding": ("Thông số quyết định", "Deciding parameter"),
    "class": ("Mức", "Class"),
    "colour": ("Màu", "Colour"),
    "advice": ("Khuyến cáo", "Advice"),
    "use": ("Mức độ sử dụng", "Use"),
    "health": ("Ảnh hưởng sức khỏe", "Health"),
    "everybody": ("Người bình thường", "Everybody"),
    "sensitive": ("Người nhạy cảm", "Sensitive people"),
    "lacking": ("Còn thiếu", "Missing"),
    "classes": ("Các mức trong kỳ", "Classes in the period"),
    "days_count": ("Số ngày", "Days"),
    "no_index": ("không có chỉ số", "no index"),
    "mapped": ("Kênh được dùng: {channels}.", "Channels in use: {channels}."),
    "not_mapped": ("Kênh không được dùng: {channels}.", "Channels not in use: {channels}."),
    "not_parameter": ("{symbol} (không thuộc chỉ số)", "{symbol} (not part of the index)"),
    "not_unit": (
        "{symbol} (đơn vị '{unit}' không quy đổi được)",
        "{symbol} (its unit '{unit}' cannot be converted)",
    ),
    "not_again": (
        "{symbol} (đã có kênh khác cho thông số này)",
        "{symbol} (another channel is this parameter)",
    ),
    "qal3": ("Kiểm soát chất lượng thiết bị đo (QAL3)", "Quality of the instruments (QAL3)"),
    "qal3_note": (
        "EN 14181: biểu đồ CUSUM và Shewhart của các lần kiểm tra điểm không (zero) và điểm chuẩn (span). "
        "Biểu đồ CUSUM: độ trôi lên và độ trôi xuống (phía dưới); nét đứt: ngưỡng.",
        "EN 14181: CUSUM and Shewhart charts of zero and span checks. CUSUM: drift up, and drift down below; "
        "dashed: threshold.",
    ),
    "qal3_file": ("Tệp can thiệp: {files}.", "Files of interventions: {files}."),
    "qal3_none": (
        "{symbol}: chưa có kết quả hiệu chuẩn, chưa có bảng kiểm tra (qal3/{file} trong state_dir).",
        "{symbol}: there is no record of a calibration, and no table of checks (qal3/{file} in state_dir).",
    ),
    "qal3_fault": ("{symbol}, bảng kiểm tra: {fault}", "{symbol}, table: {fault}"),
    "qal3_line": ("không đọc được dòng {line}", "line {line} cannot be read"),
    "qal3_passed": (
        "{symbol}: {count} dòng của bảng kiểm tra không được tính, vì nhật ký đã có kết quả hiệu chuẩn.",
        "{symbol}: {count} lines of the table are left out, since the journal has records of that time.",
    ),
    "qal3_s": (
        "{symbol}: chưa có s_AMS cho {points}; các lần kiểm tra đó không được tính.",
        "{symbol}: there is no s_AMS for {points}; those checks are left out.",
    ),
    "checks": ("Số lần kiểm tra", "Checks"),
    "point": ("Điểm", "Point"),
    "zero": ("điểm không", "zero"),
    "span": ("điểm chuẩn", "span"),
    "findings": ("Mất kiểm soát", "Out of control"),
    "chart": ("Biểu đồ", "Chart"),
    "precision": ("độ lặp lại", "precision"),
    "drift up": ("trôi lên", "drift up"),
    "drift down": ("trôi xuống", "drift down"),
    "shewhart": ("Shewhart", "Shewhart"),
    "shewhart_warning": ("cảnh báo", "warning"),
    "shewhart_action": ("hành động", "action"),
    "done_by": ("Người thực hiện", "By"),
    "threshold": ("Ngưỡng", "Threshold"),
    "adjust": ("Hiệu chỉnh đề xuất", "To be adjusted by"),
    "cusum": ("CUSUM", "CUSUM"),
    "difference": ("Sai khác (Shewhart)", "Difference (Shewhart)"),
    "since": ("Từ", "Since"),
    "until": ("Xử lý", "Intervention"),
    "open": ("chưa xử lý", "none yet"),
    "signs": ("Dấu hiệu cần xem xét", "Signs to look at"),
    "signs_note": (
        "Đây là gợi ý để kiểm tra, không phải là kết luận: mỗi dấu hiệu đều có thể có nguyên nhân bình "
        "thường (nhà máy nghỉ, thiết bị mới, ngày giống ngày trước). Đã xem: {symbols}.",
        "These are hints for looking, no verdicts: each of them can have an ordinary cause (a plant at "
        "rest, a new instrument, a day like the last). Looked at: {symbols}.",
    ),
    "signs_none": ("Không có dấu hiệu nào.", "There are none."),
    "signs_long": (
        "Không tìm trong kỳ dài hơn sáu tháng: xem báo cáo 6 tháng đầu năm và 6 tháng cuối năm.",
        "Not looked for in a period longer than half a year: see the reports of its halves.",
    ),
    "sign_name": ("Dấu hiệu", "Sign"),
    "statistic": ("Trị số", "Statistic"),
    "in_month": ("Tháng", "Month"),
    "look_here": ("Đề nghị xem", "Look here"),
    "variance collapse": ("độ dao động giảm mạnh", "variance collapse"),
    "repeat of an earlier day": ("lặp lại một ngày trước", "repeat of an earlier day"),
    "pressed under the limit": ("nằm sát dưới giới hạn", "pressed under the limit"),
    "gaps before exceedances": ("mất dữ liệu trước khi vượt", "gaps before exceedances"),
    "stopped moving together": ("không còn biến đổi cùng nhau", "stopped moving together"),
    "calibrated when values rise": ("hiệu chuẩn khi giá trị tăng", "calibrated when values rise"),
}
COLOURS: dict[tuple[int, int, int], tuple[str, str]] = {
    (0, 228, 0): ("xanh lá", "green"),
    (255, 255, 0): ("vàng", "yellow"),
    (255, 126, 0): ("da cam", "orange"),
    (255, 0, 0): ("đỏ", "red"),
    (143, 63, 151): ("tím", "purple"),
    (126, 0, 35): ("nâu", "maroon"),
    (51, 51, 255): ("xanh nước biển", "blue"),
}
"""Of the classes in gateway/indices/words.py."""
