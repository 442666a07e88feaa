"""A local folder: every step can fail, and the final name never shows a part."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from gateway.errors import Refused, Rejected, Unreachable
from gateway.forward import directory
from gateway.forward.directory import DirectoryDestination
from gateway.forward.files import temporary_name
from tests.gateway.forward_rig import document


def deliver(path, one) -> None:
    asyncio.run(DirectoryDestination(path).deliver(one))


@pytest.mark.parametrize("call", ["fsync", "replace", "fstat"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
def test_a_failure_at_any_step_leaves_no_part_visible(tmp_path, monkeypatch, call, nth):
    """The n-th fsync, fstat or rename fails (or the process dies there); the next try makes it whole."""
    calls, real = 0, getattr(os, call)

    def failing(*arguments):
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(errno.EIO, "input/output error")
        return real(*arguments)

    one = document(0)
    monkeypatch.setattr(directory.os, call, failing)
    try:
        deliver(tmp_path / "sent", one)
    except Unreachable as error:
        assert "input/output error" in str(error)
    monkeypatch.undo()
    final = tmp_path / "sent" / one.folder / one.name
    assert not final.exists() or final.read_bytes() == one.body
    deliver(tmp_path / "sent", one._replace(attempts=1))
    assert [path.name for path in final.parent.iterdir()] == [one.name]
    assert final.read_bytes() == one.body


def test_file_and_folders_are_synchronised_before_it_counts(tmp_path, monkeypatch):
    """Power cut right after the return: file, its name and every new folder's name are on the disk."""
    synced: list[str] = []
    real = os.fsync

    def noted(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(directory.os, "fsync", noted)
    one = document(0)
    deliver(tmp_path / "sent", one)
    folder = tmp_path / "sent" / one.folder
    parents = [tmp_path, *list(reversed(folder.relative_to(tmp_path).parents))[1:]]
    assert synced == [
        *(str(tmp_path / parent) for parent in parents),
        str(folder / temporary_name(one.name)),
        str(folder),
    ]


def test_an_identical_file_is_left_alone(tmp_path):
    one = document(0)
    deliver(tmp_path, one)
    final = tmp_path / one.folder / one.name
    before = final.stat()
    deliver(tmp_path, one)
    assert (final.stat().st_ino, final.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_errors_say_who_has_to_act(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="may write to"):
        deliver(tmp_path / "file", document(0))
    with pytest.raises(Rejected, match="name does not fit"):
        deliver(tmp_path, document(0)._replace(name="x" * 300))


def test_a_full_disk_is_tried_again(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(directory.os, "fsync", full)
    with pytest.raises(Unreachable, match="No space left on device"):
        deliver(tmp_path, document(0))
