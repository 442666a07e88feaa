"""Everything that can go wrong in the gateway and is expected to, as one tree.

    GatewayError
     +- ConfigFaults        retry: no      who: its author        every fault of a configuration at once
     +- JournalError        retry: no      who: operator          acknowledge nothing more, and say so
     |   +- NotThere        retry: no      who: who asked         it holds no such thing, or not yet
     +- CommandError        retry: no      who: who commanded     this one cannot be sent: correct it
     |   +- NotConnected    retry: soon    who: operator          nothing was sent
     |   +- NoAnswer        retry: no      who: who commanded     nobody knows whether it was done: ask first
     +- PeopleError         retry: no      who: administrator     who may log in cannot be read, or changed so
     +- DestinationError
         +- Unreachable     retry: soon    who: nobody at first   network, server down, server full
         +- Refused         retry: slowly  who: operator          password, host key, permission
         +- Rejected        retry: no      who: operator          this one document: park it

Each leaf answers three questions: is it tried again (`retry`), who has to act (`who`), and what does the
person read (`str(error)`: what happened, then what to do about it, in plain sentences).
A programming mistake of ours is not in this tree: it stays a Python exception, logged with its traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class GatewayError(Exception):
    """Base of all expected errors."""

    retry = "no"  # "no" | "soon" | "slowly"
    who = "operator"


class Fault(NamedTuple):
    """One thing wrong (or doubtful) in a configuration."""

    where: str  # "config.toml:17: channel[0].unit"
    what: str  # what is wrong, a sentence
    instead: str  # what to write instead, a sentence

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.instead}".rstrip()


class ConfigFaults(GatewayError):
    """The configuration cannot be used. `faults` holds all that is wrong with it."""

    retry = "no"
    who = "whoever wrote the configuration"

    def __init__(self, path: Path | str, faults: list[Fault]):
        self.path = path
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{path}: {count}.", *(f"  {fault}" for fault in faults)]))


class JournalError(GatewayError):
    """The journal cannot store: nothing more is acknowledged until it was opened and checked again."""

    retry = "no"
    who = "operator"


class NotThere(JournalError):
    """The journal can be read, and does not hold what was asked for, or cannot prove it yet."""

    retry = "no"
    who = "whoever asked"


class CommandError(GatewayError):
    """A command cannot be given to a device as it is."""

    retry = "no"
    who = "whoever commanded"


class PeopleError(GatewayError):
    """The list of people cannot be read, or not be changed as somebody asked."""

    retry = "no"
    who = "administrator"


class NotConnected(CommandError):
    """The device is not there, or takes nothing just now: nothing was sent."""

    retry = "soon"
    who = "operator"


class NoAnswer(CommandError):
    """It was sent, and no answer came: it may have been carried out or not."""

    retry = "no"
    who = "whoever commanded"


class CertificateError(GatewayError):
    """The page has no certificate that it could use; a sentence."""

    retry = "no"
    who = "administrator"


class DestinationError(GatewayError):
    """A document did not reach its destination (a checkpoint its witness), or it is not known that it did."""

    retry = "soon"
    who = "nobody at first"


class Unreachable(DestinationError):
    """No connection, a broken one, or a server that cannot take anything now: try again with back-off.

    `after_s`: the server asked not to be tried again before that many seconds have passed.
    """

    retry = "soon"
    who = "nobody at first"

    def __init__(self, said: str, after_s: float = 0.0):
        super().__init__(said)
        self.after_s = after_s


class Refused(DestinationError):
    """The server is there and says no to us (password, host key, permission): try slowly, and say so."""

    retry = "slowly"
    who = "operator, with the receiving side"


class Rejected(DestinationError):
    """The server says no to this one document: park it for a person, and go on with the next."""

    retry = "no"
    who = "operator"
