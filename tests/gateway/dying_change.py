"""`quantrac` whose gateway is killed at one step of a change:

    python -m tests.gateway.dying_change gateway run CONFIG

Beside CONFIG: "die-at" holds the number of the step; it goes before the gateway does: the next start lives.
"steps" gets a line for each step that was passed. With "careless" the old file is not kept: the control that
the tests must catch. A channel with the symbol Boom cannot be started with.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gateway import app, config_change, process
from gateway.config_change import keeper, kept
from gateway.journal import durable
from tools import cli

FOLDER = Path(sys.argv[3]).parent
STEPS, DIE_AT = FOLDER / "steps", FOLDER / "die-at"
OURS = (kept.BEFORE, kept.CHANGE, ".toml")

config_change.keeper.LOOK_S = 0.2


def step(name: str) -> None:
    """One more; the last one if it is the number in "die-at"."""
    with STEPS.open("a") as file:
        file.write(f"{name}\n")
    number = len(STEPS.read_text().splitlines())
    if DIE_AT.exists() and int(DIE_AT.read_text()) == number:
        DIE_AT.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


replace, tell, again, make = (
    durable.replace,
    keeper.ConfigKeeper._tell,
    process.start_again,
    app.Gateway.__init__,
)


def replacing(path: Path, data: bytes, mode: int = 0o644) -> None:
    ours = path.parent == FOLDER and path.suffix in OURS
    if ours and path.suffix == kept.BEFORE and (FOLDER / "careless").exists():
        return
    if ours:
        step(f"before {path.name}")
    replace(path, data, mode)
    if ours:
        step(f"after {path.name}")


async def telling(self: keeper.ConfigKeeper, body: bytes) -> None:
    step("before the entry")
    await tell(self, body)
    step("after the entry")


def starting_again() -> None:
    step("before the restart")
    again()


def making(self: app.Gateway, config, *rest, **others) -> None:
    if any(channel.symbol == "Boom" for channel in config.channel):
        raise RuntimeError("Boom cannot be started with")
    make(self, config, *rest, **others)


durable.replace = replacing
keeper.ConfigKeeper._tell = telling
process.start_again = starting_again
app.Gateway.__init__ = making

if __name__ == "__main__":
    cli.main()
