"""What the department's verbs do, and what is said of one that a stop of the gateway broke off."""

from __future__ import annotations

import asyncio

import pytest

from gateway.commands import message as m
from gateway.commands.make import Resending, Sampling, Telling
from gateway.commands.resend import RANGE_MS_MAX
from gateway.errors import CommandError
from gateway.sampling.bottles import BEGUN, FILLED, NO_FEEDBACK, NOT_SENT, UNCHECKED, Asked
from tests.gateway.command_rig import STATION
from tests.gateway.sampling_rig import Plant
from tests.gateway.test_provincial import T0

DIGEST = "07" * 32
ASK = bytes.fromhex(DIGEST)


def command(verb: str = "sample", **args) -> m.Command:
    return m.Command(STATION, 1, T0, T0 + 3_600_000, verb, args or {"bottles": 2, "reason": "x"})


def run(plant: Plant, case) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), plant.started() as start:
            await case(start)

    asyncio.run(main())


GOOD, ALSO, UNSEEN, NOTHING = (FILLED, "a."), (UNCHECKED, "b."), (NO_FEEDBACK, "c."), (NOT_SENT, "d.")


@pytest.mark.parametrize(
    ("says", "state", "reason"),
    [
        ([GOOD, GOOD], m.DONE, "Bottle 1: a. Bottle 2: a."),
        ([GOOD, ALSO], m.DONE, "Bottle 1: a. Bottle 2: b."),
        ([GOOD, UNSEEN], m.UNKNOWN, "1 of 2 bottles. Bottle 1: a. Bottle 2: c."),
        ([UNSEEN, UNSEEN], m.UNKNOWN, "0 of 2 bottles. Bottle 1: c. Bottle 2: c."),
        ([GOOD, NOTHING], m.UNKNOWN, "1 of 2 bottles. Bottle 1: a. Bottle 2: d."),
        ([NOTHING], m.REFUSED, "0 of 2 bottles. Bottle 1: d."),
    ],
)
def test_a_sample_is_done_only_when_each_bottle_is(tmp_path, says, state, reason):
    plant = Plant(tmp_path)
    plant.tap.says = list(says)

    async def case(start) -> None:
        outcome = await Sampling(start.sampler).do(command(), DIGEST)
        assert (outcome.state, outcome.reason) == (state, reason)
        assert [one["ask"] for one in outcome.details["bottles"]] == [DIGEST] * len(says)

    run(plant, case)


def test_who_cannot_be_served_is_told_why(tmp_path):
    async def case(start) -> None:
        with pytest.raises(CommandError, match="0 of 5 bottles are used"):
            await Sampling(start.sampler).do(command(bottles=6, reason="x"), DIGEST)
        with pytest.raises(CommandError, match="no sampler"):
            await Sampling(None).do(command(), DIGEST)

    run(Plant(tmp_path), case)


def test_what_a_stop_broke_off_is_looked_up_and_never_done(tmp_path):
    """Between the command's entry and the first bottle; between two bottles; behind the last."""

    async def case(start) -> None:
        verb = Sampling(start.sampler)
        outcome = await verb.look_up(command(), DIGEST)
        assert outcome.state == m.REFUSED and "before it began" in outcome.reason
        await (await start.sampler.begin(Asked(1, "x", "department", ASK)))
        outcome = await verb.look_up(command(), DIGEST)
        assert outcome.state == m.UNKNOWN and "no others are filled" in outcome.reason
        assert [(one["bottle"], one["state"]) for one in outcome.details["bottles"]] == [(1, FILLED)]
        await (await start.sampler.begin(Asked(1, "x", "department", ASK)))
        outcome = await verb.look_up(command(), DIGEST)
        assert outcome.state == m.DONE and outcome.reason.startswith("Bottle 1: ")
        start.tap.hold = asyncio.Event()
        await start.sampler.begin(Asked(1, "x", "department", b"\x08" * 32))
        while len(start.tap.drawn) < 3:
            await asyncio.sleep(0.01)
        outcome = await verb.look_up(command(bottles=1, reason="x"), "08" * 32)
        assert outcome.state == m.UNKNOWN
        assert [(one["bottle"], one["state"]) for one in outcome.details["bottles"]] == [(3, BEGUN)]
        start.tap.hold.set()
        assert start.tap.drawn == [1, 2, 3]
        assert (await Sampling(None).look_up(command(), DIGEST)).state == m.REFUSED

    run(Plant(tmp_path), case)


class Sends:
    """In the place of resend.py's Resend."""

    def __init__(self, told):
        self.told, self.asked = told, []

    async def send(self, asked, who, why):
        self.asked.append((asked, who, why))
        return self.told


def test_a_range_is_bounded_and_needs_somebody_to_go_to():
    numbers = {"sent_again": 2, "made_again": 1, "waiting_already": 0, "left_out": 0, "not_read_by_itself": 0}
    args = {"from": T0, "to": T0 + RANGE_MS_MAX, "symbols": ("COD",), "what": "windows"}

    async def main() -> None:
        sends = Sends({"national": numbers})
        outcome = await Resending(sends).do(command("resend", **args), DIGEST)
        assert (outcome.state, outcome.reason) == (m.DONE, "national: 3 documents wait to be sent again.")
        assert outcome.details == {"destinations": {"national": numbers}}
        assert sends.asked == [
            ((T0, T0 + RANGE_MS_MAX, ("COD",), "windows"), "department", "command " + "07" * 8)
        ]
        with pytest.raises(CommandError, match="longer than 31 days"):
            await Resending(sends).do(command("resend", **{**args, "to": T0 + RANGE_MS_MAX + 1}), DIGEST)
        with pytest.raises(CommandError, match="resend_to"):
            await Resending(Sends({})).do(command("resend", **args), DIGEST)

    asyncio.run(main())


def test_the_status_fits_an_answer_whatever_stands_in_it():
    """A thousand problems, two hundred channels: what does not fit is left out, and that is said."""
    row = {"symbol": "COD", "value": 1.5, "unit": "mg/l", "quality": "OK", "t": "x", "window": None}
    current = {
        "t": "2026-03-25T00:00:00+07:00", "problems": ["It is broken."] * 1000, "channels": [row] * 200,
        "destinations": [], "alerts": [{"alert": "limit/COD/1"}],
    }  # fmt: skip

    async def main() -> None:
        outcome = await Telling(lambda: current).do(command("status"), DIGEST)
        assert outcome.reason == "1000 problems, the first: It is broken."
        assert len(outcome.details["problems"]) == 50 and "window" not in outcome.details["channels"][0]
        text = m.result_text(m.Result(STATION, DIGEST, 1, "status", T0, *outcome))
        assert m.parse_result(text).details == outcome.details
        current["channels"] = [row] * 2000
        outcome = await Telling(lambda: current).do(command("status"), DIGEST)
        text = m.result_text(m.Result(STATION, DIGEST, 1, "status", T0, *outcome))
        assert "do not fit" in m.parse_result(text).details["left_out"]
        current["problems"] = []
        assert (await Telling(lambda: current).do(command("status"), DIGEST)).reason == "All is well."

    asyncio.run(main())
