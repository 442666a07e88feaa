"""`gateway.web`: the local page, who may look at it without an account, and its certificate."""

from __future__ import annotations

import ipaddress
from typing import Literal

from gateway.config_base import Section, setting
from gateway.config_types import FilePath, Host


class Web(Section):
    """`gateway.web`: the local page."""

    host: Host = setting("Address the page listens on; 127.0.0.1 keeps it on this machine.", "127.0.0.1")
    port: int = setting("Port of the page.", 8080, unit="(port)", ge=1, le=65535)
    anonymous: Literal["viewer", "nobody"] | None = setting(
        "Who may look without an account: viewer, whoever reaches the page; nobody. Where it is not given: "
        "viewer on this machine, nobody on a network.",
        None,
        example="nobody",
    )
    tls: bool | None = setting(
        "HTTPS; where it is not given: on a network, and with a cert_file.", None, example=True
    )
    cert_file: FilePath | None = setting(
        "The page's certificate (PEM); without it one is made at the start.", None
    )
    key_file: FilePath | None = setting("The private key to cert_file (PEM), without a password.", None)

    @property
    def here_only(self) -> bool:
        """Whether only this machine reaches the page."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def anybody_looks(self) -> bool:
        """Whether it is shown to whoever has no account."""
        return self.here_only if self.anonymous is None else self.anonymous == "viewer"

    @property
    def encrypted(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.tls if self.tls is not None else not self.here_only or self.cert_file is not None
