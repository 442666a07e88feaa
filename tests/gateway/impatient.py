"""`quantrac` whose gateway has little patience: python -m tests.gateway.impatient gateway run CONFIG."""

from gateway import app, heartbeat
from gateway.journal import retention
from tools import cli

app.WATCHDOG_S = 0.2
heartbeat.REFUSED_S = 1.0
retention.START_S = 0.5

if __name__ == "__main__":
    cli.main()
