"""`gateway.web`: what holds where nothing is said, and what is a fault."""

from __future__ import annotations

import pytest

from gateway.config import load, read
from tests.gateway.configured import SAMPLE, keys, written
from tests.servers.certificates import Authority

WEB = 'web = { host = "127.0.0.1", port = 8080 }'
CERT = 'cert_file = "gateway/keys/page.pem", key_file = "gateway/keys/page.key"'


@pytest.fixture
def place(tmp_path):
    """A folder with a certificate for the page, beside the other keys."""
    keys(tmp_path)
    Authority(tmp_path / "gateway" / "keys", "own").issue("page")
    return tmp_path


def web(folder, inside: str):
    return load(written(folder, SAMPLE.replace(WEB, f"web = {{ {inside} }}"))).gateway.web


def faults(folder, inside: str) -> list[str]:
    return [str(fault) for fault in read(written(folder, SAMPLE.replace(WEB, f"web = {{ {inside} }}")))[1]]


@pytest.mark.parametrize(
    ("inside", "looks", "encrypted"),
    [
        ("", True, False),
        ('host = "127.0.0.1"', True, False),
        ('host = "127.0.0.2"', True, False),
        ('host = "::1"', True, False),
        ('host = "localhost"', True, False),
        ('host = "0.0.0.0"', False, True),
        ('host = "::"', False, True),
        ('host = "192.168.1.7"', False, True),
        ('host = "station.example"', False, True),
        ('host = "127.0.0.1.example"', False, True),
        ('host = "127.0.0.1", tls = true', True, True),
        ('host = "127.0.0.1", anonymous = "nobody"', False, False),
        ('host = "0.0.0.0", tls = false, anonymous = "viewer"', True, False),
        (CERT, True, True),
    ],
)
def test_what_holds_where_nothing_is_said(place, inside, looks, encrypted):
    found = web(place, inside)
    assert (found.anybody_looks, found.encrypted) == (looks, encrypted)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        (CERT.split(", ")[0], "cert_file and key_file belong together."),
        (CERT + ", tls = false", "There is a certificate, and tls = false."),
        (CERT.replace("page.pem", "none.pem"), "none.pem cannot be read"),
        (CERT.replace("page.key", "none.key"), "none.key cannot be read"),
        (CERT.replace("page.key", "st-01.link"), "are not a certificate and its key."),
        ('anonymous = "operator"', "anonymous"),
        ('tls = "yes"', "tls"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(place, inside, said):
    (found,) = faults(place, inside)
    assert said in found and "config.toml:15: gateway.web" in found


def test_a_key_that_others_may_read_is_a_fault(place):
    (place / "gateway/keys/page.key").chmod(0o644)
    (found,) = faults(place, CERT)
    assert "can be read by others. Run: chmod 600" in found
