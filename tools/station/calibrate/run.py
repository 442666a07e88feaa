"""`quantrac station calibrate`: a session run with whoever sits there, and how it ends."""

from __future__ import annotations

import asyncio
import json
import sys

from gateway.errors import GatewayError
from tools.people import Failure, UsageError
from tools.station.calibrate import page
from tools.station.calibrate.plan import Options
from tools.station.calibrate.session import Session
from tools.station.calibrate.talk import Stopped, on, wrapped


def run_calibrate(options: Options) -> int:
    """0 when the new calibration is in force and recorded. Failure says how things stand, and what to do."""
    if options.lang not in page.LANGUAGES:
        raise UsageError(f"--lang is one of {', '.join(page.LANGUAGES)}.")
    session = Session(options, on(sys.stderr if options.json else sys.stdout))
    try:
        asyncio.run(session.run())
    except KeyboardInterrupt:
        print("\n" + wrapped(session.left()), file=sys.stderr)
        raise
    except Stopped as stopped:
        raise Failure(wrapped(f"Stopped, {stopped}. {session.left()}")) from None
    except (Failure, GatewayError, OSError) as error:
        raise Failure(wrapped(f"{error} {session.left()}")) from error
    if options.json:
        print(json.dumps(_told(session), ensure_ascii=False))
    return 0


def _told(session: Session) -> dict[str, object]:
    assert session.made is not None and session.files is not None
    return {
        **session.made.facts(),
        "checked": None if session.checked is None else session.checked._asdict(),
        "files": [str(session.folder.path / path) for path in session.files],
    }
