"""A scene's instruments on the RS-485 line of a device in virtual time, with pymodbus behind every answer.

Rule 1: requests are taken apart and answered by pymodbus, as on the line of simulator/bus.py; what takes time
        and what is no request is stepped_line.py's. Each answer is made at the instant of its request, so
        no unit may wait by itself.
Rule 2: who changes `dead` and `chances` says what is wrong with the line from now on.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from pymodbus.exceptions import ModbusException, NoSuchIdException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.simulator.simcore import SimCore

from simulator.instruments import Instrument
from simulator.stepped import Stepped
from simulator.stepped_line import RtuLine

T = TypeVar("T")


class UnitsLine(RtuLine):
    """`world`, `baud`, `chances`, `seed`: as RtuLine's."""

    def __init__(
        self,
        world: Stepped,
        instruments: Sequence[Instrument],
        baud: int,
        chances: Mapping[str, float],
        seed: int,
    ) -> None:
        super().__init__(world, tuple(one.unit for one in instruments), baud, chances, seed)
        self._store: Any = SimCore([one.device for one in instruments])
        self._framer = FramerRTU(DecodePDU(True))

    def answer(self, request: bytes, n: int) -> bytes | None:
        """Of the unit's registers, as they are now."""
        try:
            _, asked = self._framer.handleFrame(request, 0, 0)
            said: ModbusPDU | None = asked and at_once(asked.datastore_update(self._store, request[0]))
        except (ModbusException, NoSuchIdException):  # no standard request; or it does not answer
            return None
        if said is None:
            return None
        said.dev_id, said.transaction_id = request[0], 0
        return self._framer.buildFrame(said)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing. RuntimeError when it does wait."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    work.close()
    raise RuntimeError("an instrument waits by itself: in stepped time it cannot (stepped_units.py, rule 1)")
