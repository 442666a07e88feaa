"""The department in a scenario: orders that it signs, the desk where the station asks for them, answers.

Rule 1: an order waits at the desk until an answer that names it has come (simulator/department.py); the way
        there is a wire as any other. An order is given at its time, whatever is up.
Rule 2: an answer counts when the station's log key signed it and it names the order. One that says no is a
        note (notes.py), which the story has to expect.
Rule 3: the key comes from the seed, so that the same run has the same orders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.merkle import EvidenceError
from protocol.note import Signer
from simulator.department import Department, HttpsDesk, stamp
from simulator.scenario import Act
from tools.scenario.notes import DIED, Note, refused

NAME = "dept.example"
DONE = "done"
DAY_MS = 86_400_000


class Order(NamedTuple):
    """What was asked for, and what came of it; `state` is "" while nothing has come."""

    act: Act
    given_ms: int  # Unix ms
    command: bytes
    answered_ms: int = 0
    state: str = ""
    said: str = ""


class DepartmentSide(HttpsDesk):
    """`station`: the log's first name; `vkey_file`: its key; `note`: hears of what is not part of a story."""

    def __init__(
        self,
        station: str,
        vkey_file: Path,
        true_ms: Callable[[], int],
        begins_ms: int,
        random: Random,
        note: Callable[[Note], None],
    ) -> None:
        super().__init__()
        key = Ed25519PrivateKey.from_private_bytes(random.randbytes(32))
        self.department = Department(Signer(NAME, key))
        self.orders: list[Order] = []
        self._station, self._vkey_file, self._true_ms = station, vkey_file, true_ms
        self._begins_ms, self._note = begins_ms, note

    def order(self, act: Act) -> None:
        """Sign it, and lay it on the desk."""
        now_ms = self._true_ms()
        life_s = act.number("lasts", DAY_MS) / 1000
        command = self.department.command(
            self._station, act.text("verb"), issued_s=now_ms / 1000, life_s=life_s, **self._arguments(act)
        )
        self.orders.append(Order(act, now_ms, command))
        self.give(self._station, command)

    def _arguments(self, act: Act) -> dict[str, Any]:
        match act.text("verb"):
            case "sample":
                reason = act.text("reason", "as agreed")
                return {"bottles": round(act.number("bottles", 1)), "reason": reason}
            case "resend":
                first, last = (self._begins_ms + round(act.number(key)) for key in ("from", "to"))
                return {
                    "from_": stamp(first / 1000), "to": stamp(last / 1000), "symbols": "*", "what": "windows",
                }  # fmt: skip
        return {}

    def answered(self, answer: bytes) -> None:
        """Rule 2. The same answer may come again, when its confirmation was lost on the way."""
        super().answered(answer)
        for place, order in enumerate(self.orders):
            try:
                told = Department.checked(answer, self._vkey_file.read_text("utf-8"), order.command)
            except (ValueError, EvidenceError):
                continue
            if not order.state:
                state, said = str(told["state"]), str(told["reason"])
                self.orders[place] = order._replace(answered_ms=self._true_ms(), state=state, said=said)
                if state != DONE:
                    self._note(refused(order.act.by, "order", f"{state}: {said}"))
            return
        self._note(Note(DIED, "The department got an answer whose signature does not hold, or to no order."))
