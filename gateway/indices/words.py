"""What an index means: name of the class, colour, and advice, in Vietnamese and English. Pure.

Rule 1: Vietnamese texts are the decisions': names, colours, health and activities of VN_AQI [law], Quyết
        định 1459/QĐ-TCMT, Bảng 1, 4, 5; names, colours and uses of VN_WQI [observed], as reproduced from
        Quyết định 1460/QĐ-TCMT, with the worst class below 10. English is a translation of ours.
Rule 2: a class is looked up by the whole number that is published, so that 50.4 is 50 and 50.5 is 51.
"""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]


class Both(NamedTuple):
    """A text in both languages."""

    vi: str
    en: str


class AirClass(NamedTuple):
    """A band of VN_AQI, up to and with `top`."""

    top: int
    name: Both
    rgb: RGB
    health: Both
    everybody: Both  # advice
    sensitive: Both  # advice for old people, children, people with diseases of heart or lungs


class WaterClass(NamedTuple):
    """A band of VN_WQI, up to and with `top`."""

    top: int
    name: Both
    rgb: RGB
    use: Both


_FREE = Both("Tự do thực hiện các hoạt động ngoài trời.", "Be active outdoors as you like.")
_STAY = Both(
    "Mọi người nên ở trong nhà, đóng cửa ra vào và cửa sổ. "
    "Nếu cần thiết phải ra ngoài, hãy đeo khẩu trang đạt tiêu chuẩn.",
    "Stay indoors, with doors and windows closed. If you have to go out, wear a certified mask.",
)

AIR = (
    AirClass(
        50,
        Both("Tốt", "Good"),
        (0, 228, 0),
        Both(
            "Chất lượng không khí tốt, không ảnh hưởng tới sức khỏe.",
            "The air is good and does not affect health.",
        ),
        _FREE,
        _FREE,
    ),
    AirClass(
        100,
        Both("Trung bình", "Moderate"),
        (255, 255, 0),
        Both(
            "Chất lượng không khí ở mức chấp nhận được. Tuy nhiên, đối với những người nhạy cảm (người già, "
            "trẻ em, người mắc các bệnh hô hấp, tim mạch…) có thể chịu những tác động nhất định tới sức "
            "khỏe.",
            "The air is acceptable. Sensitive people (old people, children, people with diseases of the "
            "lungs or the heart) may feel some effects.",
        ),
        _FREE,
        Both(
            "Nên theo dõi các triệu chứng như ho hoặc khó thở, nhưng vẫn có thể hoạt động bên ngoài.",
            "Watch for symptoms such as cough or short breath; you may still be active outdoors.",
        ),
    ),
    AirClass(
        150,
        Both("Kém", "Poor"),
        (255, 126, 0),
        Both(
            "Những người nhạy cảm gặp phải các vấn đề về sức khỏe, những người bình thường ít ảnh hưởng.",
            "Sensitive people have health problems; others are little affected.",
        ),
        Both(
            "Những người thấy có triệu chứng đau mắt, ho hoặc đau họng… nên cân nhắc giảm các hoạt động "
            "ngoài trời. Đối với học sinh, có thể hoạt động bên ngoài, nhưng nên giảm bớt việc tập thể dục "
            "kéo dài.",
            "Whoever has sore eyes, a cough or a sore throat should consider being less active outdoors. "
            "Pupils may be outdoors, with less long exercise.",
        ),
        Both(
            "Nên giảm các hoạt động mạnh và giảm thời gian hoạt động ngoài trời. Những người mắc bệnh hen "
            "suyễn có thể cần sử dụng thuốc thường xuyên hơn.",
            "Reduce hard exertion and time outdoors. People with asthma may need their medicine more often.",
        ),
    ),
    AirClass(
        200,
        Both("Xấu", "Bad"),
        (255, 0, 0),
        Both(
            "Những người bình thường bắt đầu có các ảnh hưởng tới sức khỏe, nhóm người nhạy cảm có thể gặp "
            "những vấn đề sức khỏe nghiêm trọng hơn.",
            "Everybody begins to be affected; sensitive people may have more serious health problems.",
        ),
        Both(
            "Mọi người nên giảm các hoạt động mạnh khi ở ngoài trời, tránh tập thể dục kéo dài và nghỉ ngơi "
            "nhiều hơn trong nhà.",
            "Reduce hard exertion outdoors, avoid long exercise, rest more indoors.",
        ),
        Both(
            "Nên ở trong nhà và giảm hoạt động mạnh. Nếu cần thiết phải ra ngoài, hãy đeo khẩu trang đạt "
            "tiêu chuẩn.",
            "Stay indoors and reduce hard exertion. If you have to go out, wear a certified mask.",
        ),
    ),
    AirClass(
        300,
        Both("Rất xấu", "Very bad"),
        (143, 63, 151),
        Both(
            "Cảnh báo ảnh hưởng tới sức khỏe: mọi người bị ảnh hưởng tới sức khỏe nghiêm trọng hơn.",
            "Health warning: everybody is affected more seriously.",
        ),
        Both(
            "Mọi người hạn chế tối đa các hoạt động ngoài trời và chuyển tất cả các hoạt động vào trong nhà. "
            "Nếu cần thiết phải ra ngoài, hãy đeo khẩu trang đạt tiêu chuẩn.",
            "Avoid being outdoors and move all activities indoors. "
            "If you have to go out, wear a certified mask.",
        ),
        Both("Nên ở trong nhà và giảm hoạt động mạnh.", "Stay indoors and reduce hard exertion."),
    ),
    AirClass(
        500,
        Both("Nguy hại", "Hazardous"),
        (126, 0, 35),
        Both(
            "Cảnh báo khẩn cấp về sức khỏe: Toàn bộ dân số bị ảnh hưởng tới sức khỏe tới mức nghiêm trọng.",
            "Health emergency: the whole population is seriously affected.",
        ),
        _STAY,
        _STAY,
    ),
)

WATER = (
    WaterClass(
        9,
        Both("Ô nhiễm rất nặng", "Very heavily polluted"),
        (126, 0, 35),
        Both(
            "Nước nhiễm độc, cần có biện pháp khắc phục, xử lý.",
            "Toxic water: it has to be cleaned and treated.",
        ),
    ),
    WaterClass(
        25,
        Both("Kém", "Very bad"),
        (255, 0, 0),
        Both(
            "Nước ô nhiễm nặng, cần các biện pháp xử lý trong tương lai.",
            "Heavily polluted water: treatment is needed.",
        ),
    ),
    WaterClass(
        50,
        Both("Xấu", "Bad"),
        (255, 126, 0),
        Both(
            "Sử dụng cho giao thông thủy và các mục đích tương đương khác.",
            "For navigation and uses like it.",
        ),
    ),
    WaterClass(
        75,
        Both("Trung bình", "Moderate"),
        (255, 255, 0),
        Both(
            "Sử dụng cho mục đích tưới tiêu và các mục đích tương đương khác.",
            "For irrigation and uses like it.",
        ),
    ),
    WaterClass(
        90,
        Both("Tốt", "Good"),
        (0, 228, 0),
        Both(
            "Sử dụng cho mục đích cấp nước sinh hoạt nhưng cần các biện pháp xử lý phù hợp.",
            "For domestic supply after suitable treatment.",
        ),
    ),
    WaterClass(
        100,
        Both("Rất tốt", "Very good"),
        (51, 51, 255),
        Both("Sử dụng tốt cho mục đích cấp nước sinh hoạt.", "Good for domestic supply."),
    ),
)


def air_class(value: int | None) -> AirClass | None:
    """The class of a VN_AQI; None for none. Above 500 there is nothing worse."""
    if value is None:
        return None
    return next((each for each in AIR if value <= each.top), AIR[-1])


def water_class(value: int | None) -> WaterClass | None:
    """The class of a VN_WQI; None for none."""
    if value is None:
        return None
    return next((each for each in WATER if value <= each.top), WATER[-1])
