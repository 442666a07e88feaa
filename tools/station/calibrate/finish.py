"""What stays on disk of a calibration that is in force: certificate (PDF, HTML), record, the gateway's file.

Rule 1: every file is whole or not there, and has the same name for the same calibration: whoever finishes
        after an interruption makes them again.
Rule 2: the station's record comes last: where it stands, its certificate lies beside it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from gateway.journal import durable
from tools.people import Failure
from tools.station.calibrate import page
from tools.station.calibrate.certificate import Checked
from tools.station.calibrate.model import Calibration
from tools.station.calibrate.pending import Pending, plain_name
from tools.station.folder import CERTIFICATES, Folder


class Files(NamedTuple):
    """Paths relative to the station's folder."""

    pdf: Path
    html: Path
    record: Path  # for `quantrac gateway calibration add --file`


def files_of(made: Calibration) -> Files:
    name = f"{plain_name(made.channel)}-{made.number}"
    return Files(*[Path(CERTIFICATES) / f"{name}.{kind}" for kind in ("pdf", "html", "json")])


def finish(folder: Folder, made: Calibration, checked: Checked | None, language: str) -> Files:
    """Everything is on disk when this returns. Failure when it cannot be: give the command again."""
    from tools.station.calibrate import paper  # a second of its own, which nobody should wait for before

    files = files_of(made)
    pdf = paper.render(made, checked, language)
    contents = (
        pdf,
        page.render(made, checked, language),
        json.dumps(made.record(), ensure_ascii=False, indent=1).encode() + b"\n",
    )
    try:
        durable.make_folder(folder.path / CERTIFICATES)
        for path, content in zip(files, contents, strict=True):
            durable.replace(folder.path / path, content)
    except OSError as error:
        raise Failure(f"The certificate cannot be written ({error.strerror}).") from error
    told = None if checked is None else {"value": checked.value, "reference": checked.reference}
    if not is_recorded(folder, made):
        folder.record(
            "calibrated", made.by, **made.facts(), certificate=str(files.pdf),
            certificate_sha256=hashlib.sha256(pdf).hexdigest(), checked=told,
        )  # fmt: skip
    Pending(folder, made.channel).drop()
    return files


def is_recorded(folder: Folder, made: Calibration) -> bool:
    """Whether the station's records have it."""
    return any(
        (one.get("channel"), one.get("number")) == (made.channel, made.number)
        and one.get("fit") == [list(point) for point in made.points]
        for one in folder.records("calibrated")
    )
