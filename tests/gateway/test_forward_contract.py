"""One set of cases that every destination passes, against real servers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import DestinationError, Refused, Unreachable
from gateway.forward.port import Destination
from tests.gateway.forward_rig import RIGS, MemoryOutbox, Rig, drain, run_with, worker
from tests.gateway.https_rig import HTTPS_RIGS
from tests.gateway.mqtt_rig import MQTT_RIGS

RIGS |= HTTPS_RIGS | MQTT_RIGS
KINDS = list(RIGS)
NETWORK = [kind for kind, rig in RIGS.items() if rig.network]
FILES = [kind for kind, rig in RIGS.items() if not rig.message]
PASSWORDS = [kind for kind, rig in RIGS.items() if rig.passwords]
HOST_KEYS = [kind for kind, rig in RIGS.items() if rig.host_keys]


async def settled(rig: Rig, bodies: list[bytes]) -> list[bytes]:
    """What the receiver sees once all of these bodies have come."""
    if rig.message:
        assert await rig.arrived(set(bodies))
    return rig.seen()


async def refuses(destination: Destination, rig: Rig, error: type[DestinationError]) -> str:
    with pytest.raises(error) as caught:
        await destination.deliver(rig.document(0))
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_first_delivery(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        assert await settled(rig, [rig.document(0).body]) == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("attempts", [0, 1])
def test_the_same_again_is_visible_once_with_the_same_bytes(kind, tmp_path, attempts):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.deliver(rig.document(0, attempts=attempts))
        await destination.close()
        await destination.deliver(rig.document(0, attempts=attempts))  # and by another connection
        assert rig.seen() == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", FILES)
def test_a_different_file_of_that_name_is_replaced(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0, body=b"of someone's test\r\n"))
        await destination.deliver(rig.document(0))
        assert rig.seen() == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
@pytest.mark.parametrize("cut_after", [0, 100, 1500, 2500, 5000, 120_000])
def test_cut_in_mid_upload_then_retried(kind, tmp_path, cut_after):
    """Reset while connecting, authenticating, uploading: unreachable, and well at the next try."""

    async def case(rig: Rig) -> None:
        destination = rig.destination()
        big = rig.document(0, body=bytes(range(256)) * 1000)
        rig.proxy.cut_after = cut_after
        with pytest.raises(Unreachable):
            await destination.deliver(big)
        assert rig.proxy.cuts == 1
        if not rig.message:
            assert rig.seen() in ([], [big.body])  # never a part of it
        await destination.close()
        await destination.deliver(big._replace(attempts=1))
        assert set(await settled(rig, [big.body])) == {big.body}
        if not rig.message:
            assert rig.seen() == [big.body]
            assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("attempts", [0, 3])
def test_a_half_written_file_of_an_earlier_try(kind, tmp_path, attempts):
    async def case(rig: Rig) -> None:
        rig.leave_half(rig.document(0))
        assert rig.seen() == []  # the receiver does not take it for a file
        destination = rig.destination()
        await destination.deliver(rig.document(0, attempts=attempts))
        assert rig.seen() == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", PASSWORDS)
def test_wrong_password_then_right(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        rig.password_file.write_text("wrong\n")
        said = await refuses(destination, rig, Refused)
        assert "refused" in said and "wrong" not in said
        await destination.close()
        rig.password_file.write_text("right\n")
        await destination.deliver(rig.document(0))
        assert await settled(rig, [rig.document(0).body]) == [rig.document(0).body]
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", PASSWORDS)
def test_a_missing_password_file_is_said_plainly(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        rig.password_file.unlink()
        assert "cannot be read" in await refuses(destination, rig, Refused)
        rig.password_file.write_text("\n")
        assert "is empty" in await refuses(destination, rig, Refused)
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", HOST_KEYS)
def test_host_key_changed(kind, tmp_path):
    """Refused, said so with the fingerprint that was shown, and no password is sent there."""

    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await rig.server_down()
        rig.new_host_key()
        await rig.server_up()
        said = await refuses(destination, rig, Refused)
        assert "did not show the host key" in said and "SHA256:" in said
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_nobody_there(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await rig.proxy.stop()
        assert "reached" in await refuses(destination, rig, Unreachable)
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_a_server_that_never_says_a_word(kind, tmp_path):
    """Half-open: the port takes the connection and nothing ever comes back."""

    async def case(rig: Rig) -> None:
        destination = rig.destination(connect_timeout_s=0.3)
        rig.proxy.swallow = True
        assert "did not answer in time" in await refuses(destination, rig, Unreachable)
        rig.proxy.swallow = False
        await destination.close()
        await rig.destination().deliver(rig.document(0))

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_a_link_that_dies_silently_delivers_nothing(kind, tmp_path):
    """Bytes go into a dead link without an error: nothing counts as delivered, all of it comes afterwards."""

    async def case(rig: Rig) -> None:
        outbox = MemoryOutbox()
        one = worker(rig.destination(timeout_s=0.3), outbox)
        task = asyncio.create_task(one.run())
        outbox.put(rig.document(0))
        await outbox.drained.wait()
        rig.proxy.swallow = True
        for i in range(1, 6):
            outbox.put(rig.document(i))
        while one.counters.failed == 0:
            await asyncio.sleep(0.01)
        assert outbox.delivered_ids == [1]
        assert one.counters.connected is False and one.counters.oldest_unsent_ms == rig.document(1).at_ms
        await rig.proxy.stop()  # the reset that ends such an outage
        rig.proxy.swallow = False
        await rig.proxy.start()
        await asyncio.wait_for(outbox.drained.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bodies = [rig.document(i).body for i in range(6)]
        assert set(await settled(rig, bodies)) == set(bodies)
        assert outbox.delivered_ids == [1, 2, 3, 4, 5, 6]

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_server_restarted(kind, tmp_path):
    async def case(rig: Rig) -> None:
        outbox = MemoryOutbox()
        one = worker(rig.destination(), outbox)
        task = asyncio.create_task(one.run())
        outbox.put(rig.document(0))
        await outbox.drained.wait()
        await rig.server_down()
        outbox.put(rig.document(1))
        outbox.put(rig.document(2))
        while one.counters.failed < 2:
            await asyncio.sleep(0.01)
        assert one.counters.last_error and outbox.delivered_ids == [1]
        await rig.server_up()
        await asyncio.wait_for(outbox.drained.wait(), 60)
        assert one.counters.connected and one.counters.last_error == ""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        bodies = [rig.document(i).body for i in range(3)]
        assert set(await settled(rig, bodies)) == set(bodies)

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backlog_of_200_in_order(kind, tmp_path):
    async def case(rig: Rig) -> None:
        documents = [rig.document(i) for i in range(200)]
        outbox = MemoryOutbox(documents)
        one = await drain(rig.destination(), outbox)
        assert outbox.delivered_ids == list(range(1, 201))
        assert (one.counters.attempts, one.counters.delivered, one.counters.failed) == (200, 200, 0)
        assert await settled(rig, [one.body for one in documents]) == [one.body for one in documents]
        if hasattr(rig.server if rig.network else None, "renamed"):
            assert rig.server.renamed == [one.name for one in documents]  # as they appeared
        assert rig.leftovers() == []

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", KINDS)
def test_closing_twice_and_without_a_connection(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.close()
        await destination.deliver(rig.document(0))
        await destination.close()
        await destination.close()
        await destination.deliver(rig.document(1))
        await destination.close()

    run_with(kind, tmp_path, case)
