"""What a broker's reason codes mean for us (MQTT 5, section 2.4; the few of 3.1.1 are among them). Pure.

of a CONNACK, PUBACK or DISCONNECT                      what it becomes

packet too large, payload format invalid (PUBACK)       Rejected: this message, and no other
busy, unavailable, quota, rate, shutting down,          Unreachable: later
unspecified, ...
anything else from 0x80 on                              Refused: somebody has to correct something
"""

from __future__ import annotations

from gateway.errors import DestinationError, Refused, Rejected, Unreachable

UNSUPPORTED_VERSION = 0x84
_THIS_MESSAGE = {0x95, 0x99}
_LATER = {0x80, 0x83, 0x88, 0x89, 0x8B, 0x8D, 0x91, 0x93, 0x95, 0x96, 0x97, 0x98, 0x9F}
_USER = "Correct user, password_file or cert_file, or ask its people for the right to publish."
_WHAT_TO_DO = {
    UNSUPPORTED_VERSION: 'Write version = "auto" or the one that it knows.',
    0x85: "Correct client_id.",
    0x86: _USER,
    0x87: _USER,
    0x8A: "Ask its people why.",
    0x8C: _USER,
    0x8E: "Another client has our client_id: give each its own.",
    0x90: "Correct topic_prefix.",
    0x9C: "Ask its people for the new address.",
    0x9D: "Ask its people for the new address.",
}


def told(code: int, name: str, server: str, of_message: bool = False) -> DestinationError:
    """The error for a code from 0x80 on; `name` is what the broker said, `server` who it is."""
    if of_message and code in _THIS_MESSAGE:
        return Rejected(f"The broker {server} will not take this message ({name}).")
    if code in _LATER:
        return Unreachable(f"The broker {server} takes nothing now ({name}). Trying again.")
    return Refused(f"The broker {server} refused us ({name}). {_WHAT_TO_DO.get(code, 'Ask its people.')}")
