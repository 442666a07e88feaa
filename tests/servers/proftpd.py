"""ProFTPD as whoever runs the tests, with its defaults: over TLS, data have to continue the session."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path

from tests.servers.ftp import FtpServer
from tests.servers.process import program


class ProFtpd(FtpServer):
    """Its one account stands in a file of the server's own."""

    user = "station"

    def _command(self) -> list[str]:
        me, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
        server = Path(program("proftpd", "proftpd-core"))
        accounts = self.folder / "accounts"
        accounts.unlink(missing_ok=True)
        accounts.touch(mode=0o600)
        command = ["openssl", "passwd", "-6", self.password]
        hashed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        accounts.write_text(f"{self.user}:{hashed}:{os.geteuid()}:{os.getegid()}::{self.root}:/bin/sh\n")
        lines = f"""ServerType standalone
ServerName test
Port {self.port}
DefaultAddress {self.host}
SocketBindTight on
UseIPv6 on
User {me}
Group {group}
UseReverseDNS off
AuthOrder mod_auth_file.c
AuthUserFile {accounts}
RequireValidShell off
RootLogin on
PidFile {self.folder}/proftpd.pid
ScoreboardFile {self.folder / "scoreboard" if "one-client" in self.switches else "none"}
ControlsEngine off
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {self.folder}/proftpd.log
AllowOverwrite {"off" if "no-overwrite" in self.switches else "on"}
PassivePorts {self.data_ports[0]} {self.data_ports[-1]}
ModulePath {server.parents[1]}/lib/proftpd
"""
        denied = {"no-write": "STOR", "no-rename": "RNTO", "no-size": "SIZE", "no-read": "RETR"}
        for switch, names in denied.items():
            if switch in self.switches:
                lines += f"<Limit {names}>\nDenyAll\n</Limit>\n"
        if "full" in self.switches:
            lines += "MaxStoreFileSize 300 B\n"
        if "one-client" in self.switches:
            lines += "MaxClients 1\n"
        if self.tls:
            lines += f"""LoadModule mod_tls.c
TLSEngine on
TLSRequired on
TLSProtocol {"TLSv1.2" if "tls-1.2" in self.switches else "TLSv1.2 TLSv1.3"}
TLSECCertificateFile {self.cert}
TLSECCertificateKeyFile {self.key}
"""
            if self.tls == "implicit":
                lines += "TLSOptions UseImplicitSSL\n"
        settings = self.folder / "proftpd.conf"
        settings.write_text(lines)
        return [str(server), "-n", "-c", str(settings.absolute())]
