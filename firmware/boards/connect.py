# Making a TCP connection in MicroPython. Loaded through lazy.call while one is made, and forgotten.
#
# Rule 1: nobody waits inside of connect(): the socket does not block, and is looked at when it can be
#         written.
# Rule 2: whatever keeps it from being made is an OSError, and the socket is closed then.
#
# pyright: reportGeneralTypeIssues=false

import asyncio
import socket
from errno import EINPROGRESS, ETIMEDOUT

from firmware.boards.stream import Socket, writable


# host: an IPv4 address, so that nothing is looked up
async def open_tcp(host, port, timeout_ms):
    address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]
    link = socket.socket()
    stream = Socket(link)
    failed = None
    try:
        link.setblocking(False)
        try:
            link.connect(address)
        except OSError as error:
            if error.errno != EINPROGRESS:
                raise
        await asyncio.wait_for_ms(writable(link), timeout_ms)
        stream.read_now()  # raises what the attempt came to
    except asyncio.TimeoutError:  # noqa: UP041 (there is no other here)
        failed = OSError(ETIMEDOUT)
    except OSError as error:
        failed = error
    if failed is not None:
        stream.close()
        raise failed
    return stream
