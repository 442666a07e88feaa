"""A configuration that somebody proposes: what is wrong with it, what it changes, what that means.

Rule 1: nothing is changed here; the proposal is read as if it stood in the place of the one that runs.
Rule 2: its faults are those of `quantrac gateway check`, all at once, and what means.py refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway import config as configuration
from gateway.check import warnings_of
from gateway.config_change.difference import Difference, fingerprint, of_files
from gateway.config_change.means import Meaning, fixed, meanings
from gateway.config_lines import line_of, lines
from gateway.config_model import Config
from gateway.errors import Fault


class Proposal(NamedTuple):
    """What is known of it before it is applied."""

    faults: tuple[Fault, ...]  # with any, it cannot be applied
    warnings: tuple[Fault, ...]
    differences: tuple[Difference, ...]  # none: only comments and spaces differ, or it is no TOML
    means: tuple[Meaning, ...]
    fingerprint: str  # of its bytes


def propose(running: Config, running_data: bytes, data: bytes, waiting: Mapping[str, int]) -> Proposal:
    """`data` in the place of the configuration that runs, which was made of `running_data`.

    waiting: documents that wait, by the id of their destination.
    """
    path = Path(running.path)
    config, found = configuration.parse(path, data)
    differences = of_files(running_data, data)
    if config is None:
        return Proposal(tuple(found), (), differences, (), fingerprint(data))
    faults = tuple(_refused(running, config, path, data))
    return Proposal(
        faults, tuple(warnings_of(config, path, data)), differences,
        tuple(meanings(running, config, waiting)), fingerprint(data),
    )  # fmt: skip


def _refused(running: Config, config: Config, path: Path, data: bytes) -> list[Fault]:
    places = lines(data.decode("utf-8-sig").replace("\r\n", "\n"))
    found = []
    for section, key, old, new in fixed(running, config):
        line = line_of(places, (section, key))
        what = f"It changes from '{old}' to '{new}': the journal and its log belong to the old one."
        instead = "Leave it; for another station or another place, stop the gateway and make one anew."
        found.append(Fault(f"{path}:{line}: {section}.{key}", what, instead))
    return found
