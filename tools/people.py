"""How the command speaks to people: an expected error is a sentence and an exit status, never a traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer

from gateway.errors import ConfigFaults, GatewayError
from protocol.errors import ProtocolError

F = TypeVar("F", bound=Callable)

USED_WRONGLY = 2
DOES_NOT_HOLD = 1


class UsageError(Exception):
    """The command was used wrongly; its text says what to do instead."""


class Failure(Exception):
    """Something that was started did not do its part; its text says what, and where to look."""


def speak(verb: F) -> F:
    """Wrap a verb: what people did wrong is said on stderr with exit status 2, what failed with 1."""

    @functools.wraps(verb)
    def wrapped(*args, **kwargs):
        try:
            return verb(*args, **kwargs)
        except ConfigFaults as faults:
            _leave(str(faults), USED_WRONGLY)
        except UsageError as error:
            _leave(str(error), USED_WRONGLY)
        except (Failure, GatewayError, ProtocolError) as error:
            _leave(str(error), DOES_NOT_HOLD)
        except OSError as error:
            _leave(_os_sentence(error), DOES_NOT_HOLD)
        except KeyboardInterrupt:
            _leave("stopped", 130)

    return wrapped  # type: ignore[return-value]


def _leave(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(status)


def _os_sentence(error: OSError) -> str:
    if not error.filename:
        return str(error.strerror or error)
    why = error.strerror or error
    return f"{error.filename}: {why}. Check that the path exists and that you may read and write it."
