"""Configurations with public channels, and windows for them."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Config
from gateway.windows import Window
from protocol import quality
from tests.gateway.configured import channel, configured
from tests.gateway.test_provincial import T0, window

COD = channel("COD", "mg/l", 2, 'limits = { max = 75.0, basis = "QCVN 40:2011 A" }')
PH = channel("pH", "", 1, 'limits = { min = 6.0, max = 9.0, basis = "QCVN 40:2011 A" }')
SECRET = channel("Cyanide", "mg/l", 3)
PUBLIC = '[public]\nchannels = ["COD", "pH"]\n'
FIVE_MIN_MS = 300_000


def public_config(folder: Path, public: str = PUBLIC, destinations: str = "") -> Config:
    """Three channels, of which two are public; where it stands is known."""
    folder.mkdir(parents=True, exist_ok=True)
    config = configured(folder, COD + PH + SECRET + public, destinations)
    station = config.station.model_copy(update={"coordinates": (22.4856, 103.9707)})
    return config.model_copy(update={"station": station})


def group(i: int = 0, cod: float = 16.25, q: int = quality.OK, revision: int = 1) -> list[Window]:
    """The windows of all three channels that end at T0 + 5 i minutes."""
    end_ms = T0 + i * FIVE_MIN_MS
    return [
        window("COD", cod, q, end_ms=end_ms, revision=revision),
        window("pH", 7.25, unit="", end_ms=end_ms, revision=revision),
        window("Cyanide", 0.666, end_ms=end_ms, revision=revision),
    ]
