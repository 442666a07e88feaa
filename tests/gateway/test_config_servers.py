"""Settings of https and mqtt destinations, and files that are credentials of systemd."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import check
from gateway.config import load, read
from gateway.config_model import SINGLE, HttpsDestination, MqttDestination, Section
from gateway.config_types import FilePath
from tests.gateway.configured import SAMPLE, keys, written
from tests.servers.certificates import Authority

HTTPS = '[[destination]]\nid = "n"\nkind = "https"\nurl = "https://data.example.org/v1/documents/"\n'
MQTT = '[[destination]]\nid = "n"\nkind = "mqtt"\nhost = "10.0.0.6"\n'
TOKEN = 'token_file = "gateway/keys/province.password"\n'
CERT = 'cert_file = "gateway/keys/station.pem"\nkey_file = "gateway/keys/station.key"\n'


def faults_of(folder: Path, text: str) -> list[str]:
    config, faults = read(written(folder, text))
    assert (config is None) == bool(faults)
    return [str(fault) for fault in faults]


def warned(folder: Path, text: str) -> list[str]:
    faults, warnings = check(written(folder, text))
    assert faults == []
    return [warning.what for warning in warnings]


@pytest.fixture
def place(tmp_path):
    """A folder with a client's certificate, and its authority's, beside the other keys."""
    keys(tmp_path)
    authority = Authority(tmp_path / "gateway" / "keys", "national")
    authority.issue("station", client=True)
    return tmp_path


def test_https_settings(place):
    more = 'send = ["windows", "readings"]\nca_file = "gateway/keys/national.pem"\n'
    made = load(written(place, SAMPLE + HTTPS + TOKEN + CERT + more)).destination[1]
    assert isinstance(made, HttpsDestination)
    assert made.url == "https://data.example.org/v1/documents/"  # its last slash kept
    assert made.token_file == place / "gateway/keys/province.password"
    assert (made.connect_timeout_s, made.timeout_s, made.delay_min) == (10.0, 30.0, 0)


URLS = [
    ("https://data.example.org", ""),
    ("https://data.example.org:8443/a%20b/c-d_e.f~g", ""),
    ("https://[2001:db8::1]:8443/", ""),
    ("http://127.0.0.1:8080/x", ""),
    ("http://localhost/x", ""),
    ("http://[::1]/x", ""),
    ("http://data.example.org/x", "is not encrypted."),
    ("http://127.0.0.1.example.org/x", "is not encrypted."),
    ("https://user:secret@data.example.org/", "is not an address to post to."),
    ("https://data.example.org/?token=x", "is not an address to post to."),
    ("https://data.example.org:99999/", "is not an address to post to."),
    ("ftp://data.example.org/", "is not an address to post to."),
    ("https://data.example.org/\\r\\nX: y", "is not an address to post to."),
    ("data.example.org", "is not an address to post to."),
    ("", "is not an address to post to."),
]


@pytest.mark.parametrize(("url", "said"), URLS)
def test_where_documents_may_be_posted(place, url, said):
    text = SAMPLE + HTTPS.replace("https://data.example.org/v1/documents/", url)
    found = faults_of(place, text)
    assert (said in found[0] and len(found) == 1) if said else found == []


@pytest.mark.parametrize("head", [HTTPS, MQTT + "tls = true\n"], ids=["https", "mqtt"])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (CERT, ""),
        (CERT.split("\n")[0] + "\n", "cert_file and key_file belong together."),
        (CERT.split("\n")[1] + "\n", "cert_file and key_file belong together."),
        (CERT.replace("station.pem", "national.pem"), "are not a certificate and its key. Write PEM files"),
        (CERT.replace("station.key", "st-01.link"), "are not a certificate and its key. Write PEM files"),
        ('ca_file = "gateway/keys/province.hostkey"\n', "holds no certificates."),
        ('ca_file = "gateway/keys/absent"\n', "cannot be read"),
    ],
)
def test_certificates_of_a_client(place, head, more, said):
    found = faults_of(place, SAMPLE + head + more)
    assert (said in found[0] and len(found) == 1) if said else found == []


def test_a_key_and_a_token_that_others_may_read(place):
    for name in ("station.key", "province.password"):
        (place / "gateway/keys" / name).chmod(0o644)
    path = place / "config.toml"
    path.write_text(SAMPLE + HTTPS + CERT + TOKEN)
    _, faults = read(path)
    assert [fault.what for fault in faults] == [
        f"The secret in {place}/gateway/keys/{name} can be read by others."
        for name in ("province.password", "station.key", "province.password")
    ]


def test_certificates_without_tls_and_the_version_of_mqtt(place):
    assert "cert_file has no meaning without TLS." in faults_of(place, SAMPLE + MQTT + CERT)[0]
    for version in ("auto", "5", "3.1.1"):
        made = load(written(place, SAMPLE + MQTT + f'version = "{version}"\n')).destination[1]
        assert isinstance(made, MqttDestination) and made.version == version
    assert "Write one of: 'auto', '5', '3.1.1'." in faults_of(place, SAMPLE + MQTT + "version = 5\n")[0]


def test_a_file_destination_gets_no_readings_and_is_told_where_they_go(place):
    text = SAMPLE.replace('send = ["windows"]', 'send = ["readings"]')
    assert '"readings" is for mqtt and https destinations.' in faults_of(place, text)[0]


def test_what_is_probably_not_meant(place):
    assert warned(place, SAMPLE + HTTPS) == ["Nothing proves to the server that documents are ours."]
    assert warned(place, SAMPLE + HTTPS + TOKEN) == warned(place, SAMPLE + HTTPS + CERT) == []
    quiet = SAMPLE + MQTT + "tls = true\n"
    assert warned(place, quiet) == []
    assert "MQTT 3.1.1 has no way to say no" in warned(place, quiet + 'version = "3.1.1"\n')[0]
    late = SAMPLE.replace('send = ["windows"]', 'delay_min = 60\nsend = ["windows"]')
    assert warned(place, late) == ["'province' gets its files 60 minutes late."]
    assert warned(place, SAMPLE + HTTPS + TOKEN + "delay_min = 60\n") == []


# Credentials of systemd -------------------------------------------------------------------------------------

AS_CREDENTIALS = (
    SAMPLE.replace('"gateway/keys/', '"credential:')
    + HTTPS
    + TOKEN.replace("gateway/keys/", "credential:")
    + CERT.replace("gateway/keys/", "credential:")
    + 'ca_file = "credential:national.pem"\n'
)


def test_every_file_of_a_configuration_may_be_a_credential(place, monkeypatch):
    """Their modes show the mask of an access list (0440); the folder is what guards them."""
    given = place / "credentials"
    (place / "gateway/keys").rename(given)
    for path in given.iterdir():
        path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    path = place / "config.toml"
    path.write_text(AS_CREDENTIALS)
    config = load(path)
    files = {
        name: getattr(section, name)
        for section in (*config.device, *config.destination, *config.witness)
        for name in type(section).model_fields
        if name.endswith("_file") and getattr(section, name) is not None
    }
    assert set(files) == {
        "key_file", "password_file", "host_key_file", "token_file", "cert_file", "ca_file", "vkey_file",
    }  # fmt: skip
    assert {path.parent for path in files.values()} == {given}
    (given / "province.password").unlink()
    assert f"{given}/province.password cannot be read" in faults_of_file(path)[0]


def faults_of_file(path: Path) -> list[str]:
    return [str(fault) for fault in read(path)[1]]


def test_a_secret_outside_is_still_looked_at(place, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place / "elsewhere"))
    path = written(place, SAMPLE)
    (place / "gateway/keys/province.password").chmod(0o640)
    assert "can be read by others" in faults_of_file(path)[0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("credential:", "names no credential."),
        ("credential:../shadow", "names no credential."),
        ("credential:a/b", "names no credential."),
        ("credential:.hidden", "names no credential."),
        ("credential:absent", "cannot be read: No such file or directory."),
    ],
)
def test_what_names_no_credential(place, monkeypatch, value, said):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    found = faults_of(place, SAMPLE.replace("gateway/keys/province.password", value))
    assert len(found) == 1 and said in found[0]


def test_without_systemd_a_credential_is_a_sentence(place, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    found = faults_of(place, SAMPLE.replace("gateway/keys/province.password", "credential:province"))
    assert len(found) == 1
    assert "is there only for a service that systemd starts. Write LoadCredential=province:FILE" in found[0]


def test_every_setting_called_file_takes_a_credential():
    """The rule is one of types: whoever adds a setting cannot forget it."""

    def sections(model):
        yield model
        for other in model.__subclasses__():
            yield from sections(other)

    checker = FilePath.__metadata__[0]
    found = 0
    for section in sections(Section):
        for name, field in section.model_fields.items():
            annotations = [field.annotation, *getattr(field.annotation, "__args__", ())]
            metadata = [*field.metadata, *(m for a in annotations for m in getattr(a, "__metadata__", ()))]
            assert (checker in metadata) == name.endswith("_file"), (section, name)
            found += name.endswith("_file")
    assert found > 8 and SINGLE
