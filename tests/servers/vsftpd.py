"""vsftpd as whoever runs the tests, with its defaults: over TLS it demands that data continue the session."""

from __future__ import annotations

from tests.servers.ftp import FtpServer
from tests.servers.process import program


class Vsftpd(FtpServer):
    """Its one account is its own "ftp": no root, no PAM, but the password is checked."""

    user = "ftp"

    def _command(self) -> list[str]:
        passwords, empty = self.folder / "passwords", self.folder / "empty"
        passwords.write_text(self.password + "\n")
        empty.mkdir(exist_ok=True)
        denied = {"no-size": "SIZE", "no-rename": "RNTO", "no-read": "RETR"}
        options = {
            "listen": "YES",
            "listen_port": self.port,
            "listen_address": self.host,
            "background": "NO",
            "run_as_launching_user": "YES",
            "anonymous_enable": "YES",
            "ftp_username": "nobody",  # there on every machine; "ftp" comes with an FTP server
            "secure_email_list_enable": "YES",
            "email_password_file": passwords,
            "write_enable": "YES",
            "anon_upload_enable": "NO" if "no-write" in self.switches else "YES",
            "anon_mkdir_write_enable": "YES",
            "anon_other_write_enable": "YES",
            "anon_world_readable_only": "NO",
            "anon_umask": "022",
            "anon_root": self.root,
            "secure_chroot_dir": empty,
            "seccomp_sandbox": "NO",
            "xferlog_enable": "NO",
            "pasv_min_port": self.data_ports[0],
            "pasv_max_port": self.data_ports[-1],
        }
        if ":" in self.host:
            options |= {
                "listen": "NO",
                "listen_ipv6": "YES",
                "listen_address6": options.pop("listen_address"),
            }
        if cmds := ",".join(denied[one] for one in sorted(self.switches) if one in denied):
            options["cmds_denied"] = cmds
        if "one-client" in self.switches:
            options["max_clients"] = 1
        if self.tls:
            options |= {
                "ssl_enable": "YES",
                "implicit_ssl": "YES" if self.tls == "implicit" else "NO",
                "allow_anon_ssl": "YES",
                "force_anon_logins_ssl": "YES",
                "force_anon_data_ssl": "YES",
                "rsa_cert_file": self.cert,
                "rsa_private_key_file": self.key,
                "ssl_ciphers": "HIGH",
            }
        settings = self.folder / "vsftpd.conf"
        settings.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
        return [program("vsftpd", "vsftpd"), str(settings.absolute())]
