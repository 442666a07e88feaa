"""`quantrac` where station time runs faster: python -m tests.tools.calibrate_hurried station calibrate ...

A device shows its newest readings every five real seconds, which are TIMES five seconds of its own clock.
"""

from __future__ import annotations

from tools import cli
from tools.station.calibrate import ways

TIMES = 10
ways.Direct.pace_ms = ways.Direct.lag_ms = ways.SHOWN_MS * TIMES

if __name__ == "__main__":
    cli.main()
