"""Stations' folders as a technician's afternoon leaves them: site, device's files, gateway's blocks, records.

    folder = wastewater(tmp_path / "st-01")      four instruments at RS-485, a loop, a counter, contacts
    folder = ambient_air(tmp_path / "kk-02")     RS-485 and Modbus TCP, updated once, less finished

Every step of theirs can be left out (`without`), every file be damaged afterwards. Times are fixed: the same
arguments give the same folder, to the byte.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tools.demo.site import table
from tools.station.build import write
from tools.station.folder import BACKUPS, CERTIFICATES, DEVICE, GATEWAY, KEY, PHOTOS, RECORDS, SITE, Folder
from tools.station.seal_paper import fingerprint

LINK_KEY = bytes(range(32)).hex()
SEAL_KEY = bytes(range(100, 132)).hex()
BEGAN_MS = 1_774_404_000_000  # 2026-03-25 09:00 in Vietnam
MINUTE_MS = 60_000
BY = "Nguyễn Văn An"
UPDATE_KEY = "c3" * 384 + "\n"

SET = {"baud": 9600, "parity": "N", "stopbits": 1}
UART1 = {"id": "rs485", "kind": "rtu", **SET}
SAMPLER = {"id": "draw", "kind": "sampler", "pin": 20, "pulse_ms": 500, "per_day": 24, "lock_ms": 60000}


def unit(address: int, profile: str, poll_ms: int, *quantities: str, bus: str = "rs485", **more: Any) -> dict:
    """A unit of a site, set to what its line is set to."""
    made = {"bus": bus, "unit": address, "profile": profile, "poll_ms": poll_ms, "quantities": [*quantities]}
    return made | (SET if bus == "rs485" else {}) | more


WASTEWATER: dict[str, Any] = {
    "id": "nt-01",
    "gateway": {"kind": "wastewater", "link": "serial:/dev/serial/by-id/usb-Quantrac?baud=115200"},
    "link": {"kind": "serial", "path": "/dev/ttyACM0", "baud": 115200},
    "buses": [UART1 | {"path": "uart1 tx=4 rx=5 de=6"}],
    "units": [
        unit(1, "supmea-sup-ph8001", 20000, "ph", "temperature"),
        unit(2, "hach-codmax2", 60000, "cod"),
        unit(3, "yosemitech-y560", 30000, "nh4"),
        unit(4, "generic-tss", 20000, "tss"),
    ],
    "inputs": [
        {"id": "door", "kind": "door", "pin": 16, "pull": "up", "active": 0},
        {"id": "mains", "kind": "mains", "pin": 17},
        {"id": "service", "kind": "maintenance", "pin": 18, "channels": ["cod", "nh4"]},
        {"id": "bottle", "kind": "sampler", "pin": 19},
    ],
    "outputs": [
        SAMPLER | {"feedback": "bottle", "feedback_ms": 5000},
        {"id": "siren", "kind": "alarm", "pin": 21},
    ],
    "analogs": [{"channel": "level", "pin": 26, "shunt_ohm": 150, "low": 0, "high": 5, "poll_ms": 1000}],
    "counters": [
        {"channel": "flow", "pin": 22, "take": "rate", "scale": 0.01, "per_ms": 3600000, "poll_ms": 10000}
    ],
    "alarms": [{"channel": "level", "output": "siren", "max": 4.5, "hysteresis": 0.1, "delay_ms": 5000}],
}
AMBIENT_AIR: dict[str, Any] = {
    "id": "kk-02",
    "gateway": {"kind": "ambient-air"},
    "link": {"kind": "tcp", "host": "192.168.10.5", "port": 7311},
    "buses": [
        UART1 | {"path": "uart1 tx=17 rx=16 de=4"},
        {"id": "lan", "kind": "tcp", "host": "192.168.10.40", "port": 502},
    ],
    "units": [
        unit(1, "vaisala-aqt530", 30000, "no2", "so2", "co", "o3"),
        unit(2, "teledyne-t640", 30000, "pm10", "pm25"),
        unit(1, "teledyne-n500", 10000, "no2", "no", bus="lan", rename={"no2": "no2-ref", "no": "no-ref"}),
    ],
}
LIMITS = {  # symbol, unit, decimals, limits, calibrate_days of the channels that the gateway takes
    "ph": ("pH", "", 2, {"min": 6.0, "max": 9.0, "basis": "QCVN 40:2011/BTNMT cột A"}, 90),
    "temperature": ("Temp", "oC", 1, {"max": 40.0, "basis": "QCVN 40:2011/BTNMT cột A"}, None),
    "cod": ("COD", "mg/l", 2, {"rule": "QCVN 40:2011", "column": "A", "kq": 0.9, "kf": 1.1}, 30),
    "nh4": ("NH4", "mg/l", 2, {"max": 4.95, "basis": "GPMT 123/GP-BTNMT"}, 30),
    "tss": ("TSS", "mg/l", 2, {"max": 49.5, "basis": "GPMT 123/GP-BTNMT"}, 90),
    "level": ("Level", "m", 3, {}, None),
    "flow": ("Flow", "m3/h", 3, {}, 365),
    "no2": ("NO2", "ug/Nm3", 2, {"max": 200.0, "basis": "QCVN 05:2023, 1 h"}, 30),
    "so2": ("SO2", "ug/Nm3", 2, {"max": 350.0, "basis": "QCVN 05:2023, 1 h"}, 30),
    "co": ("CO", "ug/Nm3", 1, {"max": 30000.0, "basis": "QCVN 05:2023, 1 h"}, 30),
    "o3": ("O3", "ug/Nm3", 2, {"max": 200.0, "basis": "QCVN 05:2023, 1 h"}, 30),
    "pm10": ("PM10", "ug/Nm3", 2, {"max": 100.0, "basis": "QCVN 05:2023, 24 h"}, 90),
    "pm25": ("PM2.5", "ug/Nm3", 2, {"max": 45.0, "basis": "QCVN 05:2023, 24 h"}, 90),
}
FILES = {
    "main.py": "first", "starter.py": "starter", "a.pkg": "package", "slot": "slot", "update.pub": "key",
    "identity.json": "identity", "station.json": "station",
}  # fmt: skip


def digest(content: bytes | str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def photo(text: str, kind: str = "JPEG", size: tuple[int, int] = (800, 600)) -> bytes:
    """A photograph that shows what it is."""
    image = Image.new("RGB", size, (120, 140, 150))
    draw = ImageDraw.Draw(image)
    draw.rectangle((130, 60, 670, 540), fill=(225, 228, 230), outline=(40, 40, 40), width=6)
    for at in range(4):
        draw.rectangle((190, 120 + 100 * at, 610, 190 + 100 * at), fill=(60, 90, 110))
    draw.text((190, 80), text, fill=(0, 0, 0), font_size=24)
    made = io.BytesIO()
    image.save(made, kind)
    return made.getvalue()


class Afternoon:
    """A folder in the making: each step is recorded ten minutes behind the one before."""

    def __init__(self, path: Path, site: dict[str, Any], without: Collection[str] = ()) -> None:
        self.path, self.site, self.without = path, site, without
        self.at_ms = BEGAN_MS
        for name in (DEVICE, CERTIFICATES, PHOTOS, BACKUPS):
            (path / name).mkdir(parents=True, exist_ok=True)
        (path / SITE).write_text(json.dumps(site, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        (path / KEY).write_text(LINK_KEY + "\n")
        write(path / DEVICE, {**site, "key": LINK_KEY})
        if "update key" not in without:
            (path / DEVICE / "update.pub").write_text(UPDATE_KEY)
        self.channels = [
            channel["name"]
            for channel in json.loads((path / DEVICE / "station.json").read_text())["channels"]
        ]

    def record(self, kind: str, **facts: Any) -> None:
        """As Folder.record() keeps it, at a time of ours."""
        if kind in self.without:
            return
        self.at_ms += 10 * MINUTE_MS
        made = {"kind": kind, "at_ms": self.at_ms, "by": BY, **facts}
        with (self.path / RECORDS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(made, ensure_ascii=False, separators=(",", ":")) + "\n")

    def gateway(self) -> None:
        """The blocks for the gateway's configuration."""
        id = self.site["id"]
        parts = [
            table(
                "[[device]]",
                {"id": id, "link": "tcp-listen://0.0.0.0:7311", "key_file": f"gateway/keys/{id}.link"},
            )
        ]
        for name in self.channels:
            if name in LIMITS:
                symbol, unit, decimals, limits, days = LIMITS[name]
                source = {"device": id, "quantity": name}
                values = {"symbol": symbol, "unit": unit, "decimals": decimals, "source": source}
                values |= {"limits": limits} if limits else {}
                values |= {"calibrate_days": days} if days else {}
                parts.append(table("[[channel]]", values))
        (self.path / GATEWAY).write_text("\n".join(parts), encoding="utf-8")

    def scan(self, port: str, hints: dict[int, list[str]] | None = None) -> None:
        units = [
            {
                "unit": unit["unit"], "baud": 9600, "parity": "N", "stopbits": 1, "profile": unit["profile"],
                "how": "identification", "hints": (hints or {}).get(unit["unit"], []),
            }
            for unit in self.site["units"]
            if unit["bus"] == "rs485"
        ]  # fmt: skip
        self.record("scanned", port=port, units=units, hints=["termination: 120 Ω at both ends"])

    def flash(self, board: str, firmware: str) -> None:
        files = {path: digest(what) for path, what in FILES.items()}
        files |= {
            f"firmware/{name}.mpy": digest(name) for name in ("app", "bus", "poller", "sealer", "uplink")
        }
        self.record(
            "flashed", port="/dev/ttyACM1", board=board, micropython="1.29.0", firmware=firmware,
            image=digest("image"), files=files,
        )  # fmt: skip

    def test(self, failed: Collection[str] = (), left: Collection[str] = ()) -> None:
        def rows(names: list[str], said: str) -> list[dict[str, Any]]:
            judged = {name: False for name in failed} | {name: None for name in left}
            return [{"name": name, "ok": judged.get(name, True), "said": said} for name in names]

        self.record(
            "tested",
            inputs=rows([row["id"] for row in self.site.get("inputs", ())], "đóng, mở: 0, 1"),
            outputs=rows([row["id"] for row in self.site.get("outputs", ())], "rơ-le hút, nhả"),
            channels=[
                {**row, "display": True if row["ok"] else None}
                for row in rows(self.channels, "giống màn hình thiết bị đo")
            ],
            ok=not failed,
        )  # fmt: skip

    def calibrate(
        self, channel: str, number: int, high: float, drift: float = 0.4, maximum: float = 3.0
    ) -> None:
        unit = LIMITS[channel][1]
        points = [[0.11, 0.0], [high / 2 * 1.021, high / 2], [high * 1.019, high]]
        fit = [[points[0][0], 0.01], [points[-1][0], high]]
        name = f"{CERTIFICATES}/{channel}-{number}.pdf"
        standard = {
            "number": f"VMI-{channel}-0417",
            "value": high,
            "uncertainty": 0.5,
            "valid_until": "2027-05-01",
        }
        if "certificate" not in self.without:
            (self.path / name).write_bytes(b"%PDF certificate of " + channel.encode())
        self.record(
            "calibrated", channel=channel, unit=unit, number=number, points=points, fit=fit,
            slope=1.0187, offset=0.1123, residuals=[-0.012, 0.024, -0.0118],
            drift={"zero": 0.11, "span": drift, "zero_max": 1.5, "span_max": 3.0, "ok": drift <= 3.0},
            standards=[standard], certificate=name,
        )  # fmt: skip

    def kept(self, kind: str, name: str) -> None:
        """A backup, or one that was put back."""
        content = f"backup {name}".encode()
        (self.path / BACKUPS / name).write_bytes(content)
        self.record(kind, file=f"{BACKUPS}/{name}", sha256=digest(content))

    def photo(self, what: str, kind: str = "JPEG") -> None:
        if "photo" in self.without:
            return
        content = photo(what.encode("ascii", "ignore").decode(), kind)
        name = f"{PHOTOS}/{digest(content)}.{'jpg' if kind == 'JPEG' else 'png'}"
        (self.path / name).write_bytes(content)
        self.record("photo", file=name, sha256=digest(content), what=what)

    @property
    def folder(self) -> Folder:
        return Folder.at(self.path)


def wastewater(path: Path, without: Collection[str] = ()) -> Folder:
    """A finished one: nothing is missing, unless a step is left out: a kind of record, "certificate", "update
    key", "gateway" or "calibration of" a channel.
    """
    made = Afternoon(path, WASTEWATER, without)
    if "gateway" not in without:
        made.gateway()
    made.record("new", id="nt-01", seal=fingerprint(SEAL_KEY))
    made.scan("/dev/ttyUSB0", {3: ["word order DCBA: 3.21 mg/l (ABCD would be 1.2e-38)"]})
    made.flash("RPI_PICO2_W", "quantrac 0.2.0")
    made.test()
    for number, channel in enumerate(made.channels, 1):
        if f"calibration of {channel}" not in without:
            made.calibrate(channel, number, {"cod": 100.0, "ph": 10.01}.get(channel, 50.0))
    made.photo("Tủ điện của trạm, cửa mở, nhìn từ phía trước")
    made.photo("Đầu đo COD", "PNG")
    made.kept("backed-up", "nt-01-20260325.zip")
    return made.folder


def ambient_air(path: Path, without: Collection[str] = ()) -> Folder:
    """One with much left to do: no calibration of three, drift beyond its limit, an update that waits."""
    made = Afternoon(path, AMBIENT_AIR, without)
    if "gateway" not in without:
        made.gateway()
    made.record("new", id="kk-02", seal=fingerprint(SEAL_KEY))
    made.scan("/dev/ttyUSB0")
    made.flash("ESP32_GENERIC_S3", "quantrac 0.1.9")
    made.test(failed=["co"], left=["no-ref"])
    for number, channel in enumerate(("no2", "so2", "co", "o3", "pm10"), 1):
        made.calibrate(channel, number, 400.0, drift=4.2 if channel == "o3" else 0.4)
    made.kept("backed-up", "kk-02-20260325.zip")
    made.kept("restored", "kk-02-20260325.zip")
    made.record(
        "updated", **{"from": "quantrac 0.1.9", "to": "quantrac 0.2.0"}, counter=7, sha256=digest("0.2.0"),
        confirmed=False,
    )  # fmt: skip
    made.photo("Đầu lấy mẫu khí trên mái")
    return made.folder
