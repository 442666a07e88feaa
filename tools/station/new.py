"""`quantrac station new`: a station's folder (folder.py): its keys, its device's files, its gateway's blocks.

Rule 1: nothing is written before everything fits, and then into a folder beside DIR that takes its name at
        the end: whoever stops it leaves nothing behind.
Rule 2: keys are the system's random numbers. The seal key is shown once, or put on its way to paper, and
        stays only in device/seal.key, which `flash` hands over; records know its fingerprint.
Rule 3: a station that is there is never overwritten. --again makes what was chosen anew, and keeps its id and
        keys.
"""

from __future__ import annotations

import getpass
import json
import secrets
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.journal import durable
from protocol import fields
from tools.people import UsageError
from tools.station import blocks, build, seal_paper, words
from tools.station.choices import Choices, channel_names, of_site, prune, read_file, told
from tools.station.fit import Fit, fit
from tools.station.folder import DEVICE, GATEWAY, KEY, SITE, Folder
from tools.station.public import public_fault
from tools.station.said import changes, print_result
from tools.station.site import NAME_BYTES_MAX

UPDATE_PUBLIC = "update.pub"


@dataclass(frozen=True)
class NewOptions:
    """What was said on the command line; empty for nothing."""

    dir: Path
    file: Path | None = None
    id: str = ""
    kind: str = ""
    link: str = ""
    gateway_link: str = ""
    bus: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    basis: str = ""
    update_public: Path | None = None
    no_seal: bool = False
    seal_paper: Path | None = None
    gateway: Path | None = None
    scan: Path | None = None
    again: bool = False
    by: str = ""
    json: bool = False


def run_new(options: NewOptions) -> int:
    """Make the folder. UsageError with every fault; KeyboardInterrupt leaves nothing behind."""
    if options.again:
        return _again(options)
    _check_dir(options.dir)
    faults: list[str] = []
    choices, _ = _gathered(faults, options, read_file(options.file) if options.file else Choices())
    choices.id = choices.id or _usual_id(options.dir)
    asked = not choices.instruments and not options.json and sys.stdin.isatty() and sys.stdout.isatty()
    if asked and not faults:
        choices, fitting = _asked(choices, options)
    else:
        fitting = _fitted(faults, choices, options)
    if fitting is None or faults:
        raise UsageError(told("Nothing was written", faults))
    seal = seal_paper.new_key() if choices.seal else None
    interrupted = signal.getsignal(signal.SIGINT)
    try:
        _make(options, choices, fitting, seal)
        print_result(options, choices, fitting, seal, asked=asked)
    finally:
        signal.signal(signal.SIGINT, interrupted)
    return 0


def _asked(choices: Choices, options: NewOptions) -> tuple[Choices, Fit]:
    from tools.station.interview import interview

    try:
        return interview(choices, options)
    except KeyboardInterrupt:
        print("\nNothing was written.", file=sys.stderr)
        raise


def _usual_id(path: Path) -> str:
    """A station is called as its folder, where that will do."""
    name = path.absolute().name
    return "st-01" if fields.identifier(name) or len(name) > NAME_BYTES_MAX else name


def _check_dir(path: Path) -> None:
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        kept = " With --again it is made anew, with its keys." if (path / SITE).exists() else ""
        raise UsageError(f"{path} is there and not empty: name a new folder.{kept}")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"There is no folder {path.absolute().parent} to make {path.name} in: make it first."
        )


def _gathered(faults: list[str], options: NewOptions, base: Choices) -> tuple[Choices, list[str]]:
    """What a file or an earlier time chose, with what the command line says in its place; and what is lost of
    it, as sentences.
    """
    for name in ("id", "kind", "gateway_link", "basis"):
        setattr(base, name, getattr(options, name) or getattr(base, name))
    base.update_public = options.update_public or base.update_public
    base.seal = base.seal and not options.no_seal
    if options.link:
        base.link = words.link(faults, options.link)
        base.gateway_link = options.gateway_link
    if options.bus:
        base.buses = [found for text in options.bus if (found := words.named_bus(faults, text))]
    if options.instrument:
        base.instruments = [words.instrument(faults, text) for text in options.instrument]
    gone = prune(base, channel_names(base)) if options.again and options.instrument else []
    for text in options.limit:
        if found := words.limit(faults, text, base.basis):
            base.limits[found[0]] = found[1]
    return base, gone


def _fitted(faults: list[str], choices: Choices, options: NewOptions) -> Fit | None:
    if options.gateway is not None and not choices.kind:
        choices.kind = blocks.kind_of(options.gateway)
    found = fit(faults, choices, options.gateway, options.again)
    if options.seal_paper is not None and not choices.seal:
        faults.append("--seal-paper: there is no seal key, leave it out")
    elif options.seal_paper is not None and (what := seal_paper.check_path(options.seal_paper, options.dir)):
        faults.append(f"--seal-paper {what}")
    if choices.update_public is not None and (wrong := public_fault(choices.update_public)):
        faults.append(f"--update-public {wrong}")
    return found


# A new folder


def _make(options: NewOptions, choices: Choices, fitting: Fit, seal: str | None) -> None:
    path = options.dir.absolute()
    key = secrets.token_hex(seal_paper.KEY_BYTES)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    paper = None
    try:
        part.mkdir(0o700)
        (part / DEVICE).mkdir(0o700)
        build.write(part / DEVICE, fitting.site | {"key": key} | ({"seal_key": seal} if seal else {}))
        if choices.update_public is not None:
            durable.replace(part / DEVICE / UPDATE_PUBLIC, choices.update_public.read_bytes())
        durable.replace(part / KEY, f"{key}\n".encode(), build.SECRET)
        _write_chosen(part, fitting)
        mark = seal_paper.fingerprint(seal) if seal else None
        Folder(part).record("new", options.by or getpass.getuser(), id=choices.id, seal=mark)
        if seal and options.seal_paper is not None:
            seal_paper.write(options.seal_paper, choices.id, seal)
            paper = options.seal_paper
        _take_place(part, path)
    except BaseException:
        if paper is not None:
            paper.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take_place(part: Path, path: Path) -> None:
    try:
        path.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        raise UsageError(f"{path} was filled by somebody else meanwhile: name a new folder.") from None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from here on it is there, and its key has to be shown
    part.rename(path)
    durable.sync_folder(path.parent)


def _write_chosen(path: Path, fitting: Fit) -> None:
    """What follows from the choices beside the device's files."""
    site = json.dumps(fitting.site, indent=1, ensure_ascii=False) + "\n"
    durable.replace(path / GATEWAY, fitting.blocks.encode())
    durable.replace(path / SITE, site.encode(), build.SECRET if "network" in fitting.site else 0o644)


# The same station again


def _again(options: NewOptions) -> int:
    folder = Folder.at(options.dir)
    site = folder.site()
    faults: list[str] = []
    if options.no_seal or options.seal_paper is not None:
        faults.append("--again keeps the seal key as it is: leave out --no-seal and --seal-paper")
    base, gone = _gathered(faults, options, read_file(options.file) if options.file else of_site(site))
    base.id = base.id or site["id"]
    if base.id != site["id"]:
        faults.append(f"--again keeps the id {site['id']}: leave out the other one, or make a new station")
    fitting = _fitted(faults, base, options)
    if fitting is None or faults:
        raise UsageError(told("Nothing was changed", faults))
    before = {key: value for key, value in site.items() if key != "key"}
    found = [*(f"! {line}" for line in gone), *changes(before, fitting.site)]
    files = {
        name: content
        for name, content in build.files(fitting.site | {"key": site["key"]}).items()
        if not name.endswith(".key")
    }
    if base.update_public is not None:
        files[UPDATE_PUBLIC] = base.update_public.read_bytes()
    found += [f"~ device/{name}" for name in _differ(folder.path / DEVICE, files)]
    if _differ(folder.path, {GATEWAY: fitting.blocks.encode()}):
        found.append(f"~ {GATEWAY}")
    if found:
        for name, content in files.items():
            durable.replace(folder.path / DEVICE / name, content, _mode(name, fitting))
        _write_chosen(folder.path, fitting)
        seals = [record.get("seal") for record in folder.records("new")]
        mark = seals[-1] if seals else None
        folder.record(
            "new", options.by or getpass.getuser(), id=base.id, seal=mark, again=True, changed=found
        )
    print_result(options, base, fitting, None, found)
    return 0


def _differ(path: Path, files: dict[str, bytes]) -> list[str]:
    """Names of those that stand otherwise in `path`, or not at all."""
    return [
        name
        for name, content in files.items()
        if not (path / name).is_file() or (path / name).read_bytes() != content
    ]


def _mode(name: str, fitting: Fit) -> int:
    return build.SECRET if name == build.IDENTITY and "network" in fitting.site else 0o644
