"""gateway/indices/words.py: every band in both languages, with the decisions' colours."""

from __future__ import annotations

import pytest

from gateway.indices.words import AIR, WATER, air_class, water_class

COLOURS = {  # Bảng 1 of Quyết định 1459/QĐ-TCMT, by hand
    "Tốt": (0, 228, 0), "Trung bình": (255, 255, 0), "Kém": (255, 126, 0), "Xấu": (255, 0, 0),
    "Rất xấu": (143, 63, 151), "Nguy hại": (126, 0, 35),
}  # fmt: skip


@pytest.mark.parametrize(
    "value, name",
    [
        (0, "Tốt"), (50, "Tốt"), (51, "Trung bình"), (100, "Trung bình"), (101, "Kém"), (150, "Kém"),
        (151, "Xấu"), (200, "Xấu"), (201, "Rất xấu"), (300, "Rất xấu"), (301, "Nguy hại"), (500, "Nguy hại"),
        (501, "Nguy hại"),
    ],
)  # fmt: skip
def test_bands_of_the_air(value, name):
    found = air_class(value)
    assert found is not None and (found.name.vi, found.rgb) == (name, COLOURS[name])


def test_every_text_is_there_in_both_languages():
    texts = [text for each in (*AIR, *WATER) for text in each if isinstance(text, tuple) and len(text) == 2]
    assert len(texts) == 6 * 4 + 6 * 2
    for vi, en in texts:
        assert vi.strip() and en.strip() and vi != en
        assert en.isascii()


def test_none_is_none():
    assert air_class(None) is None and water_class(None) is None
