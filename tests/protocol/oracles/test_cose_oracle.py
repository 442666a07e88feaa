"""protocol.cose against pycose, against hmac, and against the MAC structure of RFC 9052 written out."""

import hashlib
import hmac

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycose.keys import SymmetricKey
from pycose.messages import Mac0Message

from protocol.cose import Mac0, kid_of, payload_of
from protocol.errors import AuthError
from tests.protocol.make_vectors import sealed

kids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda kid: len(kid.encode()) <= 32
)
keys = st.binary(min_size=32, max_size=32)
payloads = st.binary(max_size=400)


@given(kids, keys, payloads)
def test_the_bytes_are_those_of_pycose(kid, key, payload):
    mac = Mac0(kid, key)
    body = mac.seal(payload)
    assert body == sealed(kid.encode(), key, payload)
    assert mac.open(body) == payload_of(body) == payload and kid_of(body) == kid


@given(kids, keys, payloads)
def test_pycose_verifies_what_we_seal(kid, key, payload):
    tag = cbor2.loads(Mac0(kid, key).seal(payload))
    assert tag.tag == 17
    protected, unprotected, content, code = tag.value
    message = Mac0Message.from_cose_obj(
        [protected, dict(unprotected), content, code], allow_unknown_attributes=False
    )
    message.key = SymmetricKey(k=key)
    assert message.verify_tag() and message.payload == payload


@given(keys, payloads)
def test_the_tag_is_the_hmac_of_the_mac_structure(key, payload):
    structure = cbor2.dumps(["MAC0", b"\xa1\x01\x05", b"", payload])
    tag = hmac.new(key, structure, hashlib.sha256).digest()
    assert Mac0("st-01", key).seal(payload).endswith(tag)


@given(keys, payloads.filter(len), st.data())
def test_no_other_key_and_no_change_gets_through(key, payload, data):
    body = Mac0("st-01", key).seal(payload)
    with pytest.raises(AuthError):
        Mac0("st-01", hashlib.sha256(key).digest()).open(body)
    changed = bytearray(body)
    changed[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AuthError):
        Mac0("st-01", key).open(bytes(changed))
