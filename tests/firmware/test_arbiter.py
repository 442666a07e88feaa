# runs on: cpython, micropython
import asyncio

from firmware.arbiter import Arbiter


# A line that never rests: one transaction after the other, each of three turns of the loop.
async def _saturate(arbiter, log, name, until):
    while not until():
        await arbiter.bus()
        log.append(name + "(")
        for _ in range(3):
            await asyncio.sleep(0)
        log.append(name + ")")
        arbiter.done()


async def _turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


def test_flash_works_only_between_transactions_and_soon():
    async def main():
        arbiter = Arbiter()
        log = []
        ended = []
        lines = [asyncio.create_task(_saturate(arbiter, log, name, lambda: ended)) for name in "ab"]
        asked = []
        for number in range(20):
            await _turns(number % 5)
            asked.append(len(log))
            assert await arbiter.flash(lambda: log.append("F") or len(log)) == len(log)
        ended.append(True)
        for line in lines:
            await line
        under_way = 0
        for entry in log:
            under_way += {"(": 1, ")": -1}.get(entry[-1], 0)
            assert entry != "F" or under_way == 0, log
        writes = [at for at, entry in enumerate(log) if entry == "F"]
        assert len(writes) == 20
        for before, at in zip(asked, writes):  # noqa: B905 (MicroPython has no strict=)
            assert len([entry for entry in log[before:at] if entry[-1] == "("]) <= 2, log[before:at]

    asyncio.run(main())


def test_writes_without_a_pause_leave_the_line_its_turns():
    async def main():
        arbiter = Arbiter()
        log = []
        ended = []
        line = asyncio.create_task(_saturate(arbiter, log, "a", lambda: ended))
        await _turns(1)
        writers = [asyncio.create_task(_write(arbiter, log)) for _ in range(2)]
        for writer in writers:
            await writer
        ended.append(True)
        await line
        text = "".join(log)
        assert text.count("F") == 60 and "FFFF" not in text, text

    async def _write(arbiter, log):
        for _ in range(30):
            await arbiter.flash(lambda: log.append("F"))

    asyncio.run(main())


def test_a_failed_write_and_a_cancelled_transaction_give_way():
    async def main():
        arbiter = Arbiter()
        await arbiter.bus()
        failing = asyncio.create_task(_fail(arbiter))
        await _turns(2)
        kept_off = asyncio.create_task(arbiter.bus())
        await _turns(2)
        kept_off.cancel()
        await _turns(2)
        arbiter.done()
        assert await failing == "full"
        assert await arbiter.flash(lambda: 7) == 7
        await arbiter.bus()  # at once
        arbiter.done()

    async def _fail(arbiter):
        def work():
            raise OSError("full")

        try:
            await arbiter.flash(work)
        except OSError as error:
            return str(error)

    asyncio.run(main())


# The control: without Rule 2 a flash write lands in the middle of a transaction.
def test_control_an_arbiter_that_does_not_wait_is_caught():
    class Broken(Arbiter):
        async def flash(self, work):
            return work()

    async def main():
        arbiter = Broken()
        log = []
        ended = []
        line = asyncio.create_task(_saturate(arbiter, log, "a", lambda: ended))
        for _ in range(5):
            await _turns(2)
            await arbiter.flash(lambda: log.append("F"))
        ended.append(True)
        await line
        assert "(F" in "".join(log)

    asyncio.run(main())
