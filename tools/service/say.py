"""What `install`, `upgrade`, `rollback` and `uninstall` say, and who may say them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import typer

from gateway.clock import Clock
from gateway.reports.layout import stamp
from tools.people import Failure, UsageError
from tools.service import install as installation
from tools.service import trust, versions
from tools.service import uninstall as removal
from tools.service.health import lacks, seen, wait
from tools.service.install import systemd_version
from tools.service.place import PLACE_FILE, UNIT, UNIT_FILE, Place
from tools.service.steps import MADE, SAME, TOLD, Done
from tools.service.unit import unit
from tools.service.upgrade import Systemd, Upgrade
from tools.service.wanted import Wanted, config_file, wanted

WIDTH = 8
READY_S = 60.0
"""After the first start, the page answers within seconds."""


def place_of(root: Path | None) -> Place:
    """UsageError where only root may do it."""
    place = Place(Path("/") if root is None else root.resolve())
    if place.live and os.geteuid() != 0:
        raise UsageError("Only root may do this: say it with sudo.")
    return place


def print_install(
    config: Path, root: Path | None, dry_run: bool, from_: Path | None, python: str, ports: list[str],
    time_servers: list[str], packages: bool, start: bool, as_json: bool,
    build: versions.Build = versions.build,
) -> int:  # fmt: skip
    """Exit status 0 when all is as it should be, whether it was so before or not."""
    place = Place(Path("/") if root is None else root.resolve()) if dry_run else place_of(root)
    want = wanted(config_file(config), place)
    trust.check(want, place)
    choices = installation.check_choices(place, ports, time_servers, packages, start)
    folder = from_ or versions.own_sources()
    sources = versions.sources_in(folder.resolve()) if folder is not None else None
    version = installation.version_steps(place, sources)
    if (was := versions.current(place)) not in (None, version) and not dry_run:
        again = f"sudo quantrac gateway install {want.config}"
        raise UsageError(
            f"{was} is installed, and this is {version}: say quantrac gateway upgrade, which takes a backup "
            f"and goes back if need be. After a change of the configuration alone: {again}"
        )
    planned = installation.steps(want, choices, installation.systemd_version())
    if dry_run:
        plan = [] if sources is None else versions.shown(sources, python).splitlines()
        plan += [f"link {versions.CURRENT} -> {version}", *(step.shown().rstrip() for step in planned)]
        end = "\n\nNothing was done: this is what would be."
        print(json.dumps({"version": version, "plan": plan}) if as_json else "\n".join(plan) + end)
        return 0
    done = list(_told(_install(place, sources, version, planned, python, build), as_json))
    advice = installation.advice(place, want)
    if as_json:
        rows = [one._asdict() for one in done]
        print(json.dumps({"version": version, "steps": rows, "advice": advice}, ensure_ascii=False))
        return 0
    changed = sum(one.state not in (SAME, TOLD) for one in done)
    print(
        f"\n{version} is installed." if changed else f"\n{version} is installed; nothing had to be changed."
    )
    for text in advice:
        print(f"Look at this: {text}")
    if place.live and start:
        lacking = wait(lambda: lacks(seen(want.web), None, want.station, 0), READY_S)
        print(f"It is not well yet: {lacking} journalctl -u {UNIT}" if lacking else "It runs.")
    print(f"Next: sudo quantrac gateway doctor {want.config}")
    return 0


def _install(
    place: Place, sources: versions.Sources | None, version: str, planned: list[installation.Step],
    python: str, build: versions.Build,
) -> Iterator[Done]:  # fmt: skip
    changed: set[str] = set()
    if sources is not None:
        yield versions.make(place, sources, python, build)
    was = versions.current(place)
    versions.switch(place, version)
    yield Done(SAME if was == version else MADE if was is None else "changed", str(versions.CURRENT), version)
    if was != version:
        changed.add(str(versions.CURRENT))
    yield from installation.do(place, planned, changed)


def _told(steps: Iterator[Done], quiet: bool) -> Iterator[Done]:
    for done in steps:
        if not quiet:
            print(
                f"{done.state:<{WIDTH}} {done.what}" + (f"    ({done.why})" if done.why else ""), flush=True
            )
        yield done


# Another version -------------------------------------------------------------------------------------------


def print_upgrade(from_: Path | None, python: str, minutes: float, as_json: bool) -> int:
    """Exit status 0 when the new version runs and is healthy, 1 when the old one had to come back."""
    place = place_of(None)
    folder = from_ or versions.own_sources()
    if folder is None:
        raise UsageError("Name the folder of the new release with --from.")
    said = _Said(as_json)
    name = f"{stamp(Clock().now_ms())}-{versions.current(place) or 'none'}"
    sources = versions.sources_in(folder.resolve())
    work = _upgrade(place, minutes, said)
    healthy = work.forward(sources, python, versions.build, name)
    if healthy and place.real(UNIT_FILE).read_text("utf-8") != unit(work.wanted, systemd_version()):
        said(f"Its unit is another one: sudo quantrac gateway install {work.wanted.config}")
    return said.end(place, healthy)


def print_rollback(minutes: float, as_json: bool) -> int:
    """Exit status 0 when the previous version runs and is healthy."""
    place, said = place_of(None), _Said(as_json)
    return said.end(place, _upgrade(place, minutes, said).back())


def _upgrade(place: Place, minutes: float, said: Callable[[str], None]) -> Upgrade:
    return Upgrade(place, _installed(place), Systemd(), said, minutes)


class _Said:
    """Told at once, or at the end as one object."""

    def __init__(self, as_json: bool):
        self._as_json = as_json
        self._lines: list[str] = []

    def __call__(self, text: str) -> None:
        self._lines.append(text)
        if not self._as_json:
            print(text, flush=True)

    def end(self, place: Place, healthy: bool) -> int:
        """Exit status."""
        if self._as_json:
            row = {"healthy": healthy, "version": versions.current(place), "said": self._lines}
            print(json.dumps(row, ensure_ascii=False))
        return 0 if healthy else 1


def _installed(place: Place) -> Wanted:
    """What is wanted by the configuration that was installed. UsageError."""
    file = place.real(PLACE_FILE)
    if not file.exists():
        raise UsageError("Nothing is installed here: quantrac gateway install CONFIG.")
    return wanted(config_file(place.real(Path(file.read_text("utf-8").strip()))), place)


# And away --------------------------------------------------------------------------------------------------


def print_uninstall(
    root: Path | None, purge: bool, as_json: bool, typed: Callable[[str], str] | None = None
) -> int:
    """Exit status 0 when the service is gone. typed: asks a person for the station's code."""
    place = place_of(root)
    want = None
    if purge:
        want = _installed(place)
        if typed is None and not sys.stdin.isatty():
            raise UsageError("--purge asks for the station's code at a terminal: nothing was removed.")
        asked = typed or (lambda question: typer.prompt(question, default="", show_default=False))
        gone = ", ".join(str(path) for path in removal.purged(want))
        removal.confirmed(
            want, asked(f"{gone} will be gone for good, with the log's key. Type the station's code")
        )
    else:
        with suppress(UsageError, Failure):
            want = _installed(place)
    done = list(_told(removal.uninstall(place, want, purge), as_json))
    if as_json:
        print(json.dumps({"steps": [one._asdict() for one in done]}, ensure_ascii=False))
    elif not purge:
        kept = f"{want.config} and {want.state_dir}" if want is not None else "configuration and data"
        print(f"\nThe service is gone; {kept} are as they were.")
    return 0
