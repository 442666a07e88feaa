"""The device itself, asked while the sheet is made: its greeting and its status.

Rule 1: it answers or it does not; either is said in the sheet, and neither stops it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from protocol.errors import ProtocolError
from protocol.messages import Hello
from tools.people import Failure
from tools.station.access import GREETING_S, Access, station_at
from tools.station.sheet import plain
from tools.station.sheet.model import Live


def asked(access: Access, seconds: float = GREETING_S) -> Live:
    """What it says. UsageError for a port that is none, or without a key."""
    try:
        return asyncio.run(_asked(access, seconds))
    except (Failure, ProtocolError, OSError) as error:
        return Live(plain.text(access.port), plain.text(str(error)) or type(error).__name__)


async def _asked(access: Access, seconds: float) -> Live:
    async with station_at(access, seconds) as (link, station):
        result = await link.command("status")
        said = plain.table(result.data) if result.ok else {}
        return of(access.port, station.hello, said, station.safe_mode)


def of(port: str, hello: Hello, said: dict[str, Any], safe: str | None) -> Live:
    """From a greeting and the answer to `status`."""
    trial = said.get("trial")
    return Live(
        port=plain.text(port),
        id=plain.text(hello.device, 60),
        firmware=plain.text(hello.firmware),
        config=hello.config_hash.hex(),
        board=plain.text(said.get("board")),
        boot=hello.boot,
        reset=plain.text(hello.reset),
        safe=plain.text(safe or said.get("safe")),
        trial=trial.hex() if isinstance(trial, bytes) else plain.text(trial),
        up_ms=plain.whole(said.get("up_ms")),
        told=said.get("told") if isinstance(said.get("told"), bool) else None,
        calibrations={name: (number, len(points)) for name, _, number, points in hello.channels},
        inputs=tuple((row[0], row[1]) for row in _texts(said.get("inputs")) if len(row) == 2),
        units=tuple(tuple(row) for row in _texts(said.get("units")) if len(row) > 2),
    )


def _texts(given: Any) -> list[list[str]]:
    return [[plain.text(one) for one in plain.rows(row)] for row in plain.rows(given)]
