"""All signs of a station's channels at once. Pure.

Rule 1: signs come in the order of time, then of channel and name: the same windows give the same list.
Rule 2: what needs a limit is looked at only for channels that have an upper one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from gateway.suspicion import Sign, Thresholds, Track
from gateway.suspicion.company import apart, calibrations
from gateway.suspicion.edges import gaps, pressed
from gateway.suspicion.steady import collapse, repeats


def look(
    tracks: Sequence[Track],
    limits: Mapping[str, float] | None = None,
    thresholds: Thresholds | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Sign]:
    """The signs of these channels; `limits`: the upper one by symbol; `pairs`: to be compared (None: all).

    Every pair is looked at only as far as it moved together before.
    """
    thresholds, limits = thresholds or Thresholds(), limits or {}
    found: list[Sign] = []
    for track in tracks:
        found += collapse(track, thresholds) + repeats(track, thresholds) + calibrations(track, thresholds)
        if track.symbol in limits:
            limit = limits[track.symbol]
            found += pressed(track, limit, thresholds) + gaps(track, limit, thresholds)
    for one, other in combinations(tracks, 2):
        if pairs is None or (one.symbol, other.symbol) in pairs or (other.symbol, one.symbol) in pairs:
            found += apart(one, other, thresholds)
    return sorted(found, key=lambda sign: (sign.start_ms, sign.symbol, sign.name))
