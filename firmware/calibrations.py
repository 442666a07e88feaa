# Calibrations that came by command: kept in state/calibration, laid over those of station.json.
#
# Rule 1: of one channel the calibration with the higher number counts, wherever it stands: numbers only rise,
#         so a new station.json with a newer calibration wins, and one with an older one does not undo.
# Rule 2: points are kept as the bits of 32-bit floats, as HELLO carries them: nothing is rounded twice.
# Rule 3: what cannot be read is left out: measuring goes on with what station.json says.
#
# The file (JSON): {channel name: [number, [[raw bits, engineering bits], ...]], ...}

import json

from protocol import calibration
from protocol.errors import ConfigError
from protocol.reading import bits_float, float_bits

FILE = "state/calibration"


def _load(files):
    try:
        table = json.loads(files.read(FILE))
        return table if isinstance(table, dict) else {}
    except (OSError, ValueError):
        return {}


# channels: the list of config.Channel, changed in place. At the start.
def apply(files, channels):
    table = _load(files)
    for i, channel in enumerate(channels):
        try:
            number, points = table[channel.name]
            for bits in [bits for point in points for bits in point]:
                if type(bits) is not int or not 0 <= bits <= 0xFFFFFFFF:
                    raise ValueError
            points = [[bits_float(raw), bits_float(value)] for raw, value in points]
            calibration.check(points)
            if type(number) is int and channel.calibration < number <= 0xFFFF:
                channels[i] = type(channel)(channel.name, number, points)
        except (KeyError, TypeError, ValueError, OverflowError, ConfigError):
            pass


# A new one: kept, then in channels. The index of its channel; ConfigError for what will not do. fits():
# whether the channels, as changed, can still be told in one frame.
def add(files, channels, name, number, points, fits):
    names = [channel.name for channel in channels]
    if name not in names:
        raise ConfigError("channel: write one of " + ", ".join(names))
    at = names.index(name)
    old = channels[at]
    if type(number) is not int or not old.calibration < number <= 0xFFFF:
        raise ConfigError(f"id: write a number from {old.calibration + 1} to 65535")
    if not isinstance(points, list):
        raise ConfigError("points: write [[raw, engineering], ...]")
    calibration.check(points)
    points = [[float_bits(float(x)) for x in point] for point in points]
    table = _load(files)
    table[name] = [number, points]
    channels[at] = type(old)(name, number, [[bits_float(x) for x in point] for point in points])
    try:
        if not fits():
            raise ConfigError("the greeting gets too long: write fewer points")
        files.make("state")
        files.replace(FILE, json.dumps(table).encode())
    except (ConfigError, OSError):
        channels[at] = old
        raise
    return at
