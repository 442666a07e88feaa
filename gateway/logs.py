"""Logging: one line an event on stderr, where systemd reads it: `time LEVEL part: what key=value ...`.

The standard library's logging with fields as keyword arguments. Why not a logging library: decisions/0001.
Libraries' own loggers go the same way, from WARNING on.

Rule 1: where stderr is the system's journal ($JOURNAL_STREAM), each line begins with its priority (`<3>`,
        sd-daemon(3)) and has no time of its own: the journal has both.
Rule 2: QUANTRAC_LOG=json makes one JSON object of each event: level, part, event, and the fields as they are.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

CHATTY = ("asyncssh", "pymodbus", "pymodbus.logging", "uvicorn", "asyncio")
"""Libraries that report what we report ourselves: only their errors are kept."""
PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
"""Of syslog(3), which systemd's journal has; anything else is 7, debugging."""
JSON = "json"


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
                extra={"event": event, "fields": fields},
            )


def _shown(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & set(' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())  # whatever could end the line is escaped


def get_logger(name: str) -> Logger:
    """The logger of a part of the gateway."""
    return Logger(name)


class _Text(logging.Formatter):
    """A line for people; with `journal` as systemd's journal wants it."""

    def __init__(self, journal: bool):
        super().__init__(("" if journal else "%(asctime)s ") + "%(levelname)-7s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        mark = f"<{PRIORITIES.get(record.levelno, 7)}>"
        return "\n".join(mark + line for line in text.split("\n"))  # also those of a traceback


class _Json(_Text):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {"level": record.levelname.lower(), "part": record.name}
        if not self._journal:
            said = {"t": self.formatTime(record), **said}
        said["event"] = getattr(record, "event", None) or record.getMessage()
        said |= {f"field_{key}" if key in said else key: value for key, value in _fields(record).items()}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        mark = f"<{PRIORITIES.get(record.levelno, 7)}>" if self._journal else ""
        return mark + json.dumps(said, ensure_ascii=True, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "fields", {})


def _into_journal() -> bool:
    """Whether stderr is the very pipe to the journal that systemd names: it may have been sent elsewhere."""
    found = os.environ.get("JOURNAL_STREAM", "")
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return found == f"{there.st_dev}:{there.st_ino}"


def set_up_logging() -> None:
    """Once, at the start of the process."""
    handler = logging.StreamHandler(sys.stderr)
    form = _Json if os.environ.get("QUANTRAC_LOG", "") == JSON else _Text
    handler.setFormatter(form(_into_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
