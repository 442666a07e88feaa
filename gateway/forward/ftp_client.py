"""One connection to an FTP or FTPS server: the standard library's ftplib, with what real servers ask for.

Everything here blocks and runs in a helper thread. What ftplib lacks and this adds:

Rule 1: `cut()`, from any thread, ends whatever the helper thread waits for, at once. A socket is known to
        cut() before it is connected, before a handshake begins, and until it is closed.
Rule 2: a data connection continues the TLS session of the control connection: servers demand it (vsftpd,
        ProFTPD), because it proves that both come from the same client.
Rule 3: a data connection ends with TLS's own farewell, then ours, and is closed only after the server's end:
        closing with something unread resets it, and a reset can take the end of the file with it.
Rule 4: data go to and come from the control connection's host, whatever address the server names in PASV
        (behind NAT it names its private one); in active mode nobody else's connection is taken.
Rule 5: nothing a server says can make us keep more than REPLY_LINES_MAX lines of it.
"""

from __future__ import annotations

import contextlib
import ftplib
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.forward.ftp_tls import Tls

REPLY_LINES_MAX = 200
NAMES_BYTES_MAX = 100_000  # of a listing that was asked for one file's leftovers


class DataError(Exception):
    """The control connection is well, but no data connection came about."""


class NotACommand(Exception):
    """It would have been two commands."""


class Client(ftplib.FTP):
    """A connection that was logged in, or will be. `step` says what it was doing, for sentences."""

    sock: Any  # None before and after

    def __init__(self, timeout_s: float, passive: bool, tls: Tls | None):
        super().__init__()
        self._answer_s = timeout_s  # how long one answer may take
        self.encoding = "utf-8"
        self.set_pasv(passive)
        self.step = "connect"
        self._tls = tls
        self._lock = threading.Lock()  # between cut() and the helper thread that opens and closes sockets
        self._open: set[socket.socket] = set()
        self._aborted = False

    # Sockets that another thread can end

    def cut(self) -> None:
        """End every socket, and with it whatever waits for one. Does not block; may be called at any time."""
        with self._lock:
            self._aborted = True
            for sock in self._open:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own is for its own thread

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.add(sock)
        self._still_wanted()

    def _still_wanted(self) -> None:
        if self._aborted:
            raise ConnectionAbortedError("this connection was given up")

    def _drop(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
            sock.close()

    def close(self) -> None:
        """Close every socket; by the helper thread only, or when none is at work."""
        file, self.file, self.sock = self.file, None, None
        if file is not None:
            file.close()
        for sock in list(self._open):
            self._drop(sock)

    def leave(self) -> None:
        """Say good-bye without waiting for an answer, and close."""
        with contextlib.suppress(OSError):
            self.sock.settimeout(0)
            self.sock.sendall(b"QUIT\r\n")
        self.close()

    # Connecting

    def enter(self, host: str, port: int, user: str, password: str) -> str:
        """Connect and log in; returns the folder in which the server puts us."""
        self.host, self.port = host, port
        self.sock = self._connect(host, port)
        self.af = self.sock.family
        if self._tls and self._tls.implicit:
            self._secure()
        self._listen()
        self.welcome = self.getresp()
        if self._tls and not self._tls.implicit:
            self.step = "tls"
            self.voidcmd("AUTH TLS")
            self._secure()
            self._listen()  # what came before the handshake is not believed
        self.step = "login"
        if self.sendcmd(f"USER {user}")[0] == "3" and self.sendcmd(f"PASS {password}")[0] != "2":
            raise ftplib.error_perm("332 an account is asked for as well")
        if self._tls:
            self.step = "tls"
            self.voidcmd("PBSZ 0")
            self.voidcmd("PROT P")
        self.step = "begin"
        self.voidcmd("TYPE I")
        try:
            return self.pwd() or "/"
        except ftplib.error_perm:
            return "/"

    def pace(self, timeout_s: float) -> None:
        """From now on each answer may take so long."""
        self._answer_s = timeout_s
        self.sock.settimeout(timeout_s)

    def _connect(self, host: str, port: int) -> socket.socket:
        """The first address that answers; they share the time."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host} cannot be a name") from error
        self._still_wanted()
        last: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in found:
            try:
                return self._dial(socket.socket(family, kind, protocol), address, self._answer_s / len(found))
            except OSError as error:
                self._still_wanted()
                last = error
        raise last

    def _dial(self, sock: socket.socket, address: Any, timeout_s: float) -> socket.socket:
        self._keep(sock)
        try:
            sock.settimeout(timeout_s)
            sock.connect(address)
            self._still_wanted()
            sock.settimeout(self._answer_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self._drop(sock)
            raise
        return sock

    def _secure(self) -> None:
        self.step = "handshake"
        self.sock = self._wrap(self.sock, None)

    def _wrap(self, sock: socket.socket, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        assert self._tls is not None
        with self._lock:
            wrapped = self._tls.context.wrap_socket(
                sock, server_hostname=self.host, session=session, do_handshake_on_connect=False
            )
            self._open.discard(sock)
            self._open.add(wrapped)
        self._still_wanted()
        wrapped.do_handshake()
        self._tls.check(wrapped)
        return wrapped

    def _listen(self) -> None:
        # An old server's replies may be in any code page: they are shown, never compared.
        self.file = self.sock.makefile("r", encoding="utf-8", errors="surrogateescape")

    # Commands

    def putline(self, line: str) -> None:
        if any(sign in line for sign in "\r\n\0"):
            raise NotACommand("a command cannot hold a line's end")
        self.sock.sendall(line.encode("utf-8", "surrogateescape") + b"\r\n")

    def getmultiline(self) -> str:
        line = self.getline()
        lines = [line]
        while lines[0][3:4] == "-" and not (line[:3] == lines[0][:3] and line[3:4] != "-"):
            if len(lines) == REPLY_LINES_MAX:
                raise ftplib.error_proto("a reply without an end")
            line = self.getline()
            lines.append(line)
        return "\n".join(lines)

    def size_of(self, name: str) -> int | None:
        """Bytes of a file as the server sees it, None when there is none; error_perm: it does not say."""
        try:
            said = self.sendcmd(f"SIZE {name}")
        except ftplib.error_perm as error:
            if str(error)[:3] == "550":
                return None
            raise
        if said[:3] != "213" or not said[3:].strip().isdigit():
            raise ftplib.error_proto(said)
        return int(said[3:].strip())

    def put(self, name: str, body: bytes) -> str:
        """Write a file; what the server said when it had taken it."""
        conn = self._data(f"STOR {name}")
        try:
            conn.sendall(body)
            self._finish(conn)
        finally:
            self._drop(conn)
        return self.voidresp()

    def get(self, name: str, bytes_max: int) -> bytes:
        """A file's bytes, of a longer one one more than `bytes_max`."""
        return self._read(f"RETR {name}", bytes_max)

    def names(self, pattern: str) -> list[str]:
        """Names that the server finds for a pattern, none when it finds none or lists nothing."""
        try:
            listed = self._read(f"NLST {pattern}", NAMES_BYTES_MAX)
        except (ftplib.error_perm, ftplib.error_temp) as error:
            if str(error)[:3] == "421":
                raise
            return []
        return listed.decode("utf-8", "surrogateescape").split()

    # The data connection

    def _read(self, command: str, bytes_max: int) -> bytes:
        conn = self._data(command)
        data = bytearray()
        try:
            while piece := conn.recv(65536):
                data += piece[: bytes_max + 1 - len(data)]  # the rest is heard to its end, and not kept
            self._finish(conn)
        finally:
            self._drop(conn)
        self.voidresp()
        return bytes(data)

    def _data(self, command: str) -> socket.socket:
        """The connection for one transfer, which the server has agreed to."""
        conn = self._passive(command) if self.passiveserver else self._active(command)
        if self._tls is None:
            return conn
        try:
            return self._wrap(conn, self.sock.session)
        except BaseException:
            self._drop(conn)
            raise

    def _passive(self, command: str) -> socket.socket:
        try:
            _, port = self.makepasv()
            peer = self.sock.getpeername()
            conn = self._dial(
                socket.socket(self.af, socket.SOCK_STREAM), (peer[0], port, *peer[2:]), self._answer_s
            )
        except (OverflowError, ValueError) as error:
            raise ftplib.error_proto(f"a port that is none: {error}") from None
        except (ConnectionAbortedError, EOFError):
            raise
        except OSError as error:
            raise DataError(str(error)) from error
        try:
            self._agreed(command)
        except BaseException:
            self._drop(conn)
            raise
        return conn

    def _active(self, command: str) -> socket.socket:
        door = socket.socket(self.af, socket.SOCK_STREAM)
        self._keep(door)
        try:
            here, peer = self.sock.getsockname(), self.sock.getpeername()
            door.bind((here[0], 0, *here[2:]))
            door.listen(1)
            door.settimeout(self._answer_s)
            say = self.sendport if self.af == socket.AF_INET else self.sendeprt
            say(here[0], door.getsockname()[1])
            self._agreed(command)
            conn, caller = door.accept()
            if caller[0] != peer[0]:
                conn.close()
                raise DataError(f"{caller[0]} called instead of the server")
            self._keep(conn)
            conn.settimeout(self._answer_s)
            return conn
        finally:
            self._drop(door)

    def _agreed(self, command: str) -> None:
        said = self.sendcmd(command)
        if said[0] == "2":  # some servers end what was before only now
            said = self.getresp()
        if said[0] != "1":
            raise ftplib.error_reply(said)

    def _finish(self, conn: Any) -> None:
        """Rule 3. The server's own reply is what counts: nothing that goes wrong here does."""
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                _say_farewell(conn, self._answer_s)
            socket.socket.shutdown(conn, socket.SHUT_WR)
            while conn.recv(65536):
                pass


def _say_farewell(conn: ssl.SSLSocket, timeout_s: float) -> None:
    """Send close_notify without waiting for the other one: some servers never send theirs. OSError."""
    conn.settimeout(0)
    try:
        while True:
            try:
                conn.unwrap()
            except ssl.SSLWantWriteError:
                if not select.select([], [conn], [], timeout_s)[1]:
                    return
                continue
            except ssl.SSLWantReadError:
                pass
            return
    finally:
        conn.settimeout(timeout_s)
