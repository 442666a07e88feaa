"""Numbers that must balance, in one place.

    read == journaled == windowed + open + late + unplaced          for every channel, once the queue is empty
    queued == delivered + parked + waiting                          for every destination

`read`, `windowed`, `open`, `late` and `unplaced` of a channel are kept by its ChannelState, where they
happen; a restart counts the readings of windows that are still open again, so that the balance holds from the
first moment. Everything only grows, except what is said to be a state. Plain integers: nothing here costs the
hot path anything.
"""

from __future__ import annotations

from typing import Any


class Counted:
    """A few named integers."""

    __slots__ = ()

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def snapshot(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class LinkCounters(Counted):
    """One device link."""

    __slots__ = (
        "acks",  # acknowledgements sent
        "bad_tag",  # frames of this device's id whose tag is wrong: another key, or changed on the way
        "bytes",  # received
        "connected",  # state: 1 while the link is up
        "connections",  # times it came up
        "frames",  # whole frames received, whatever came of them
        "gaps",  # records refused because one before them is missing
        "hellos",  # greetings
        "journaled",  # frames on disk
        "noise",  # stretches between zeros that were no frame: damaged, or garbage
        "noise_bytes",  # bytes in them
        "not_averaged",  # records that are journaled and in no window, by a mistake of ours
        "pauses",  # times reading was paused because the disk could not follow
        "placed_late",  # readings placed in time after they were journaled (counted when they are)
        "readings",  # readings in accepted frames, those that means stand for among them
        "refused",  # messages that a device does not send
        "repeats",  # records that are held already
        "results",  # answers to commands
        "shown",  # messages with the newest readings, to be looked at only, ahead of a backlog
        "skipped",  # records that the device no longer has, lost before they reached the gateway
        "stale",  # records or greetings of an earlier boot
        "summaries",  # means in accepted frames, each of many readings
        "tls_failures",  # connections that did not get through the TLS handshake
        "undecodable",  # authentic frames with no message of ours in them
        "unrouted",  # readings of quantities that no channel is configured for
        "wrong_device",  # frames that name another device
    )


class ChannelCounters(Counted):
    """One channel; see the head of this file."""

    __slots__ = ("journaled", "late", "open", "read", "unplaced", "windowed")


class DestinationCounters(Counted):
    """One destination's documents. How its delivery goes at the moment is in forward.worker.Counters."""

    __slots__ = ("delivered", "parked", "queued")

    @property
    def waiting(self) -> int:
        """Documents not yet delivered nor parked."""
        return self.queued - self.delivered - self.parked


class Counters:
    """All of the gateway's counters about values on their journey."""

    def __init__(self) -> None:
        self.channels: dict[str, ChannelCounters] = {}
        self.links: dict[str, LinkCounters] = {}
        self.destinations: dict[str, DestinationCounters] = {}
        self.polls_refused = (
            0  # readings of the gateway's own buses given up because the disk could not follow
        )

    def link(self, device: str) -> LinkCounters:
        return self.links.setdefault(device, LinkCounters())

    def channel(self, symbol: str) -> ChannelCounters:
        return self.channels.setdefault(symbol, ChannelCounters())

    def destination(self, id: str) -> DestinationCounters:
        return self.destinations.setdefault(id, DestinationCounters())

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain types, for the page, the metrics and the tests."""
        return {
            "channels": {symbol: counted.snapshot() for symbol, counted in self.channels.items()},
            "links": {device: counted.snapshot() for device, counted in self.links.items()},
            "destinations": {
                id: {**counted.snapshot(), "waiting": counted.waiting}
                for id, counted in self.destinations.items()
            },
            "polls_refused": self.polls_refused,
        }
