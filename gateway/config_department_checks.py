"""What the tables [department] and [sampler] cannot know by themselves: who is there, and what files hold.

`commanded(table, parts)` yields (place, what, instead), as config_cross.across() does.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

from gateway.config_cross import Found, content, named_file
from gateway.config_department import Department, Sampler
from gateway.config_keys import department_keys
from gateway.config_model import BusSource, MqttDestination, NotifyDestination
from protocol.merkle import EvidenceError


def commanded(table: dict[str, Any], parts: dict[str, Any]) -> Iterator[Found]:
    """Every fault of the two tables."""
    if isinstance(department := parts["department"], Department):
        yield from _department(department, parts)
    if isinstance(sampler := parts["sampler"], Sampler):
        yield from _sampler(sampler, table, parts)


def _department(department: Department, parts: dict[str, Any]) -> Iterator[Found]:
    place = ("department",)
    path, ways = department.key_file, (department.via, department.url)
    if path is not None:
        faults = list(named_file((*place, "key_file"), path))
        yield from faults
        if not faults:
            try:
                department_keys(content(path))
            except EvidenceError as error:
                instead = "Write the vkey there that the department gave you, in person."
                yield (*place, "key_file"), f"{path} holds no key of the department: {error}.", instead
        if not any(ways):
            what = "The department has a key, and no way by which its commands come."
            yield place, what, 'Write via = "national" (an mqtt destination) or url = "https://...".'
    elif any(ways):
        yield place, "Commands come from somewhere, and nobody's key is pinned.", "Write key_file as well."
    there = {one.id: one for one in parts["destination"].values()}
    if department.via is not None and not isinstance(there.get(department.via), MqttDestination):
        what = f"'{department.via}' is no mqtt destination."
        yield (*place, "via"), what, "Write the id of one; for a server of https write url."
    for id in department.resend_to:
        if id not in there or isinstance(there[id], NotifyDestination):
            what = f"There is no destination '{id}' that gets documents."
            yield (*place, "resend_to"), what, f"Write ids of destinations: {', '.join(there) or 'none'}."
    yield from _server(department)


def _server(department: Department) -> Iterator[Found]:
    place = ("department",)
    if department.token_file is not None:
        yield from named_file((*place, "token_file"), department.token_file, secret=True)
    cert, key = department.cert_file, department.cert_key_file
    if bool(cert) != bool(key):
        what = "cert_file and cert_key_file belong together."
        yield (*place, "cert_file"), what, "Write both, or none."
    for name, path in (("ca_file", department.ca_file), ("cert_file", cert)):
        if path is not None:
            yield from named_file((*place, name), path)
    if key is not None:
        yield from named_file((*place, "cert_key_file"), key, secret=True)
    if cert and key and cert.is_file() and key.is_file():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, lambda: b"")
        except (OSError, ValueError):
            what = f"{cert} and {key} are not a certificate and its key."
            yield (*place, "cert_file"), what, "Write PEM files, the key without a password."


def _sampler(sampler: Sampler, table: dict[str, Any], parts: dict[str, Any]) -> Iterator[Found]:
    place = ("sampler",)
    if "sampler" in table and not sampler.exists:
        yield place, "Nothing drives the sampler.", 'Write device = "st-01", or bus = "tank" and its coil.'
    if sampler.device is not None and sampler.bus is not None:
        yield place, "The sampler is driven by a device and by a bus.", "Write one of them."
    if sampler.device is not None and sampler.device not in [one.id for one in parts["device"].values()]:
        what = f"There is no device '{sampler.device}'."
        yield (*place, "device"), what, "Write the id of a [[device]]."
    if sampler.device is not None and sampler.feedback_input is not None:
        what = "A device looks at its feedback contact itself."
        yield (*place, "feedback_input"), what, "Leave it out; write feedback into its station.json."
    channels = parts["channel"].values()
    if sampler.bus is not None:
        wired = [one for one in channels if isinstance(one.source, BusSource)]
        if sampler.bus not in [one.id for one in parts["bus"].values()]:
            yield (*place, "bus"), f"There is no bus '{sampler.bus}'.", "Write the id of a [[bus]]."
        elif sampler.bus not in [one.source.bus for one in wired]:
            what = f"No channel is read from '{sampler.bus}', so that nobody would see that it is down."
            yield (*place, "bus"), what, "Add a channel of it, such as the feedback contact."
    known = [one.symbol for one in channels]
    if sampler.feedback_channel is not None and sampler.feedback_channel not in known:
        what = f"There is no channel '{sampler.feedback_channel}'."
        yield (*place, "feedback_channel"), what, f"Write a symbol: {', '.join(known) or 'none'}."
    if sampler.feedback_channel is not None and sampler.feedback_input is not None:
        yield (*place, "feedback_input"), "There are two feedback contacts.", "Write one of them."
