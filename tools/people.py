"""How the command speaks to people: an error is a sentence and an exit status, never a traceback.

Rule 1: an error that nobody expected is one sentence, too: what it was, and that --debug shows where.
"""

from __future__ import annotations

import functools
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import ConfigFaults, GatewayError
from protocol.errors import ProtocolError

F = TypeVar("F", bound=Callable)

USED_WRONGLY = 2
DOES_NOT_HOLD = 1


DEBUG = False
"""Whether tracebacks are shown: `quantrac --debug`, wherever it stands on the line."""


class UsageError(Exception):
    """The command was used wrongly; its text says what to do instead."""


class Failure(Exception):
    """Something that was started did not do its part; its text says what, and where to look."""


def speak(verb: F) -> F:
    """Wrap a verb: what people did wrong is said on stderr with exit status 2, what failed with 1."""

    @functools.wraps(verb)
    def wrapped(*args, **kwargs):
        import typer  # not in the gateway's process, which needs but the sentences (cli.py)

        try:
            return verb(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise typer.Exit(told(error)) from None

    return wrapped  # type: ignore[return-value]


def told(error: BaseException) -> int:
    """Say it on stderr; the exit status. With --debug, where it came from stands above it."""
    if DEBUG:
        traceback.print_exception(error)
    match error:
        case ConfigFaults() | UsageError():
            return _said(str(error), USED_WRONGLY)
        case Failure() | GatewayError() | ProtocolError():
            return _said(str(error), DOES_NOT_HOLD)
        case OSError():
            return _said(_os_sentence(error), DOES_NOT_HOLD)
        case KeyboardInterrupt():
            return _said("stopped", 130)
    name = type(error).__name__
    return _said(
        f"Quantrac made a mistake here ({name}: {error}). Say the same with --debug, "
        "and send what it prints to whoever looks after this software.",
        DOES_NOT_HOLD,
    )


def _said(sentence: str, status: int) -> int:
    print(_fitting(sentence) if sys.stderr.isatty() else sentence, file=sys.stderr)
    return status


def _fitting(sentence: str) -> str:
    """Broken between words at 80 columns: a terminal breaks within them. In a pipe it stays one line."""
    lines = [
        textwrap.wrap(line, 80, break_long_words=False, break_on_hyphens=False) if len(line) > 80 else [line]
        for line in sentence.splitlines()
    ]
    return "\n".join(part for line in lines for part in line)


def _os_sentence(error: OSError) -> str:
    if not error.filename:
        return str(error.strerror or error)
    why = error.strerror or error
    return f"{error.filename}: {why}. Check that the path exists and that you may read and write it."
