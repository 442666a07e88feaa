"""README.txt of a bundle: what is in it, and how to check it without this program."""

from __future__ import annotations

from gateway.reports.message import rfc3339
from gateway.verify_bundle import Manifest
from protocol.checkpoint import Checkpoint

_TEXT = """\
Log      {origin}
Range    windows from {begin} to {end}
Entries  {first} to {last}, without a gap{others}
Signed   a checkpoint of {size} entries

This folder shows what a monitoring station recorded, and lets you check it without trusting those who run it.

What is in it
-------------
log.vkey                    the log's public key, one line: <name>+<id>+<base64>
checkpoint                  a signed note (C2SP tlog-checkpoint): name, number of entries, root, signatures
entries/<index>.bin         an entry, byte for byte: CBOR of [kind, source, arrived, monotonic, body]; times
                            in milliseconds, arrived since 1970. Kinds: 1 frame of a device, 2 readings of a
                            bus, 3 window, 4 event, 5 configuration, 6 greeting of a device, 7 what happened
                            to the log (another key, a new epoch), 8 documents settled with a destination,
                            9 a command to a device or its result, 10 a calibration
proofs/<index>.tlog-proof   its receipt (C2SP tlog-proof@v1): the hashes from the entry up to the root
handovers/<index>.tlog-proof   for each entry of kind 7: its receipt in the log that ended with it, signed by
                            the key that came then and the one that went
files/<name>.txt            the text files of these windows, as they were queued for the province
pictures/<sha256>.jpg       (only where there are some) pictures that entries of kinds 4 and 10 name by their
                            SHA-256: sha256sum tells whether they are those
consistency                 (only when asked for) that the log goes on behind an earlier checkpoint: the line
                            "index <size of the earlier one>", hashes, an empty line, the earlier checkpoint
bundle.json                 what is here. Nobody signed it: all that it says is held against the entries

The quick way
-------------
    quantrac verify THIS-FOLDER --vkey KEY --seen CHECKPOINT

KEY is the log's key as you got it when the station was commissioned, not the one in this folder. CHECKPOINT
is any checkpoint that you kept: of a delivery, of a witness.

With other people's tools
-------------------------
The formats are public: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-proof
and RFC 6962. No part of this program is needed.

1. Is the checkpoint signed by the log's key? In Go, with golang.org/x/mod/sumdb/note:
       verifier, err := note.NewVerifier(vkey)                    // the text of log.vkey
       signed, err := note.Open(checkpoint, note.VerifierList(verifier))
   Any Ed25519 will do: the signature is over all lines up to the empty one; it stands behind the key's name,
   in base64, after four bytes of key id.
2. Is an entry in the log? Its leaf hash is SHA-256 of one zero byte and the file:
       (printf '\\000'; cat entries/{first}.bin) | sha256sum
   A node is SHA-256 of one byte 1, the left and the right hash. Go up the hashes in the .tlog-proof:
   what you reach is the root in the checkpoint. In Go, with golang.org/x/mod/sumdb/tlog:
       err := tlog.CheckRecord(proof, {size}, root, {first}, tlog.RecordHash(entry))
3. Is none left out? The entries {first} to {last} all stand here, each proved at its own place.

4. Is it still the log whose key you have? Where log.vkey is another key, the handovers lead from yours to it.
   In the body of an entry of kind 7, CBOR, stand "old" and "new", two keys as in log.vkey, "kept", its own
   index, and "reason". Check handovers/<index>.tlog-proof with both keys, as in 1 and 2; its checkpoint has
   one entry more than <index>. Then the old key vouches for the new one, and for the log up to there. Where
   only the new one signed, nobody does. "signed": checkpoints of entries that a new epoch went on without.

What this shows, and what not
-----------------------------
Shown: these entries stand in the log that the checkpoint signs, none of {first} to {last} is missing,
changed, doubled or moved; the windows and files follow from them by arithmetic.
The run begins with the last entry that arrived two minutes before the range: no reading of it can stand
before (by the arrival times in the log). The other entries in bundle.json (greetings, placements, earlier
rows, configurations, readings that came very late and what was computed of them) are each proved; that there
is no further one beside the run is not shown: ask for a longer range.
Not shown by this folder alone: that nobody holds another log of the same name (keep checkpoints, ask for
witnesses), and that an instrument measured what it should have.
"""


def text(manifest: Manifest, signed: Checkpoint) -> str:
    """The text for this bundle; manifest.readme plays no part."""
    count = len(manifest.others)
    return _TEXT.format(
        origin=signed.origin,
        size=signed.size,
        begin=rfc3339(manifest.from_ms),
        end=rfc3339(manifest.to_ms),
        first=manifest.first,
        last=manifest.last,
        others=f", and {count} beside them" if count else "",
    )
