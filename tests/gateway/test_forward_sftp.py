"""What only SFTP has: host key files, keys, servers that lack something or are full, temporary names."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused, Rejected, Unreachable
from gateway.forward.files import temporary_name
from gateway.forward.port import Confirmation
from gateway.forward.sftp import _told, host_keys
from tests.gateway.forward_rig import FOLDER, AsyncSshRig, MemoryOutbox, OpenSshRig, Rig, drain, run_with
from tests.servers.openssh import OpenSsh

KEY = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
OTHER = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode().strip()


def keys_of(text: str, port: int = 2222) -> list[str]:
    found = host_keys(asyncssh, text, "127.0.0.1", port, "hostkey")
    return [" ".join(key.export_public_key().decode().split()[:2]) for key in found]


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"# the department's key, 2026-01-05\n\n{KEY} comment\n",
        f"[127.0.0.1]:2222 {KEY}\n",
        f"[10.0.0.1]:2222,[127.0.0.1]:2222 {KEY}\n",
        f"127.0.0.1 {KEY}\n",
        f"[127.0.0.1]:2222 {KEY}\nelsewhere {OTHER}\n",
    ],
    ids=range(6),  # the keys are new in each process, so they cannot be names
)
def test_a_host_key_file_is_known_hosts_or_bare_keys(text):
    assert keys_of(text) == [KEY]


def test_several_keys_may_be_pinned():
    assert keys_of(f"{KEY}\n{OTHER}\n") == [KEY, OTHER]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", f"elsewhere {KEY}", "ssh-ed25519 AAAA", "[127.0.0.1]:2222 nonsense", "x"],
    ids=range(6),
)
def test_a_host_key_file_that_pins_nothing_is_refused(text):
    with pytest.raises(Refused):
        keys_of(text)


def test_openssh_with_its_internal_sftp(tmp_path):
    async def main() -> None:
        rig = OpenSshRig(tmp_path)
        rig.server = OpenSsh(tmp_path / "o", "internal-sftp")
        await rig.start()
        try:
            await drain(rig.destination(), MemoryOutbox([rig.document(i) for i in range(5)]))
            assert rig.seen() == [rig.document(i).body for i in range(5)]
        finally:
            await rig.stop()

    asyncio.run(main())


def test_a_key_that_the_server_does_not_know(tmp_path):
    async def case(rig: Rig) -> None:
        rig.server.key_file.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
        with pytest.raises(Refused, match="refused user and password or key"):
            await rig.destination().deliver(rig.document(0))
        rig.server.key_file.write_text("not a key")
        with pytest.raises(Refused, match="cannot be used"):
            await rig.destination().deliver(rig.document(0))

    run_with("openssh", tmp_path, case)


FAILURES = [
    (asyncssh.SFTPPermissionDenied("no"), Refused, "does not let us write"),
    (asyncssh.SFTPFailure("No space left on device"), Unreachable, "Its disk may be full"),
]


@pytest.mark.parametrize(("failing", "error", "said"), FAILURES, ids=[said for *_, said in FAILURES])
def test_what_the_server_says_becomes_a_sentence(tmp_path, failing, error, said):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        rig.server.failing = failing
        with pytest.raises(error, match=said):
            await destination.deliver(rig.document(0))
        await destination.close()
        rig.server.failing = None
        await destination.deliver(rig.document(0))
        assert rig.seen() == [rig.document(0).body]
        await destination.close()

    run_with("asyncssh", tmp_path, case)


def test_a_folder_that_someone_removed_is_made_again(tmp_path):
    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        shutil.rmtree(rig.province / FOLDER.split("/")[0])
        outbox = MemoryOutbox([rig.document(1)])
        await drain(destination, outbox)
        assert rig.seen() == [rig.document(1).body]

    run_with("asyncssh", tmp_path, case)


def test_a_short_file_on_the_server_is_not_delivered(tmp_path, monkeypatch):
    """A server that says "written" and kept less: the size gives it away, and nothing gets the final name."""

    async def case(rig: Rig) -> None:
        destination = rig.destination()
        await destination.deliver(rig.document(0))
        from asyncssh.sftp import SFTPClientFile

        whole = SFTPClientFile.write

        async def short(file, data, offset=None):
            return await whole(file, data[:-1], offset)

        monkeypatch.setattr(SFTPClientFile, "write", short)
        with pytest.raises(Unreachable, match="kept"):
            await destination.deliver(rig.document(1))
        assert rig.seen() == [rig.document(0).body]
        monkeypatch.undo()
        await destination.close()
        await destination.deliver(rig.document(1, attempts=1))
        assert rig.seen() == [rig.document(0).body, rig.document(1).body]
        await destination.close()

    run_with("asyncssh", tmp_path, case)


def test_a_name_that_the_server_does_not_accept_is_rejected():
    """Only servers with SFTP 4 and later can say so; to those with SFTP 3 it is a failure like any other."""
    assert isinstance(_told(asyncssh.SFTPInvalidFilename("no"), "s", "n"), Rejected)
    assert isinstance(_told(asyncssh.SFTPNoSpaceOnFilesystem("no"), "s", "n"), Unreachable)


CODES = st.text(st.sampled_from("ABCXYZabcxyz0123456789-"), min_size=1, max_size=16)


@given(CODES, CODES, CODES, st.integers(10**13, 10**14 - 1))
def test_a_temporary_name_is_never_taken_for_a_file(province, facility, station, stamp):
    name = temporary_name(f"{province}_{facility}_{station}_{stamp}.txt")
    assert f"_{station}_" not in name and not name.endswith(".txt") and "/" not in name
    assert temporary_name(f"{province}_{facility}_{station}_{stamp}.txt") == name
    assert f"_{station}_" not in temporary_name(name, "-0a1b2c3d")


def test_asyncssh_is_loaded_only_when_it_is_needed():
    code = "import sys, gateway.config, gateway.documents, gateway.forward.make, gateway.forward.sftp; "
    code += "assert not {'asyncssh', 'paho'} & {name.split('.')[0] for name in sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_late_request_of_a_dropped_connection_harms_nothing(tmp_path):
    """A hung server empties a dropped connection's temporary file while the next one uploads."""

    async def case(rig: Rig) -> None:
        one = rig.document(0)
        first, second = rig.destination(), rig.destination()
        await first.deliver(rig.document(1))
        await second.deliver(rig.document(2))
        late = rig.province / FOLDER / temporary_name(one.name, first._token)
        rig.server.observe = lambda: late.write_bytes(b"")  # at each step of the second's upload
        await second.deliver(one)
        rig.server.observe = lambda: None
        assert (rig.province / FOLDER / one.name).read_bytes() == one.body
        await first.close()
        await second.close()
        await second.deliver(one)
        assert rig.leftovers() == []
        await second.close()

    run_with("asyncssh", tmp_path, case)


def test_one_connection_serves_many_files(tmp_path):
    async def case(rig: Rig) -> None:
        assert isinstance(rig, AsyncSshRig)
        await drain(rig.destination(), MemoryOutbox([rig.document(i) for i in range(30)]))
        assert rig.server.connections == 1

    run_with("asyncssh", tmp_path, case)


def test_a_connection_that_breaks_as_the_file_before_is_done(tmp_path, monkeypatch):
    """Both end in one turn of the loop: the time limit of the second is not begun when it is over."""

    async def case(rig: Rig) -> None:
        faults: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        destination, now, waiting = rig.destination(), asyncio.Event(), []
        await destination.deliver(rig.document(0))

        async def store(_sftp, document, _before):
            waiting.append(document)
            await now.wait()  # they go on in this order
            if document == rig.document(2):
                raise ConnectionResetError("gone")
            return Confirmation(document.name, 1, "renamed")

        monkeypatch.setattr(destination, "_store", store)
        both = [asyncio.create_task(destination.deliver(rig.document(i))) for i in (1, 2)]
        while len(waiting) < 2:
            await asyncio.sleep(0)
        now.set()
        first, second = await asyncio.gather(*both, return_exceptions=True)
        await destination.close()
        assert isinstance(first, Confirmation) and isinstance(second, Unreachable)
        assert faults == []

    run_with("asyncssh", tmp_path, case)
