"""Zero and span checks of instruments (QAL3) for `quantrac report`: those of calibrations in the journal, and
those of the tables that a person keeps, for the time before there were any.

    state_dir/qal3/SYMBOL.csv        checks: time,point,reference,indicated
    state_dir/qal3/SYMBOL.done.csv   what was done about the instrument: time,point,action,by

Rule 1: a file that is not there is no error; one that cannot be read is, and says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gateway.calibration.checks import charted
from gateway.calibration.record import Record
from gateway.config import Channel, Config
from gateway.qal3 import SPAN, ZERO, Constants
from gateway.reports.period_qal3 import Instrument
from gateway.reports.period_quality_blocks import file_of
from tools.people import Failure

FOLDER = "qal3"
SIZE_MAX = 16_000_000
"""Bytes: qal3.CHECKS_MAX lines are far below it."""


def instruments(config: Config, records: Sequence[Record] = ()) -> list[Instrument]:
    """The channels with `qal3`, with what people recorded and what stands in their tables. Failure."""
    folder = config.gateway.state_dir / FOLDER
    return [
        _instrument(channel, folder)._replace(
            recorded=charted(record for record in records if record.channel == channel.symbol)
        )
        for channel in config.channel
        if _s_ams(channel)
    ]


def _instrument(channel: Channel, folder: Path) -> Instrument:
    qal3, name = channel.qal3, file_of(channel.symbol)
    constants = Constants(hx=qal3.hx, kx=qal3.kx, hs=qal3.hs, ks=qal3.ks)
    checks, done = _text(folder / f"{name}.csv"), _text(folder / f"{name}.done.csv")
    return Instrument(channel.symbol, channel.unit, _s_ams(channel), constants, checks, done)


def _s_ams(channel: Channel) -> dict[str, float]:
    found = {ZERO: channel.qal3.s_zero, SPAN: channel.qal3.s_span}
    return {point: s for point, s in found.items() if s is not None}


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > SIZE_MAX:
            raise Failure(f"{path} is larger than {SIZE_MAX // 1_000_000} MB: it is no table of checks.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise Failure(f"{path} is no UTF-8 text: save the table as CSV UTF-8.") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror}).") from error
