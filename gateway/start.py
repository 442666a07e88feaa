"""`quantrac gateway run`, its first step: what this process does not need is never in it.

Rule 1: before anything of the gateway is imported, it is settled that configurations are read elsewhere
        (config_apart.py).
Rule 2: what the configuration asks for is imported before READY, nothing of it in the middle of the night.
"""

from __future__ import annotations

from pathlib import Path

from gateway import config_apart, config_carried, memory


def main(config_path: Path, clock_path: Path | None) -> int:
    """Returns the exit status."""
    memory.one_arena()
    config_carried.choose()
    config_apart.ahead()
    from gateway.process import main as run

    return run(config_path, clock_path)
