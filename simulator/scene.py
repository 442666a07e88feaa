"""Scenes: which instruments a demonstration station has, who reads them, and what they measure.

A scene is a TOML file in scenes/. From it come the device's site description (for tools/station/build.py),
the gateway's channels and bus (tables of config.toml), and the running instruments.
"""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from protocol.instruments import load as load_profile
from protocol.profile import Profile, Quantity
from simulator.bus import LineFaults, RtuLine
from simulator.clock import SimClock
from simulator.instruments import Instrument, Served, TcpInstruments, keep_updating
from simulator.signals import Shape
from simulator.truth import Truth

KINDS = ("wastewater", "stack", "surface-water", "ambient-air")
LINE_ID, TCP_ID = "rs485", "tank"  # bus ids in station.json and in config.toml
BAUD, PARITY, STOPBITS = 9600, "N", 1  # the site's setting, whatever an instrument's factory setting is


@dataclass(frozen=True)
class SceneChannel:
    """One quantity of an instrument, as the provincial file and the truth file call it."""

    quantity: Quantity
    symbol: str
    unit: str
    decimals: int
    update_s: float
    shape: Shape
    limits: dict | None


@dataclass(frozen=True)
class SceneUnit:
    """One instrument: `reader` is "device" (on the RTU line) or "gateway" (on Modbus TCP)."""

    reader: str
    unit: int
    profile: Profile
    poll_ms: int
    phase_ms: int
    channels: tuple[SceneChannel, ...]


@dataclass(frozen=True)
class Scene:
    kind: str
    name: str  # for people, Vietnamese
    code: str  # the station's code in file names
    units: tuple[SceneUnit, ...]

    def units_of(self, reader: str) -> list[SceneUnit]:
        return [unit for unit in self.units if unit.reader == reader]

    @property
    def symbols(self) -> list[str]:
        return [channel.symbol for unit in self.units for channel in unit.channels]

    def site(self, device_id: str, key: str, link: dict, line_path: Path | str) -> dict:
        """The site description that tools/station/build.py compiles into a device's files.

        `key`: the device's link key, 64 hex digits. `link`: as in identity.json, to the gateway.
        """
        bus = {
            "id": LINE_ID,
            "kind": "rtu",
            "path": str(line_path),
            "baud": BAUD,
            "parity": PARITY,
            "stopbits": STOPBITS,
        }
        units = [
            {
                "bus": LINE_ID,
                "unit": unit.unit,
                "profile": unit.profile.name,
                "poll_ms": unit.poll_ms,
                "phase_ms": unit.phase_ms,
                "quantities": [channel.quantity.id for channel in unit.channels],
                "baud": BAUD,
                "parity": PARITY,
                "stopbits": STOPBITS,
            }
            for unit in self.units_of("device")
        ]
        return {"id": device_id, "key": key, "link": link, "buses": [bus], "units": units}

    def channels(self, device_id: str, bus_id: str = TCP_ID) -> list[dict]:
        """The [[channel]] tables of the gateway's configuration."""
        return [
            _channel_table(unit, channel, device_id, bus_id)
            for unit in self.units
            for channel in unit.channels
        ]

    def bus(self, host: str, port: int, bus_id: str = TCP_ID) -> dict:
        """The [[bus]] table of the gateway's configuration, for the instruments on Modbus TCP."""
        return {"id": bus_id, "link": f"modbus-tcp://{host}:{port}", "timeout_ms": 500, "retries": 2}


def load_scene(kind: str) -> Scene:
    """The scene of that kind. Raises ValueError for an unknown kind, ConfigError for a bad profile."""
    if kind not in KINDS:
        raise ValueError(f'no scene is called "{kind}": write one of {", ".join(KINDS)}')
    text = (files("simulator") / "scenes" / f"{kind}.toml").read_text(encoding="utf-8")
    return parse_scene(tomllib.loads(text))


def parse_scene(table: dict) -> Scene:
    """A scene from its TOML table. KeyError or TypeError for a missing or unknown field."""
    units = tuple(_unit(dict(entry)) for entry in table["unit"])
    scene = Scene(table["kind"], table["name"], table["code"], units)
    if len(set(scene.symbols)) < len(scene.symbols):
        raise ValueError(f"{scene.kind}: a symbol stands twice, the truth file needs one channel a symbol")
    return scene


def _unit(table: dict) -> SceneUnit:
    profile = load_profile(table["profile"])
    channels = tuple(_scene_channel(profile, dict(entry)) for entry in table.pop("channel"))
    return SceneUnit(**table | {"profile": profile, "channels": channels})


def _scene_channel(profile: Profile, table: dict) -> SceneChannel:
    quantity = profile.quantity(table["quantity"])
    low, high = quantity.plausible
    shape = Shape(**{"low": low, "high": high} | table.pop("signal"))
    return SceneChannel(**{"limits": None} | table | {"quantity": quantity, "shape": shape})


def _channel_table(unit: SceneUnit, channel: SceneChannel, device_id: str, bus_id: str) -> dict:
    quantity = channel.quantity
    if unit.reader == "device":
        source = {"device": device_id, "quantity": quantity.id}
    else:
        source = {
            "bus": bus_id,
            "unit": unit.unit,
            "table": quantity.table,
            "register": quantity.register,
            "type": quantity.type,
            "word_order": quantity.word_order,
            "scale": quantity.scale,
            "offset": quantity.offset,
            "poll_ms": unit.poll_ms,
            "phase_ms": unit.phase_ms,
        }
    entry = {
        "symbol": channel.symbol,
        "unit": channel.unit,
        "decimals": channel.decimals,
        "source": source,
        "plausible": list(quantity.plausible),
    }
    return entry | ({"limits": channel.limits} if channel.limits else {})


class RunningScene:
    """Instruments that are up; made by start_instruments(). `instruments` is keyed by (reader, unit)."""

    def __init__(
        self,
        line: RtuLine,
        tcp: TcpInstruments,
        instruments: dict[tuple[str, int], Instrument],
        truth: Truth,
        ticker: asyncio.Task,
    ) -> None:
        self.line, self.tcp, self.instruments = line, tcp, instruments
        self._truth, self.ticker = truth, ticker

    @property
    def tcp_port(self) -> int:
        return self.tcp.port

    async def stop(self) -> None:
        """Take the instruments away. The truth file stays open: it belongs to whoever opened it."""
        self.ticker.cancel()
        await asyncio.gather(self.ticker, return_exceptions=True)
        await self.line.stop()
        await self.tcp.stop()
        self._truth.flush()


async def start_instruments(
    scene: Scene,
    clock: SimClock,
    truth: Truth,
    line_path: Path | str,
    tcp_port: int = 0,
    seed: int = 0,
    faults: LineFaults | None = None,
    host: str = "127.0.0.1",
) -> RunningScene:
    """Bring a scene's instruments up: an RTU line under `line_path`, and Modbus TCP on `tcp_port`.

    The same seed and scene give the same values at the same station times. Raises OSError when the port is
    taken or no pty is to be had.
    """
    instruments = {}
    for unit in scene.units:
        served = [Served(c.quantity.id, c.symbol, c.shape, c.update_s) for c in unit.channels]
        instruments[unit.reader, unit.unit] = Instrument(
            unit.profile, unit.unit, served, clock, truth, seed, scene.code
        )
    on_line = [i.device for (reader, _), i in instruments.items() if reader == "device"]
    on_tcp = [i for (reader, _), i in instruments.items() if reader == "gateway"]
    tcp = await TcpInstruments(on_tcp, host, tcp_port).start()
    try:
        line = await RtuLine(line_path, on_line, faults, seed).start()
    except OSError:
        await tcp.stop()
        raise
    ticker = asyncio.create_task(keep_updating(list(instruments.values()), clock, truth), name="instruments")
    return RunningScene(line, tcp, instruments, truth, ticker)
