# runs on: cpython
"""gateway/web/certificate.py: the page's certificate, made here or given, and a page served with it."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import page_door
from gateway.errors import CertificateError
from gateway.web import certificate as module
from gateway.web import server
from gateway.web.certificate import ensured, given, names_of
from gateway.web.door import Settings
from tests.gateway.app_rig import until
from tests.gateway.door_rig import EVERY_ROLE as EVERYBODY_IN
from tests.gateway.door_rig import Browser, Rig
from tests.gateway.test_web import answers
from tests.servers.certificates import Authority

NOW_MS = 1_774_432_800_000  # 2026-03-25T10:00:00Z
DAY_MS = 86_400_000
NAMES = ["localhost", "127.0.0.1", "::1", "tram-01.example"]


def read(path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_one_is_made_for_this_machine_and_kept_privately(tmp_path):
    made = ensured(tmp_path / "keys", NAMES, NOW_MS)
    assert made.own and made.cert.stat().st_mode & 0o777 == made.key.stat().st_mode & 0o777 == 0o600
    found = read(made.cert)
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "tram-01.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    # 730 days after 2026-03-25 is 2028-03-24
    assert found.not_valid_after_utc == datetime.datetime(2028, 3, 24, 10, tzinfo=datetime.UTC)
    assert made.fingerprint.count(":") == 31 and made.fingerprint == made.fingerprint.upper()
    assert made.problem(NOW_MS) == ""


def test_it_stays_until_a_month_before_its_end(tmp_path):
    made = ensured(tmp_path, NAMES, NOW_MS)
    assert ensured(tmp_path, NAMES, NOW_MS + 699 * DAY_MS) == made
    late_ms = NOW_MS + 701 * DAY_MS
    assert made.problem(late_ms).startswith("The page's certificate ends in 29 days: start the gateway")
    assert made.problem(NOW_MS + 731 * DAY_MS).startswith("The page's certificate has ended")
    again = ensured(tmp_path, NAMES, late_ms)
    assert again.fingerprint != made.fingerprint and again.end_ms == late_ms + 730 * DAY_MS
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(again.cert, again.key)


def test_another_address_of_the_machine_makes_another_one_and_fewer_do_not(tmp_path):
    made = ensured(tmp_path, NAMES, NOW_MS)
    assert ensured(tmp_path, NAMES[:2], NOW_MS) == made
    more = ensured(tmp_path, [*NAMES, "192.0.2.7"], NOW_MS)
    assert more.fingerprint != made.fingerprint
    assert ensured(tmp_path, NAMES, NOW_MS) == more


def test_a_board_that_wakes_up_in_the_past_makes_one_that_is_valid_today(tmp_path):
    made = ensured(tmp_path, NAMES, 0)
    found = read(made.cert)
    assert found.not_valid_before_utc < datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)
    assert found.not_valid_after_utc > datetime.datetime(2027, 11, 30, tzinfo=datetime.UTC)
    assert ensured(tmp_path, NAMES, NOW_MS) == made


@pytest.mark.parametrize("broken", ["open", "other key", "garbage", "empty", "gone"])
def test_what_lies_there_and_will_not_do_is_made_anew(tmp_path, broken):
    made = ensured(tmp_path, NAMES, NOW_MS)
    key = made.key.read_bytes()
    match broken:
        case "open":
            made.key.chmod(0o644)
        case "other key":
            other = ensured(tmp_path / "other", NAMES, NOW_MS)
            made.key.write_bytes(other.key.read_bytes())
        case "garbage":
            made.cert.write_bytes(b"\xff" * 100)
        case "empty":
            made.key.write_bytes(b"")
        case "gone":
            made.key.unlink()
    again = ensured(tmp_path, NAMES, NOW_MS)
    assert again.fingerprint != made.fingerprint and again.key.stat().st_mode & 0o777 == 0o600
    assert (again.key.read_bytes() != key) == (broken != "garbage"), "a key that others read is not used on"
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(again.cert, again.key)


def test_a_disk_that_refuses_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="Check the disk"):
        ensured(tmp_path / "file" / "keys", NAMES, NOW_MS)
    with pytest.raises(CertificateError, match="cannot be used"):
        given(tmp_path / "file", tmp_path / "file")


def test_names_are_those_of_this_machine(tmp_path):
    assert names_of("192.0.2.7") == ["localhost", "127.0.0.1", "::1", "192.0.2.7"]
    assert names_of("fe80::1%eth0")[-1] == "fe80::1"
    everywhere = names_of("0.0.0.0")
    assert socket.gethostname() in everywhere and "127.0.0.1" in everywhere
    ensured(tmp_path, [*everywhere, "", "ö", "a b", "x" * 300], NOW_MS)


def test_one_that_was_given_is_taken_as_it_is(tmp_path):
    cert, key = Authority(tmp_path).issue("page")
    found = given(cert, key)
    assert (found.cert, found.key, found.own) == (cert, key, False)
    # the authority's are valid for a day from now
    assert found.problem(found.end_ms - DAY_MS).endswith("put a new one into cert_file.")


# Served -----------------------------------------------------------------------------------------------------


def test_the_page_is_served_with_it_and_tells_its_fingerprint(tmp_path):
    """A browser that pins it gets in, one that trusts only authorities does not; nothing is in plain."""

    async def main():
        rig = Rig(Settings(anonymous=False, tls=True), EVERYBODY_IN, lambda rig: [], module_page)
        rig.server._certify = lambda: ensured(tmp_path, names_of("127.0.0.1"), NOW_MS)
        task = asyncio.create_task(rig.server.run())
        try:
            await until(lambda: answers(rig.port))
            made = rig.server.certificate
            pinned = ssl.create_default_context(cafile=made.cert)
            browser = Browser(rig.port, pinned)
            assert (await browser.log_in("viewer")).status == 303
            assert (await browser.get("/who")).status == 200 and "__Host-quantrac" in browser.cookies
            with pytest.raises(ssl.SSLCertVerificationError):
                await Browser(rig.port, ssl.create_default_context()).get("/login")
            with pytest.raises((ConnectionError, OSError)):
                await Browser(rig.port).get("/healthz")
            told = page_door.told(made)
            assert told["certificate_sha256"] == made.fingerprint and told["own_certificate"]
            assert (await browser.get("/healthz")).status == 200, "and it goes on"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def module_page(request, template, status=200, **context):
    return server.plain(request, template, status, **context)


def test_a_certificate_that_cannot_be_made_is_tried_again(monkeypatch, caplog):
    monkeypatch.setattr(server, "RETRY_S", 0.05)
    tries = []

    def fails():
        tries.append(1)
        raise CertificateError("The page's certificate cannot be written: no space. Check the disk.")

    async def main():
        rig = Rig(Settings(), EVERYBODY_IN, lambda rig: [], module_page)
        rig.server._certify = fails
        task = asyncio.create_task(rig.server.run())
        await until(lambda: len(tries) > 2)
        assert not task.done() and "Check the disk" in caplog.text
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_control_a_certificate_for_another_name_is_refused(tmp_path):
    """What the pinning browser above looks at: with other names it does not get in."""
    made = ensured(tmp_path, ["tram-01.example"], NOW_MS)
    assert not module._will_do(read(made.cert), [module._name("127.0.0.1")], NOW_MS)
    assert module._will_do(read(made.cert), [module._name("tram-01.example")], NOW_MS)


def test_the_secret_of_devices_is_made_once_and_private(tmp_path):
    one = page_door.secret_of(tmp_path / "keys")
    path = tmp_path / "keys" / page_door.SECRET
    assert len(one) == 32 and path.stat().st_mode & 0o777 == 0o600
    assert page_door.secret_of(tmp_path / "keys") == one
    path.write_bytes(b"short")
    assert len(page_door.secret_of(tmp_path / "keys")) == 32 != b"short"
    (tmp_path / "file").write_text("")
    assert len(page_door.secret_of(tmp_path / "file")) == 32, "of this start"
