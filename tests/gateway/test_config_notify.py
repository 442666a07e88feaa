"""The address of people: what it may say, and that no sentence about the rest shows a secret."""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config_links import LinkFault
from gateway.config_notify import Hook, Mail, parse
from gateway.errors import ConfigFaults
from tests.gateway.configured import SAMPLE, keys, written

S = "s3cret"
GOOD = [
    (
        f"mailtos://station%40example.vn:{S}@mail.example.vn/?to=lan@example.vn,minh@example.vn",
        Mail("mail.example.vn", 587, "starttls", "station@example.vn", S, "station@example.vn",
             ("lan@example.vn", "minh@example.vn")),
    ),
    (
        f"mailtos://station:{S}%40%2F@example.vn:465?mode=ssl&to=a@b.vn&smtp=mx.example.vn",
        Mail("mx.example.vn", 465, "ssl", "station", f"{S}@/", "station@example.vn", ("a@b.vn",)),
    ),
    (
        "mailto://relay.example.vn/a@b.vn/c@d.vn?from=e@f.vn",
        Mail("relay.example.vn", 25, "none", "", "", "e@f.vn", ("a@b.vn", "c@d.vn")),
    ),
    (
        f"jsons://u:{S}@hook.example.vn/services/T0/{S}?+X-Token=a%20b&:message=text&:room=lab",
        Hook(f"https://hook.example.vn:443/services/T0/{S}", "hook.example.vn:443", "json", "u", S,
             (("X-Token", "a b"),), (("message", "text"), ("room", "lab"))),
    ),
    ("form://127.0.0.1:8080", Hook("http://127.0.0.1:8080/", "127.0.0.1:8080", "form", "", "", (), ())),
]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), GOOD, ids=[text.partition(":")[0] for text, _ in GOOD])
def test_good_addresses(text, found):
    assert parse(text) == found


WRONG = [
    (f"tgram://{S}/1", "no address that can be notified"),
    (f"{S}", "no address that can be notified"),
    (f"xmls://u:{S}@h.vn/", "no address that can be notified"),
    (f"mailtos://u:{S}@h.vn/", "nobody to write to"),
    (f"mailtos://u:{S}@h.vn/?to={S}", "An e-mail address in it is none."),
    (f"mailtos://u:{S}@h.vn/?to=a@b.vn%0d%0aBcc:{S}@x.vn", "An e-mail address in it is none."),
    (f"mailtos://u:{S}@h.vn/?to=" + ",".join(f"{S}{i}@b.vn" for i in range(21)), "more than 20 people"),
    (f"mailtos://u:{S}@h.vn/?to=a@b.vn&verify=no", "It sets 'verify'."),
    (f"mailtos://u:{S}@h.vn/?to=a@b.vn&{S}=1", "sets something that is not known"),
    (f"mailtos://u:{S}@h.vn/?to=a@b.vn&mode=none", "Its mode is not known."),
    (f"mailtos://{S}@h.vn/?to=a@b.vn", "belong together"),
    (f"mailto://u:{S}@h.vn/?to=a@b.vn", "The password would go unencrypted."),
    (f"mailto://u:{S}@127.0.0.1/?to=a@b.vn&smtp=h.vn", "The password would go unencrypted."),
    (f"mailtos://u:{S}#@h.vn/?to=a@b.vn", "a sign that an address cannot have"),
    (f"mailtos://u:{S}/@h.vn/?to=a@b.vn", "host or port cannot be read"),
    (f"json://h.vn/{S}", "It is not encrypted."),
    (f"jsons://h.vn/{S}?verify=no", "It sets 'verify'."),
    (f"jsons://h.vn/?+X=%0d%0a{S}", "A header in it cannot be sent."),
    (f"jsons://h.vn/?+Content-Length={S}", "A header in it cannot be sent."),
    (f"jsons://h.vn:0x/{S}", "host or port cannot be read"),
    (f"jsons:///{S}", "It names no host."),
    ("jsons://h.vn/" + S * 1000, "a sign that an address cannot have"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_wrong_addresses_are_two_sentences_without_a_secret(text, said):
    with pytest.raises(LinkFault) as caught:
        parse(text)
    fault = caught.value
    assert said in fault.what and fault.what.endswith(".") and fault.instead.endswith(".")
    assert S not in fault.what + fault.instead + repr(fault)


PEOPLE = '[[destination]]\nid = "people"\nkind = "notify"\nurl_file = "gateway/keys/people.url"\n'


def faults(tmp_path, more: str, url: str = f"jsons://h.vn/{S}\n", mode: int = 0o600) -> str:
    keys(tmp_path)
    path = tmp_path / "gateway/keys/people.url"
    path.write_text(url)
    path.chmod(mode)
    try:
        load(written(tmp_path, SAMPLE + PEOPLE + more))
    except ConfigFaults as error:
        return str(error)
    return ""


def test_settings_and_their_defaults(tmp_path):
    assert faults(tmp_path, "") == ""
    made = load(written(tmp_path, SAMPLE + PEOPLE)).destination[1]
    assert (made.send, made.lang, made.least_s, made.rules, made.states) == (("alerts",), "vi", 60, (), ())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('send = ["windows"]', "People are told of alerts, not of windows."),
        ('send = ["alerts", "events"]', "People are told of alerts, not of events."),
        ('rules = ["limits"]', "'limits' is none of the rules of alerts."),
        ('states = ["raised", "raised"]', "One of the states of alerts is named twice."),
        ('lang = "fr"', "destination[1].lang"),
        ("least_s = 601", "destination[1].least_s"),
        ('ca_file = "gateway/keys/people.url"', "holds no certificates"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, more, said):
    assert said in faults(tmp_path, more)


def test_the_file_is_looked_at_and_never_shown(tmp_path):
    found = faults(tmp_path, "", f"tgram://{S}\n")
    assert "The address in" in found and "It is no address that can be notified." in found and S not in found
    assert "can be read by others" in faults(tmp_path, "", mode=0o644)
    assert "cannot be read" in faults(tmp_path, 'ca_file = "gateway/keys/none.pem"')
