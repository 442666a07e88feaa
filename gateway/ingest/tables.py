"""What the channel numbers of a boot mean when its own greeting never came.

A greeting tells the table of the boot that greets. What the device then brings from its flash may be of
former boots that never reached us, measured by other configurations. Their first record (START) names the
configuration by the hash that a greeting carries, too.

Rule 1: the table of a boot is its own greeting's, else that which was told for its configuration. Numbers of
        a configuration that nobody told lead nowhere: no value is better than one under another's name.
Rule 2: what was found out is kept as an event "table", so that replay.py finds the same.
Rule 3: devices that name no configuration: the table of the boot before (Lane.table_of).
"""

from __future__ import annotations

import re

from gateway.lane import Lane
from protocol.messages import Event, Hello

CONFIGURATIONS_MAX = 64
"""Configurations of one device whose tables are remembered by their hash."""
_NAMED = re.compile(r", configuration ([0-9a-f]{16})$")


def greeted(lane: Lane, hello: Hello) -> None:
    """A greeting that goes into the journal, or comes from there."""
    lane.describe(hello.boot, hello.channels)
    known = lane.configurations
    known.pop(hello.config_hash, None)
    known[hello.config_hash] = lane.tables.get(hello.boot) or [tuple(row) for row in hello.channels]
    while len(known) > CONFIGURATIONS_MAX:
        del known[next(iter(known))]


def named(event: Event) -> bytes | None:
    """The configuration that a START names."""
    found = _NAMED.search(event.detail) if isinstance(event.detail, str) else None
    return bytes.fromhex(found[1]) if found else None


def recall(lane: Lane, boot: int, config_hash: bytes) -> None:
    """A boot that has not greeted ran with this configuration."""
    lane.describe(boot, lane.configurations.get(config_hash, ()))
