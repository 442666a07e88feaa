"""`quantrac verify`: takes what a person trusts, prints claims that hold, and the first that does not."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.verify import Claim, Trust, verify
from gateway.verify_bundle import FILE_MAX
from gateway.verify_places import opened
from protocol.merkle import EvidenceError
from protocol.note import Verifier, parse_vkey
from tools.log.progress import Bar
from tools.people import DOES_NOT_HOLD, UsageError
from tools.station.seal_paper import digits

GARBAGE = 50_000
"""Objects made until Python looks for garbage: there is none in rings here, and looking takes a fifth."""


def trust_of(
    vkey: Path | None, witness_vkeys: Sequence[Path], seen: Sequence[Path], seal_key: str | None
) -> Trust:
    """What whoever verifies has in hand. UsageError when a file of theirs cannot be used."""
    device, key = "", None
    if seal_key is not None:
        if "=" in seal_key and not Path(seal_key).exists():
            device, _, seal_key = seal_key.partition("=")
        key = _seal_key(Path(seal_key))
    return Trust(
        None if vkey is None else _key(vkey, "--vkey"),
        tuple(_key(path, "--witness-vkey") for path in witness_vkeys),
        tuple(_bytes(path, "--seen") for path in seen),
        key,
        device,
    )


def _seal_key(path: Path) -> bytes:
    """As a device has it, or as an inspector typed it in from his paper: then its checks have to fit."""
    data = _bytes(path, "--seal-key")
    if len(data.split()) < 2:
        return data
    try:
        return digits(data.decode()).encode()
    except ValueError as error:
        raise UsageError(f"--seal-key {path}: {error}.") from None


def _key(path: Path, option: str) -> Verifier:
    try:
        return parse_vkey(_bytes(path, option).decode().strip())
    except (UnicodeDecodeError, EvidenceError) as error:
        raise UsageError(f"{option} {path} is no verifier key: {error}") from None


def _bytes(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {error.strerror}") from None
    if len(data) > FILE_MAX:
        raise UsageError(f"{option} {path} is too long for what it should be.")
    return data


def print_verify(path: Path, trust: Trust, as_json: bool) -> int:
    """Exit status 1, and one sentence, when anything does not hold."""
    if not path.exists():
        raise UsageError(f"{path} does not exist: give a bundle that `quantrac export` wrote.")
    claims: list[Claim] = []
    wrong = ""
    gc.set_threshold(GARBAGE)
    try:
        bundle = opened(path)
        try:
            with Bar("entries", 1) as bar:
                for claim in verify(bundle, trust, bar.to):
                    claims.append(claim)
                    if not as_json:
                        print(_line(claim))
        finally:
            bundle.close()
    except EvidenceError as error:
        wrong = str(error)
    if as_json:
        rows = [claim._asdict() for claim in claims]
        print(json.dumps({"ok": not wrong, "wrong": wrong, "claims": rows}, ensure_ascii=False))
    elif wrong:
        print(f"WRONG        {printable(wrong)}")
        print(f"{path} does not show what it claims.", file=sys.stderr)
    else:
        print(f"{path} holds.")
    return DOES_NOT_HOLD if wrong else 0


def _line(claim: Claim) -> str:
    return f"{'ok' if claim.shown else 'not shown':<12} {claim.what}: {printable(claim.text)}"


def printable(text: str) -> str:
    """Text that strangers had a hand in, for a terminal: one line, no control characters."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
