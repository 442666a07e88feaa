"""One set of cases that every destination passes, against real servers.

A new kind of destination is one Rig in forward_rig.py; which cases it takes part in, the rig's switches say.
A link that dies without a word is in test_forward_silence.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from gateway.errors import DestinationError, Refused, Unreachable
from gateway.forward.port import Destination, Document
from tests.gateway.appearances import Appearances
from tests.gateway.forward_rig import RIGS, MemoryOutbox, Rig, drain, open_files, run_with, worker
from tests.gateway.https_rig import HTTPS_RIGS
from tests.gateway.mqtt_rig import MQTT_RIGS
from tests.gateway.notify_rig import NOTIFY_RIGS

RIGS |= HTTPS_RIGS | MQTT_RIGS | NOTIFY_RIGS
KINDS = list(RIGS)
NETWORK = [kind for kind, rig in RIGS.items() if rig.network]
FILES = [kind for kind, rig in RIGS.items() if not rig.message]
PASSWORDS = [kind for kind, rig in RIGS.items() if rig.passwords]
HOST_KEYS = [kind for kind, rig in RIGS.items() if rig.host_keys]
CERTIFICATES = [kind for kind, rig in RIGS.items() if rig.certificates]
FILLS = [kind for kind, rig in RIGS.items() if rig.fills]
DENIES = [kind for kind, rig in RIGS.items() if rig.denies]
RENAMES = [kind for kind, rig in RIGS.items() if rig.renames]
SAYS_FULL = [kind for kind in FILLS if kind in NETWORK and kind in FILES]
LONG = bool(os.environ.get("QUANTRAC_LONG"))
CUTS = 200 if LONG else 16  # places in each direction at which one upload is cut
BACKLOG = 2016 if LONG else 200  # documents; 2,016 are a week


async def settled(rig: Rig, bodies: list[bytes]) -> list[bytes]:
    """What the receiver sees once all of these bodies have come."""
    if rig.message:
        assert await rig.arrived(set(bodies))
    return rig.seen()


async def refuses(
    destination: Destination, rig: Rig, error: type[DestinationError], document: Document | None = None
) -> str:
    with pytest.raises(error) as caught:
        await destination.deliver(document or rig.document(0))
    assert str(caught.value).endswith(".")
    await destination.close()
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


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", NETWORK)
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_cut_at_every_step_of_an_upload(kind, tmp_path, back):
    """Requests and data that do not arrive, and answers to what was done: never a part, never twice.

    The connection is cut after so many bytes in one direction, from none to all of what a whole delivery,
    from the first connect to the last confirmation, takes. Every try has another document.
    """

    async def case(rig: Rig) -> None:
        documents = [rig.document(i) for i in range(CUTS + 2)]
        destination = rig.destination()
        await destination.deliver(documents[0])
        await destination.close()
        rig.proxy.came = rig.proxy.sent = 0
        await destination.deliver(documents[1])
        passed = rig.proxy.came if back else rig.proxy.sent
        await destination.close()
        outcomes = set()
        for i, one in enumerate(documents[2:]):
            setattr(rig.proxy, "cut_back_after" if back else "cut_after", passed * i // CUTS)
            try:
                await destination.deliver(one)
                outcomes.add("delivered")
            except Unreachable:
                outcomes.add("unreachable")
            await destination.close()
            rig.proxy.cut_after = rig.proxy.cut_back_after = None
            wanted = [one.body for one in documents[: i + 3]]
            if not rig.message:
                assert rig.seen() in (wanted, wanted[:-1])  # never a part of it
            await destination.deliver(one._replace(attempts=1))
            if not rig.message:
                assert rig.seen() == wanted
            await destination.close()
        assert "unreachable" in outcomes and rig.proxy.cuts >= CUTS - 2
        bodies = [one.body for one in documents]
        assert set(await settled(rig, bodies)) == set(bodies)
        assert rig.leftovers() == []

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
        rig.new_identity()
        await rig.server_up()
        said = await refuses(destination, rig, Refused)
        assert "did not show the host key" in said and "SHA256:" in said
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_certificate_changed(kind, tmp_path):
    """Refused, said so, and no password is sent there; the right one is taken again."""

    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        await destination.close()
        await rig.server_down()
        rig.new_identity()
        await rig.server_up()
        said = await refuses(destination, rig, Refused)
        assert "cannot be trusted" in said
        assert rig.seen() == [rig.document(0).body]
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", FILLS)
def test_server_full_then_room(kind, tmp_path):
    """Tried again, nothing parked, nothing partial; when there is room all of it comes, in order."""

    async def case(rig: Rig) -> None:
        documents = [rig.document(i, body=f"{i} ".encode() * 1000) for i in range(4)]
        destination = rig.destination()
        await destination.deliver(documents[0])
        await destination.close()
        await rig.fill()
        try:
            for _ in range(2):
                assert (
                    "full" in await refuses(destination, rig, Unreachable, documents[1])
                    or kind not in SAYS_FULL
                )
        finally:
            await rig.make_room()
        assert rig.seen() == [documents[0].body]
        outbox = MemoryOutbox([one._replace(attempts=2) for one in documents[1:]])
        await drain(destination, outbox)
        assert rig.seen() == [one.body for one in documents] and outbox.parked == {}
        assert rig.leftovers() == []

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", DENIES)
def test_permission_denied_then_given(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await rig.deny_writing()
        await refuses(destination, rig, Refused)
        assert rig.seen() == []
        await rig.allow()
        await destination.deliver(rig.document(0, attempts=1))
        assert rig.seen() == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", RENAMES)
def test_rename_refused_then_allowed(kind, tmp_path):
    """No way round it: a file that is written under its final name can be read half. A person is told."""

    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await rig.deny_renaming()
        for attempts in (0, 1):
            await refuses(destination, rig, Refused, rig.document(0, attempts=attempts))
            assert rig.seen() == []
        await rig.allow()
        await destination.deliver(rig.document(0, attempts=2))
        assert rig.seen() == [rig.document(0).body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", [kind for kind in RENAMES if kind in NETWORK])
def test_rename_refused_where_another_file_has_the_name(kind, tmp_path):
    """What is visible stays as it is until ours can take its place."""

    async def case(rig: Rig) -> None:
        one = rig.document(0)
        final = rig.province / one.folder / one.name
        final.parent.mkdir(parents=True)
        final.write_bytes(b"of someone's test\r\n")
        destination = rig.destination()
        await rig.deny_renaming()
        await refuses(destination, rig, Refused, one)
        assert rig.seen() == [b"of someone's test\r\n"]
        await rig.allow()
        await destination.deliver(one._replace(attempts=1))
        assert rig.seen() == [one.body]
        assert rig.leftovers() == []
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_a_peer_at_one_byte_a_second(kind, tmp_path):
    """While logging in and in mid-delivery: bytes that trickle do not keep us for ever."""

    async def case(rig: Rig) -> None:
        destination = rig.destination(connect_timeout_s=5, timeout_s=5)
        rig.proxy.bytes_s = 1
        assert "did not answer in time" in await refuses(destination, rig, Unreachable)
        await destination.close()
        rig.proxy.reset()  # or the broker gets that CONNECT late, and drops the next client of its name
        rig.proxy.bytes_s = None
        await destination.deliver(rig.document(0))
        rig.proxy.bytes_s = 1
        with pytest.raises(Unreachable, match=None if rig.message else "in time"):  # a broker may end it
            await destination.deliver(rig.document(1))
        rig.proxy.reset()
        rig.proxy.bytes_s = None
        await destination.close()
        if not rig.message:
            assert rig.seen() == [rig.document(0).body]
        await destination.deliver(rig.document(1, attempts=1))
        bodies = [rig.document(i).body for i in range(2)]
        assert set(await settled(rig, bodies)) == set(bodies)
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_a_name_that_does_not_resolve(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination(host="province.invalid")
        await refuses(destination, rig, Unreachable)
        await destination.close()

    run_with(kind, tmp_path, case)


@pytest.mark.parametrize("kind", NETWORK)
def test_given_up_in_mid_delivery_it_lets_go_at_once(kind, tmp_path):
    """A worker that is cancelled while the server says nothing: no connection stays behind."""

    async def case(rig: Rig) -> None:
        destination = rig.destination(connect_timeout_s=60, timeout_s=60)
        await destination.deliver(rig.document(0))
        await destination.close()
        before = open_files()
        await destination.deliver(rig.document(2))
        rig.proxy.swallow = True
        task = asyncio.create_task(destination.deliver(rig.document(1)))
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)
            await destination.close()
            while open_files() > before:
                await asyncio.sleep(0.01)
        rig.proxy.swallow = False
        await destination.deliver(rig.document(1, attempts=1))
        bodies = [rig.document(i).body for i in range(3)]
        assert set(await settled(rig, bodies)) == set(bodies)
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
        destination = rig.destination(connect_timeout_s=0.5)
        rig.proxy.swallow = True
        assert "did not answer in time" in await refuses(destination, rig, Unreachable)
        rig.proxy.swallow = False
        await destination.close()
        await rig.destination().deliver(rig.document(0))

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
def test_a_backlog_in_order(kind, tmp_path):
    async def case(rig: Rig) -> None:
        documents = [rig.document(i) for i in range(BACKLOG)]
        outbox = MemoryOutbox(documents)
        with contextlib.nullcontext() if rig.message else Appearances(rig.province, documents) as files:
            one = await drain(rig.destination(), outbox)
        assert outbox.delivered_ids == list(range(1, BACKLOG + 1))
        assert (one.counters.attempts, one.counters.delivered, one.counters.failed) == (BACKLOG, BACKLOG, 0)
        assert await settled(rig, [one.body for one in documents]) == [one.body for one in documents]
        if files is not None:
            assert files.names == [one.name for one in documents]  # as they appeared
            assert (files.wrong, files.again) == ([], 0)
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
