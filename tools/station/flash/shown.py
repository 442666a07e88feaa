"""What `station flash` says of a board, of what is to be done, and of where the station greets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from tools.station.flash import write_image
from tools.station.flash.board import About, Held
from tools.station.flash.images import Image
from tools.station.flash.plan import Plan, Step
from tools.station.flash.wanted import Firmware
from tools.station.voice import Voice, harmless

SHOWN_DIGITS = 16
"""Of a SHA-256; --json has all of it."""


def show(voice: Voice, id: str, plan: Plan, about: About, firmware: Firmware, held: Held) -> None:
    """The board, the firmware, and what is there already."""
    free = f"{held.free // 1024:,} KB free"
    voice.say(f"{harmless(about.machine)}, MicroPython {harmless(about.number)}, {free}")
    voice.say(f"station {id}, firmware {firmware.version} ({'signed' if firmware.signed else 'not signed'})")
    for note in plan.notes:
        voice.say(note)
    if plan.there:
        voice.say(f"There already: {', '.join(plan.there)}.")
    if not plan.steps:
        voice.say("Nothing is to be done.")


def show_steps(voice: Voice, plan: Plan, seal: Path | None) -> None:
    """What would be done. `seal`: the file of this machine that would go."""
    if plan.steps:
        voice.say(f"Would be done, with {plan.need // 1024:,} KB of flash:")
    for step in plan.steps:
        voice.command(_line(step))
    if seal is not None:
        voice.say(f"{seal} would be written over and deleted.", "  ")


def _line(step: Step) -> str:
    why = f"  {step.why}" if step.why else ""
    if step.data is None:
        return f"remove {step.name:<15}{why}"
    return f"write  {step.name:<15}{len(step.data):>8,} bytes  {step.sha256[:SHOWN_DIGITS]}{why}"


def table(plan: Plan, about: About, firmware: Firmware, held: Held) -> str:
    """The same as JSON."""
    facts = {
        "board": about.machine,
        "micropython": about.number,
        "firmware": firmware.version,
        "signed": firmware.signed,
        "free": held.free,
        "need": plan.need,
        "there": plan.there,
        "steps": [_row(step) for step in plan.steps],
        "notes": plan.notes,
    }
    return json.dumps(facts)


def _row(step: Step) -> dict[str, Any]:
    if step.data is None:
        return {"do": "remove", "name": step.name, "why": step.why}
    size = len(step.data)
    return {"do": "write", "name": step.name, "size": size, "sha256": step.sha256, "why": step.why}


def show_image(voice: Voice, image: Image, port: str, erase: bool) -> None:
    """What would be done with an image; what follows it nobody can say before it runs."""
    if voice.quiet:
        facts = {"image": str(image.path), "chip": image.chip, "size": len(image.data)}
        print(json.dumps({**facts, "sha256": image.sha256}))
        return
    voice.say(f"Would be done: {image.path} comes onto the board.")
    voice.say(f"{image.banner} for {image.chip}", "  ")
    voice.say(f"{len(image.data):,} bytes  {image.sha256[:SHOWN_DIGITS]}", "  ")
    if image.kind == "esp":
        for command in write_image.esptool_commands(image, port, erase):
            voice.command(shlex.join(command))
    voice.say("Which files follow can be said once this MicroPython answers.")


def show_link(voice: Voice, link: dict[str, Any], folder: Path) -> None:
    """Where a station greets whose link is not the port it was flashed by."""
    if link.get("kind") in ("tcp", "tls"):
        where, port = f"TCP to {link.get('host')}:{link.get('port')}", f"tcp://0.0.0.0:{link.get('port')}"
    else:
        where, port = f"the serial line {link.get('path')}", "PORT"
    voice.say(f"All is there, and it starts. It greets by its link, {where}. To see it:")
    voice.command(f"quantrac station console --port {port} --dir {shlex.quote(str(folder))}")
