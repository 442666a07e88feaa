"""The kinds of journal entries. Numbers are in every journal ever written: never renumber, only add."""

from __future__ import annotations

FRAME = 1
"""A record-carrying device frame (READINGS, EVENT, SEAL): the COSE_Mac0 body exactly as authenticated."""
POLL = 2
"""Readings the gateway took from its own buses: a READINGS payload of protocol.messages."""
WINDOW = 3
"""A window: gateway.windows.body()."""
EVENT = 4
"""Something that happened to the gateway or that it decided: CBOR [name, ...]."""
CONFIGURATION = 5
"""What the window arithmetic needs to know of the configuration: CBOR map."""
HELLO = 6
"""A device's HELLO, exactly as authenticated: its channel table, intervals and calibrations."""
LOG = 7
"""What happened to the log itself: gateway.succession."""

RECORDS = (FRAME, POLL)
"""Kinds whose (source, boot, sequence) only rises."""
