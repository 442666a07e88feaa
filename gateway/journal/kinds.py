"""The kinds of journal entries. Numbers are in every journal ever written: never renumber, only add.

Rule 1: whoever reads entries passes over kinds, and names of events, that he does not know.
"""

from __future__ import annotations

FRAME = 1
"""A record-carrying device frame (READINGS, EVENT, SEAL): the COSE_Mac0 body exactly as authenticated."""
POLL = 2
"""Readings the gateway took from its own buses: a READINGS payload of protocol.messages."""
WINDOW = 3
"""A window: gateway.windows.body()."""
EVENT = 4
"""Something that happened to the gateway or that it decided: CBOR [name, about whom, ...]."""
CONFIGURATION = 5
"""What the window arithmetic needs to know of the configuration: CBOR map."""
HELLO = 6
"""A device's HELLO, exactly as authenticated: its channel table, intervals and calibrations."""
LOG = 7
"""What happened to the log itself: gateway.succession."""
DELIVERY = 8
"""Documents that a destination confirmed, or that wait for a person: gateway.journal.bodies.Delivery."""
COMMAND = 9
"""A command to a device, or its result: CBOR ["command" | "result", device, ...]. EVENT in older journals."""
CALIBRATION = 10
"""What is known of a calibration: CBOR map, "what" says of which sort: ingest/calibrations.py,
ingest/corrections.py, calibration/record.py."""

RECORDS = (FRAME, POLL)
"""Kinds whose (source, boot, sequence) only rises."""

GATEWAY = "gateway"
"""The source of what the gateway itself does, decides, and hears of people."""
