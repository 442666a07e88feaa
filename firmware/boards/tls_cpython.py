# TLS on CPython, for a link. The same as tls.py, whose rules hold here too.

import asyncio
import ssl

from firmware.boards.posix_cpython import Stream

HANDSHAKE_S = 20


async def open_tls(board, link):
    authority = board.files.read(link["ca"])
    plain = await board.open_tcp(link["host"], link["port"])
    board.feed()
    secure = None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
        pem = b"-----BEGIN" in authority
        context.load_verify_locations(cadata=authority.decode() if pem else authority)
        name = link.get("name") or link["host"]
        secure = Secure(
            context.wrap_socket(plain.detach(), server_hostname=name, do_handshake_on_connect=False)
        )
        async with asyncio.timeout(HANDSHAKE_S):
            await secure.shake()
        return secure
    except TimeoutError as error:
        raise OSError(110, "no answer") from error
    except (ValueError, UnicodeError) as error:
        raise OSError(str(error)) from error
    finally:
        if secure is None:
            plain.close()
        elif not secure.shaken:
            secure.close()


class Secure(Stream):
    def __init__(self, link):
        super().__init__(link.fileno(), link)
        self.shaken = False

    async def shake(self):
        while not self.shaken:
            try:
                self._owner.do_handshake()
                self.shaken = True
            except ssl.SSLWantReadError:
                await self._wait(False, None)
            except ssl.SSLWantWriteError:
                await self._wait(True, None)

    def _take(self, n):
        if self._fd is None:
            raise OSError(9, "closed")
        try:
            data = self._owner.recv(n)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        if not data:
            raise OSError(5, "the other side has gone")
        return data

    async def write(self, data):
        view = memoryview(bytes(data))  # as in posix_cpython.py
        while view:
            if self._fd is None:
                raise OSError(9, "closed")
            try:
                view = view[self._owner.send(view) :]
            except ssl.SSLWantWriteError:
                await self._wait(True, None)
            except ssl.SSLWantReadError:
                await self._wait(False, None)
