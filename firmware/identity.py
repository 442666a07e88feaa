# Who this device is and where its gateway is: identity.json and link.key, written at provisioning; and what
# it seals with, if somebody wrote a seal.key.
#
# Rule 1: no command writes or reads these files, so that no configuration, however wrong, cuts the link.
# Rule 2: what a link or a network needs besides what stands here is the business of the board that opens it.
# Rule 3: needed once: called through lazy.call and forgotten.
# Rule 4: a serial link is 8N1, at 115200 baud unless it says otherwise.
# Rule 5: the other end of a TCP connection is an IPv4 address, never a name: looking one up stops everything.

import binascii
import json

from protocol import fields
from protocol.errors import ConfigError

FILE = "identity.json"
KEY_FILE = "link.key"
SEAL_FILE = "seal.key"

_must = fields.MUST
_tcp = (("host", fields.address, _must), ("port", fields.whole(1, 65535), _must))
_serial = (
    ("path", fields.filled, _must),
    ("baud", fields.whole(300, 3000000), 115200),
    ("parity", fields.choice(("N", "E", "O")), "N"),
    ("stopbits", fields.choice((1, 2)), 1),
)
_tls = _tcp + (("ca", fields.filled, _must),)  # noqa: RUF005 (small)
_KINDS = {"serial": _serial, "usb": (), "tcp": _tcp, "tls": _tls}


# files: of the board. (id, key, link, network): a text of 1 to 32 bytes, 32 bytes, a table with its kind, a
# table or None. ConfigError with what to write, where a file is not there or wrong.
def load(files):
    given = None
    read = getattr(files, "read", None) or files.read_file  # a board without files yet
    try:
        given = json.loads(read(FILE))
    except (OSError, ValueError):
        pass
    if not isinstance(given, dict):
        raise ConfigError(f"{FILE} is missing or no JSON table: provision the device again")
    faults = []
    name = given.get("id")
    length = 0
    try:
        length = len(name.encode())
    except (AttributeError, ValueError):
        pass
    if not 1 <= length <= 32:
        faults.append("id: write a text of 1 to 32 bytes")
    link = given.get("link")
    kind = link.get("kind") if isinstance(link, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        faults.append("link.kind: write one of serial, tcp, tls, usb")
    else:
        for key, check, default in _KINDS[kind]:
            if key not in link and default is not _must:
                link[key] = default
            elif check(link.get(key)):
                faults.append(f"link.{key}: write {check(link.get(key))}")
    network = given.get("network")
    if network is not None and not isinstance(network, dict):
        faults.append("network: write a table, or leave it out")
    if faults:
        raise fields.fail(FILE, faults)
    key = b""
    try:
        key = binascii.unhexlify(read(KEY_FILE).strip())
    except (OSError, ValueError):
        pass
    if len(key) != 32:
        raise ConfigError(f"{KEY_FILE} is missing or does not hold 64 hexadecimal digits: provision again")
    return name, key, link, network


# What a Sealer begins with, (epoch, seals made with this key, key, chain); None where there is no seal.key.
# ConfigError with what to do: then nothing is sealed, rather than with a key that nobody expects.
def seal(files):
    words = [b""]
    try:
        words = files.read(SEAL_FILE).split()
    except OSError as error:
        if error.errno == 2:
            return None
    if len(words) == 1:  # as the inspector wrote it
        words = [b"0", b"0", words[0], b"00" * 32]
    state = None
    try:
        epoch, count, key, chain = words
        state = int(epoch), int(count), binascii.unhexlify(key), binascii.unhexlify(chain)
    except ValueError:
        pass
    if state is None or len(state[2]) != 32 or len(state[3]) != 32 or not 0 <= state[0] < 1 << 32:
        raise ConfigError(f"{SEAL_FILE} cannot be read, nothing is sealed: have the inspector write it anew")
    return state
