"""Logging: one line an event on stderr, where systemd reads it: `time LEVEL part: what key=value ...`.

The standard library's logging with fields as keyword arguments. Why not a logging library: decisions/0001.
Libraries' own loggers go the same way, from WARNING on.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

CHATTY = ("asyncssh", "pymodbus", "pymodbus.logging", "uvicorn", "asyncio")
"""Libraries that report what we report ourselves: only their errors are kept."""


class Logger:
    """`log.warning("line is down", bus="tank", why="refused")`."""

    def __init__(self, name: str):
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._say(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error of ours, with the traceback of the exception that is being handled."""
        self._say(logging.ERROR, event, fields, exc_info=True)

    def _say(self, level: int, event: str, fields: dict[str, Any], exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(
                level,
                "%s",
                " ".join([event, *(f"{key}={_shown(fields[key])}" for key in fields)]),
                exc_info=exc_info,
            )


def _shown(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())  # whatever could end the line is escaped


def get_logger(name: str) -> Logger:
    """The logger of a part of the gateway."""
    return Logger(name)


def set_up_logging() -> None:
    """Once, at the start of the process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
