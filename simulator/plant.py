"""What is in the pipe and what the instruments make of it: a station's truth and its readings in a scenario.

    plant = Plant(scenario, seed)
    plant.value("COD", t_ms)      the truth: what is in the pipe, in the channel's unit
    plant.reading("COD", t_ms)    what the instrument shows: (value or None, quality of protocol/quality.py)

Rule 1: both are pure functions of (seed, scenario, station, channel, time): a run replays, in any order.
Rule 2: times are Unix ms. An instrument changes what it shows at multiples of its own interval in GMT+7, as
        in simulator/instruments.py, and shows float32: what a reader takes is what the ledger has noted.
Rule 3: the instrument's noise is no part of the truth. What somebody does to the sample or to the output is
        none either: the pipe does not know.
Rule 4: in this order: the pipe (simulator/signals.py, then rain and weekends, then batches and illness), the
        sample (diluted, or a standard in its place), the instrument (dirt, drift, noise, bubbles, frozen, its
        range), the output (clamped, played back), its word (a fault, calibrating).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from protocol import quality as q
from protocol.reading import bits_float, float_bits
from simulator import plant_effects as effects
from simulator.plant_effects import Effect, Spans, inside
from simulator.scenario_model import Process, Scenario, Station
from simulator.scene import SceneChannel, load_scene
from simulator.signals import DAY_MS, LOCAL_OFFSET_MS, Shape, Signal

FACTORS: dict[str, Callable[[Process, Spans], Effect]] = {"rain": effects.rain, "weekly": effects.weekly}
OFFSETS: dict[str, Callable[[Process, Spans], Effect]] = {
    "upset": effects.upset,
    "batch": effects.batch,
    "step": effects.step,
}
FOR_EVER_MS = 1 << 62


class Plant:
    """`number`: which of the scenario's stations; each has water of its own."""

    def __init__(self, scenario: Scenario, seed: int, number: int = 0) -> None:
        self.scenario = scenario
        source = f"{seed}/{scenario.name}/{number}"
        units = load_scene(scenario.station.kind).units
        self._channels = {
            channel.symbol: _Channel(
                channel,
                scenario.station,
                [p for p in scenario.process if p.channel == channel.symbol],
                source,
            )
            for unit in units
            for channel in unit.channels
        }

    @property
    def channels(self) -> list[str]:
        """Symbols, in the scene's order."""
        return list(self._channels)

    def value(self, channel: str, t_ms: int) -> float:
        """The truth at this moment."""
        return self._channels[channel].truth(t_ms)

    def mean(self, channel: str, start_ms: int, end_ms: int) -> float:
        """The truth's mean over a span, a point every ten seconds."""
        points = [self.value(channel, t_ms) for t_ms in range(start_ms, end_ms, 10_000)]
        return math.fsum(points) / len(points)

    def reading(self, channel: str, t_ms: int) -> tuple[float | None, int]:
        """What a perfect reader gets at this moment."""
        return self._channels[channel].reading(t_ms)


class _Channel:
    def __init__(self, channel: SceneChannel, station: Station, process: list[Process], source: str) -> None:
        self._name = f"{source}/{channel.symbol}"
        self._update_ms = round(channel.update_s * 1000)
        self._low, self._high = channel.quantity.plausible
        self._shape = channel.shape
        self._pipe = Signal(
            replace(channel.shape, noise=0.0, low=-math.inf, high=math.inf), 0, self._name, "pipe"
        )
        self._noise = Signal(Shape(0.0, noise=channel.shape.noise), 0, self._name, "noise")
        self._shown: tuple[int, tuple[float | None, int]] | None = None  # of the newest update
        timed = [(p, _spans(p, station)) for p in process]
        self._factors = [FACTORS[p.what](p, spans) for p, spans in timed if p.what in FACTORS]
        self._offsets = [OFFSETS[p.what](p, spans) for p, spans in timed if p.what in OFFSETS]
        self._dirt = [effects.fouling(p, spans) for p, spans in timed if p.what == "fouling"]
        self._wrong = [effects.drift(p, spans) for p, spans in timed if p.what == "drift"]
        self._wrong += [
            effects.bubbles(p, spans, f"{self._name}/bubbles") for p, spans in timed if p.what == "bubbles"
        ]
        self._people = [(p, spans) for p, spans in timed if p.what not in {*FACTORS, *OFFSETS}]

    def truth(self, t_ms: int) -> float:
        value = self._pipe.value(t_ms)
        for factor in self._factors:
            value *= factor(t_ms)
        value += sum(offset(t_ms) for offset in self._offsets)
        return min(self._shape.high, max(self._shape.low, value))

    def reading(self, t_ms: int) -> tuple[float | None, int]:
        at_ms = t_ms - (t_ms + LOCAL_OFFSET_MS) % self._update_ms
        if self._shown is None or self._shown[0] != at_ms:
            self._shown = (at_ms, self._output(at_ms))
        return self._shown[1]

    def _at(self, what: str, t_ms: int) -> tuple[Process, int] | None:
        """The process of that kind that works now, and since when."""
        for process, spans in self._people:
            if process.what == what and (span := inside(spans, t_ms)):
                return process, span[0]
        return None

    def _output(self, t_ms: int) -> tuple[float | None, int]:
        back = self._at("replay", t_ms)
        value = self._indicated(t_ms - round(back[0].size * DAY_MS) if back else t_ms)
        clamp = self._at("clamp", t_ms)
        if clamp:
            value = min(value, clamp[0].size)
        value = bits_float(float_bits(value))
        standard = self._at("standard", t_ms)
        if self._at("fault", t_ms):
            return value, q.FAULT
        if standard and standard[0].given.get("says"):
            return value, q.CALIBRATING
        return value, q.OK if self._low <= value <= self._high else q.OUT_OF_RANGE

    def _indicated(self, t_ms: int) -> float:
        frozen = self._at("frozen", t_ms)
        if frozen:  # what it showed when it began
            t_ms = frozen[1] - (frozen[1] + LOCAL_OFFSET_MS) % self._update_ms
        standard, diluted = self._at("standard", t_ms), self._at("dilution", t_ms)
        value = standard[0].size if standard else self.truth(t_ms)
        if diluted and not standard:
            value *= diluted[0].size
        for factor in self._dirt:
            value *= factor(t_ms)
        return value + self._noise.value(t_ms) + sum(offset(t_ms) for offset in self._wrong)


def _spans(process: Process, station: Station) -> Spans:
    """When it works, Unix ms; without an end: for ever."""
    begins_ms = station.begins_ms
    if process.for_ms is None and process.every_ms is None:
        return [(begins_ms + process.at_ms, FOR_EVER_MS)]
    length_ms = process.for_ms or process.every_ms or 0  # without an end, again and again: until the next
    return [
        (begins_ms + start_ms, begins_ms + start_ms + length_ms)
        for start_ms, _ in process.spans(station.length_ms)
    ]
