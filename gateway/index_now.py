"""The index of this moment, for the page: VN_AQI of the newest whole hour of ambient air, VN_WQI of the
newest whole day of surface water.

Rule 1: it is what the report says of that hour or day: the same means, the same tables (indices/), the same
        channels (reports/period_index.py). A mean that is not valid is not there.
Rule 2: it is looked at every LOOK_S, off the readings' way; a journal that cannot be read leaves what was
        found before, until it is older than two of its spans: then there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gateway import hours
from gateway.config_model import Channel, Config
from gateway.errors import JournalError
from gateway.indices import vn_aqi, vn_wqi
from gateway.indices.words import RGB, Both
from gateway.journal.journal import Journal
from gateway.journal.reader import Reader
from gateway.logs import get_logger
from gateway.reports.period_index import AIR, WATER, factor_of
from gateway.windows import Window
from gateway.zone import DAY_MS, HOUR_MS, start_of
from protocol import quality as q

log = get_logger("index")

LOOK_S = 20.0
"""How often it is looked, in real seconds."""
SETTLE_MS = 120_000
"""So long after an hour its last window may come."""


class Rated(NamedTuple):
    """An index with its class, as the decisions name it."""

    name: str  # VN_AQI, VN_WQI
    value: int
    start_ms: int
    length_ms: int
    deciding: str
    label: Both
    advice: Both
    rgb: RGB
    missing: tuple[str, ...]


class IndexNow:
    """`newest` is None where the station has no index, or none can be had."""

    def __init__(self, config: Config, journal: Journal, now_ms: Callable[[], int]):
        self._journal = journal
        self._now_ms = now_ms
        self._channels = config.channel
        self._share = config.gateway.valid_share_min
        self._rate = {"ambient-air": air, "surface-water": water}.get(config.station.kind)
        self._length_ms = HOUR_MS if self._rate is air else DAY_MS
        self._found: Rated | None = None

    @property
    def newest(self) -> Rated | None:
        found = self._found
        old = found is None or self._now_ms() - found.start_ms > 3 * found.length_ms
        return None if old else found

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except JournalError as error:
                log.warning("the index waits", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Once. JournalError."""
        if self._rate is None:
            return
        start_ms = start_of(self._now_ms() - SETTLE_MS, self._length_ms) - self._length_ms
        back = vn_aqi.NOWCAST_HOURS if self._rate is air else 1
        begin_ms = start_ms - (back - 1) * self._length_ms
        spans = range(begin_ms, start_ms + 1, self._length_ms)
        found = [await self._journal.read(_means, one, self._length_ms, self._share) for one in spans]
        rated = self._rate(self._channels, [mean for means in found for mean in means], start_ms)
        if rated is not None:
            self._found = rated


def air(channels: Iterable[Channel], means: Iterable[Window], hour_ms: int) -> Rated | None:
    """VN_AQI of an hour from hourly means of it and those before; None where there is none."""
    names: dict[str, tuple[str, str]] = {}  # symbol -> parameter, unit
    for channel in channels:
        name = AIR.get(channel.symbol.upper(), "")
        try:
            vn_aqi.in_ug_m3(0.0, channel.unit, name)
        except vn_aqi.UnitRefused:
            continue
        if name and name not in {parameter for parameter, _ in names.values()}:
            names[channel.symbol] = (name, channel.unit)
    held: dict[str, dict[int, float | None]] = {name: {} for name, _ in names.values()}
    for mean in means:
        if mean.symbol in names and mean.quality == q.OK:
            name, unit = names[mean.symbol]
            held[name][mean.start_ms] = vn_aqi.in_ug_m3(mean.value, unit, name)
    back = [hour_ms - n * HOUR_MS for n in range(vn_aqi.NOWCAST_HOURS)]
    found = vn_aqi.hourly({name: [values.get(ms) for ms in back] for name, values in held.items()})
    if found.value is None or found.rated is None:
        return None
    rated = found.rated
    return Rated(
        "VN_AQI", found.value, hour_ms, HOUR_MS, found.deciding, rated.name, rated.everybody, rated.rgb,
        found.missing,
    )  # fmt: skip


def water(channels: Iterable[Channel], means: Iterable[Window], day_ms: int) -> Rated | None:
    """VN_WQI of a day from its means; None where there is none."""
    by_symbol: Mapping[str, Window] = {mean.symbol: mean for mean in means if mean.start_ms == day_ms}
    values: dict[str, float | None] = {}
    for channel in channels:
        name = WATER.get(channel.symbol.upper(), "")
        factor = factor_of(name, channel.unit) if name else None
        if name == "DO" and channel.unit.strip() in ("%", "%sat"):
            name, factor = "DO%", 1.0
        mean = by_symbol.get(channel.symbol)
        if factor is not None and name not in values and mean is not None and mean.quality == q.OK:
            values[name] = None if mean.value is None else mean.value * factor
    found = vn_wqi.quality(values)
    if found.value is None or found.rated is None:
        return None
    rated = found.rated
    return Rated("VN_WQI", found.value, day_ms, DAY_MS, found.deciding, rated.name, rated.use, rated.rgb, ())


def _means(reader: Reader, start_ms: int, length_ms: int, share_min: float) -> list[Window]:
    """One hour or day of all channels, of the newest revisions."""
    newest = {(one.symbol, one.start_ms): one for one in reader.windows(start_ms, start_ms + length_ms)}
    return hours.of(newest.values(), 1, share_min, length_ms)
