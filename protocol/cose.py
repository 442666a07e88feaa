# COSE_Mac0 (RFC 9052, section 6.2), in the one shape that Quantrac uses:
#
#   17([ << {1: 5} >>, {4: kid}, payload, tag ])      alg 5 = HMAC 256/256, kid = device id, external_aad =
#   h''
#
# Rule 1: one payload under one key has exactly one encoding. open() compares constant bytes, so that nothing
#         else (other order, other lengths, further headers, a detached payload) ever reaches the key.
# Rule 2: nothing of a body is used before its tag has been compared, in constant time. kid_of() is for
#         counting only, payload_of() for what was authenticated before it was kept.
# Rule 3: the two pads are hashed when the Mac0 is made, not with each message.
#
# seal and open raise AuthError, nothing else; payload_of CodecError; the constructor ConfigError.

from protocol._compat import bytes_of, compare_digest, const, keyed_sha256, text_of
from protocol.errors import AuthError, CodecError, ConfigError

TAG_BYTES = const(32)
KID_BYTES_MAX = const(32)  # a device id
_PAYLOAD_MAX = const(0xFFFF)

_HEAD = b"\xd1\x84\x43\xa1\x01\x05\xa1\x04"  # tag 17, array of 4, << {1: 5} >>, map of one: 4 =>
_TAG_HEAD = b"\x58\x20"  # byte string of 32
_MAC_HEAD = b"\x84\x64MAC0\x43\xa1\x01\x05\x40"  # RFC 9052 MAC_structure up to its payload
_BLOCK = const(64)  # of SHA-256
_ROOM = b"\0\0\0"  # for the longest of _bytes_head


def _bytes_head(length):
    if length < 24:
        return bytes((0x40 | length,))
    if length < 256:
        return bytes((0x58, length))
    return bytes((0x59, length >> 8, length & 255))


class Mac0:
    # kid: device id, 1 to 32 bytes of UTF-8; key: 32 bytes.
    def __init__(self, kid, key):
        if not isinstance(key, bytes) or len(key) != 32:
            raise ConfigError("a link key has 32 bytes: write 64 hexadecimal digits")
        try:
            name = bytes_of(kid)
        except (ValueError, AttributeError, TypeError):
            name = b""
        if not 1 <= len(name) <= KID_BYTES_MAX:
            raise ConfigError("a device id has 1 to 32 bytes: shorten it")
        self.kid = kid
        self._prefix = _HEAD + _bytes_head(len(name)) + name
        self._at = len(self._prefix)
        pad = key + bytes(_BLOCK - 32)
        self._inner = keyed_sha256(bytes([b ^ 0x36 for b in pad]) + _MAC_HEAD)
        self._outer = keyed_sha256(bytes([b ^ 0x5C for b in pad]))
        # bytes that a body adds to a payload of 256 bytes and more: a payload of framing.MAX_BODY - overhead
        # fits
        self.overhead = self._at + 3 + 2 + TAG_BYTES

    def seal(self, payload):
        length = len(payload)
        if length > _PAYLOAD_MAX:
            raise AuthError(f"a payload of {length} bytes is too long to seal: split it")
        out = bytearray()
        at = self.begin(out)
        out += payload
        self.end(out, at)
        return bytes(out)

    # The same at the end of a bytearray, with no copy: at = begin(out), append the payload, end(out, at).
    def begin(self, out):
        out += self._prefix
        at = len(out)
        out += _ROOM
        return at

    def end(self, out, at):
        out[at : at + len(_ROOM)] = _bytes_head(len(out) - at - len(_ROOM))
        tag = self._outer(self._inner(memoryview(out)[at:]))
        out += _TAG_HEAD
        out += tag

    def open(self, body):
        if not body.startswith(self._prefix) or body[-34:-32] != _TAG_HEAD:
            raise AuthError("not a message of this device, or not in the shape we use")
        content = body[self._at : -34]
        if not compare_digest(self._outer(self._inner(content)), body[-32:]):
            raise AuthError("wrong tag: another key, or changed on the way")
        payload = _content(content)
        if payload is None:
            raise AuthError("the payload's length is wrong")
        return payload


# What a byte string holds whose head is the shortest and says its length; None for anything else.
def _content(string):
    length = len(string)
    if length < 25:
        at = 1
    elif length < 258:
        at = 2
    else:
        at = 3
    if not length or length - at > _PAYLOAD_MAX or string[:at] != _bytes_head(length - at):
        return None
    return string[at:]


# The key id of something in our shape, or None. Not authenticated: good for counting, not for acting.
def kid_of(body):
    return _kid(body)[0]


# The payload of a body whose tag was checked before it was kept: no key is needed to read it again.
# CodecError for what is not in our shape; the tag itself is not looked at.
def payload_of(body):
    name, at = _kid(body)
    payload = _content(body[at:-34]) if name is not None and body[-34:-32] == _TAG_HEAD else None
    if payload is None:
        raise CodecError("not a message of a device in the shape we use")
    return payload


# (key id, place behind it); (None, 0) where there is none in our shape.
def _kid(body):
    nothing = None, 0
    if not body.startswith(_HEAD) or len(body) < 10:
        return nothing
    length = body[8]
    if length == 0x58:
        length = body[9]
        at = 10
        if length < 24:
            return nothing
    else:
        length -= 0x40
        at = 9
    name = body[at : at + length]
    if not 1 <= length <= KID_BYTES_MAX or len(name) != length or (at == 9 and length > 23):
        return nothing
    try:
        return text_of(name), at + length
    except ValueError:
        return nothing
