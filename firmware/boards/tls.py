# TLS on MicroPython, for a link: loaded through lazy.call while a connection is made, and forgotten.
#
# Rule 1: the certificate is always checked, against the pinned authority only and for the expected name. A
#         failed check is an OSError, like everything else that keeps a link from being opened.
# Rule 2: the handshake happens step by step, at the first byte written, and each step ends when it has to
#         wait for the other side. One step may compute for seconds (RSA and elliptic curves on a
#         Cortex-M0): the watchdog is fed before each, HANDSHAKE_MS bounds them all.
# Rule 3: that first byte is a zero, which ends a frame wherever it stands and means nothing.
# Rule 4: dates in a certificate are compared with the board's clock: see metal.py for boards that have none.
#
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportAttributeAccessIssue=false

import asyncio
from binascii import a2b_base64
from errno import ETIMEDOUT

import tls
from micropython import const

from firmware.boards.stream import Socket, writable

_HANDSHAKE_MS = const(20000)
_BEGIN = b"-----BEGIN CERTIFICATE-----"  # older builds read no PEM themselves
_END = b"-----END"


# link: {"host", "port", "ca": name of a file with the authorities' certificates, PEM or one DER, "name":
# what the server's must say, else the host}
async def open_tls(board, link):
    authority = board.files.read(link["ca"])
    stream = await board.open_tcp(link["host"], link["port"])
    board.feed()
    board.idle()  # its buffers are the largest objects there are: 16 KB in one piece
    failed = None
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        for block in authority.split(_BEGIN)[1:] or [authority]:
            context.load_verify_locations(a2b_base64(block.split(_END)[0]) if _END in block else block)
        name = link.get("name") or link["host"]
        plain = stream._open()
        secure = Socket(context.wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False))
        stream = secure  # which closes the socket below it
        await asyncio.wait_for_ms(_shake(board, secure._open()), _HANDSHAKE_MS)
    except asyncio.TimeoutError:  # noqa: UP041 (there is no other here)
        failed = OSError(ETIMEDOUT)
    except OSError as error:
        failed = error
    except ValueError as error:
        failed = OSError(str(error))
    if failed is not None:
        stream.close()
        raise failed
    return stream


async def _shake(board, secure):
    while not secure.write(b"\0"):
        await writable(secure)
        board.feed()
