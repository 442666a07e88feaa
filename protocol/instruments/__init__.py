# The instrument profiles that come with Quantrac, one TOML file each. README.md says how to write one.
#
# CPython only, and the single exception to "no I/O" in protocol/: simulator, tools and gateway all read
# profiles and import only protocol. The device gets its station.json from tools/station/build.py instead.

import tomllib
from importlib.resources import files

from protocol.errors import ConfigError
from protocol.profile import parse


def names():
    # Names of all profiles, sorted.
    return sorted(entry.name[:-5] for entry in files(__name__).iterdir() if entry.name.endswith(".toml"))


def load(name):
    # The profile of that name. ConfigError when there is none, or when its file holds faults.
    if name not in names():
        raise ConfigError(f'no profile is called "{name}": write one of {", ".join(names())}')
    table = tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
    profile = parse(table)
    if profile.name != name:
        raise ConfigError(f'{name}.toml calls itself "{profile.name}": write name = "{name}"')
    return profile
