# The instrument profiles that come with Quantrac, one TOML file each. README.md says how to write one.
#
# CPython only, and the single exception to "no I/O" in protocol/: simulator, tools and gateway all read
# profiles and import only protocol. The device gets its station.json from tools/station/build.py instead.
#
# Rule 1: profiles of one's own stand in the folder that $QUANTRAC_PROFILES names, and are used like these.
#         A name that is taken is refused: nobody should have to guess which of two files was meant.

import os
import tomllib
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from protocol import fields
from protocol.errors import ConfigError
from protocol.profile import parse

OWN = "QUANTRAC_PROFILES"

_lent = {}


def _found():
    # Every profile's file by its name. ConfigError when two have one name, or the own folder is none.
    found = {entry.name[:-5]: entry for entry in files(__name__).iterdir() if entry.name.endswith(".toml")}
    own = os.environ.get(OWN)
    if own and not Path(own).is_dir():
        raise ConfigError(f"{OWN}={own} is no folder: correct the variable, or unset it")
    for path in sorted(Path(own).glob("*.toml")) if own else ():
        if path.stem in found:
            raise ConfigError(
                f'{path}: "{path.stem}" comes with Quantrac, give the file and its name another'
            )
        found[path.stem] = path
    return found


def names():
    # Names of all profiles, sorted.
    return sorted(_found())


def load(name):
    # The profile of that name. ConfigError when there is none, or when its file holds faults.
    if name in _lent:
        return _lent[name]
    found = _found()
    if name not in found:
        raise ConfigError(f'no profile is called "{name}": write one of {", ".join(sorted(found))}')
    return read(found[name])


def read(path):
    # The profile in a file, open questions and all. ConfigError with every fault; OSError when there is none.
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is no TOML: {error}") from error
    stem = path.name.removesuffix(".toml")
    faults = []
    if isinstance(table.get("name"), str) and table["name"] != stem:
        faults.append(f'name = "{table["name"]}": the file is called {path.name}, write name = "{stem}"')
    try:
        profile = parse(table)
    except ConfigError as error:
        faults += error.faults
    if faults:
        raise fields.fail(stem, faults)
    return profile


@contextmanager
def lent(profile):
    # load() knows this one, too, while the block runs: how a file that stands elsewhere is built and tried.
    _lent[profile.name] = profile
    try:
        yield
    finally:
        del _lent[profile.name]
