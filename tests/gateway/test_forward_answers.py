"""What a destination's answer is in the receipt: each real server's own words, never a secret of ours."""

from __future__ import annotations

import asyncio
import posixpath

import pytest

from gateway.config_model import HttpsDestination as HttpsSettings
from gateway.forward.answers import LENGTH_MAX, place, shown
from gateway.forward.https import HttpsDestination
from gateway.forward.port import Confirmation
from tests.gateway.forward_rig import RIGS, TOPIC, MemoryOutbox, Rig, document, drain, run_with
from tests.gateway.https_rig import HTTPS_RIGS, HttpsRig
from tests.gateway.mqtt_rig import MQTT_RIGS

RIGS |= HTTPS_RIGS | MQTT_RIGS
SAME = "there already: read back the same, size {}"
WORDS = {  # of the servers that the tests use: first delivery, and the same again
    "directory": ("size {}, synchronised, renamed", SAME),
    "openssh": ("size {} as written, renamed", SAME),
    "asyncssh": ("size {} as written, renamed", SAME),
    "old-sftp": ("size {} as written, renamed", SAME),
    "ftp-vsftpd": ("226 Transfer complete. / 250 Rename successful.", SAME),
    "ftp-proftpd": ("226 Transfer complete / 250 Rename successful", SAME),
    "ftp-no-overwrite": ("226 Transfer complete / 250 Rename successful", SAME),
    "ftps-vsftpd": ("226 Transfer complete. / 250 Rename successful.", SAME),
    "ftps-proftpd-implicit": ("226 Transfer complete / 250 Rename successful", SAME),
    "mqtt": ("PUBACK Success", "PUBACK Success"),
    "mqtt-3.1.1": ("PUBACK", "PUBACK"),
    "https": ("HTTP 201 x", "HTTP 409 x (because of a test)"),
}


@pytest.mark.parametrize("kind", WORDS)
def test_the_servers_own_words(kind, tmp_path):
    async def case(rig: Rig) -> None:
        destination, one = rig.destination(), rig.document(0)
        found = [await destination.deliver(one), await destination.deliver(one._replace(attempts=1))]
        await destination.close()
        size = len(one.body)
        assert [each.answer for each in found] == [words.format(size) for words in WORDS[kind]]
        assert {each.size for each in found} == {size}
        (remote,) = {each.remote for each in found}
        if isinstance(rig, HttpsRig):
            assert remote == destination._settings.url  # pyright: ignore
        elif rig.message:
            assert remote == TOPIC
        else:
            path = f"{one.folder}/{one.name}"  # alone where the server calls our folder its root or our home
            assert remote in (path, f"/{path}", f"{rig.province}/{path}")

    run_with(kind, tmp_path, case)


def test_the_worker_hands_them_on(tmp_path):
    class Told(MemoryOutbox):
        async def delivered(self, ids) -> None:
            told.update(ids)
            await super().delivered(ids)

    async def case(rig: Rig) -> None:
        await drain(rig.destination(), Told([rig.document(i) for i in range(5)]))

    told: dict[int, Confirmation] = {}
    run_with("directory", tmp_path, case)
    assert [posixpath.basename(told[i].remote) for i in sorted(told)] == [
        f"LCa_DEMO_NUO001_20260325{stamp}.txt" for stamp in ("000000", "000500", "001000", "001500", "002000")
    ]


# What a server that means ill, or is broken, may say --------------------------------------------------------


def test_a_line_of_printable_characters_whatever_came():
    said = shown("226-a\r\n226 \udce9\x00\x1b[31m done " + "x" * 10_000)
    assert said.startswith("226-a 226 [31m done xxx") and len(said) == LENGTH_MAX and said.isprintable()
    said.encode()  # a lone surrogate, of bytes that are no UTF-8, could not be stored
    place("Nam 2026/th\udce9\n  x").encode()
    assert place("Nam  2026/\n") == "Nam  2026/?"


@pytest.mark.parametrize("where", [0, 150, LENGTH_MAX - 3, 3 * LENGTH_MAX])
def test_a_secret_that_is_repeated_is_not_kept_not_even_in_part(where):
    """With its control: cutting first leaves the beginning of one that stands at the end."""
    text = "y" * where + "s3cret-token" + "z" * 900
    assert "s3" not in shown(text, "s3cret-token")
    if where == LENGTH_MAX - 3:
        assert "s3" in text[:LENGTH_MAX].replace("s3cret-token", "...")


def test_a_server_that_repeats_our_token(tmp_path):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        said = next(line for line in head.split("\r\n") if line.startswith("Authorization"))
        body = f"welcome,\n{said}".encode()
        writer.write(b"HTTP/1.1 202 Bearer s3cret-token\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1")
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        (tmp_path / "token").write_text("s3cret-token\n")
        token_file = str(tmp_path / "token")
        settings = {"id": "d", "kind": "https", "url": url, "token_file": token_file}
        destination = HttpsDestination(HttpsSettings.model_validate(settings))
        found = await destination.deliver(document(0, message=True)._replace(name="LCa/1"))
        await destination.close()
        server.close()
        assert found.answer == "HTTP 202 Bearer ... (welcome, Authorization: Bearer ...)"
        assert found.remote == url

    asyncio.run(main())
