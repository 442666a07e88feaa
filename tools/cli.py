"""The `quantrac` command. All its verbs are in commands.py, but for the one that runs for years.

Rule 1: `gateway run CONFIG` is understood here, by itself: what reads a command line of many verbs, and its
        help, would stay in the gateway's memory (gateway/decisions/0022). All other lines go to commands.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tools import people

RUN = ["gateway", "run"]
CLOCK = "--clock"


def main() -> None:
    """Entry point of the console script. --debug may stand anywhere on the line."""
    if "--debug" in sys.argv[1:]:
        people.DEBUG = True
        sys.argv = [sys.argv[0], *(word for word in sys.argv[1:] if word != "--debug")]
    if (asked := plain_run(sys.argv[1:])) is not None:
        sys.exit(_run(*asked))
    from tools.commands import app

    app()


def plain_run(words: list[str]) -> tuple[Path, Path | None] | None:
    """(CONFIG, the clock's file) of `gateway run CONFIG [--clock FILE]`; None for any other line."""
    rest = words[2:]
    clock = Path(rest.pop(rest.index(CLOCK) + 1)) if CLOCK in rest[:-1] else None
    if clock is not None:
        rest.remove(CLOCK)
    if words[:2] != RUN or len(rest) != 1 or rest[0].startswith("-"):
        return None
    return Path(rest[0]), clock


def _run(config: Path, clock: Path | None) -> int:
    try:
        from gateway.start import main as run_gateway

        return run_gateway(config, clock)
    except (Exception, KeyboardInterrupt) as error:
        return people.told(error)


def __getattr__(name: str) -> Any:
    """`app`, the whole command as an object, for whoever takes it apart: made when it is asked for."""
    if name != "app":
        raise AttributeError(f"tools.cli has no {name}")
    from tools.commands import app

    return app


if __name__ == "__main__":
    main()
