"""The department's commands, and the sampler: `[department]` and `[sampler]`."""

from __future__ import annotations

from gateway.config_base import Section, setting
from gateway.config_types import FilePath, Id, Ids, PostUrl, Symbol


class Department(Section):
    """`[department]`: who may command this station, and over what."""

    key_file: FilePath | None = setting(
        "File with the department's verifier key, one line (several keys: one a line); without it nobody "
        "commands.",
        None,
        example="gateway/keys/department.vkey",
    )
    via: Id | None = setting(
        "The id of the mqtt destination whose broker brings commands.", None, example="national"
    )
    url: PostUrl | None = setting(
        "Server that is asked for commands: GET URL/commands, POST URL/results.",
        None,
        example="https://dept.example.vn/station",
    )
    token_file: FilePath | None = setting("File with a token for url (Authorization: Bearer).", None)
    ca_file: FilePath | None = setting("Certificates that may have signed that server's (PEM).", None)
    cert_file: FilePath | None = setting("Our certificate (PEM), where that server asks for one.", None)
    cert_key_file: FilePath | None = setting("The private key to cert_file (PEM), without a password.", None)
    poll_s: int = setting("How often url is asked.", 30, unit="seconds", ge=1, le=3600)
    tolerance_s: int = setting(
        "How far ahead of the station's clock a command may be issued.", 60, unit="seconds", ge=0, le=3600
    )
    resend_to: Ids = setting(
        "Destinations that get documents again when the department asks.", (), example=["province"]
    )


class Sampler(Section):
    """`[sampler]`: what draws samples, and how often by itself."""

    device: Id | None = setting("A station device with an output of kind sampler.", None, example="st-01")
    bus: Id | None = setting("Or the [[bus]] of a Modbus unit that draws them.", None, example="tank")
    unit: int = setting("That unit.", 1, unit="(Modbus unit)", ge=0, le=247)
    coil: int = setting("Its coil that is on while a bottle is filled.", 0, unit="(address)", ge=0, le=65535)
    feedback_input: int | None = setting(
        "Its discrete input that closes when a bottle was filled.", None, unit="(address)", ge=0, le=65535
    )
    feedback_channel: Symbol | None = setting(
        "Or the channel whose value becomes 1 then.", None, example="Bottle"
    )
    feedback_s: int = setting(
        "How long after its begin a bottle may take to be reported filled.",
        120,
        unit="seconds",
        ge=1,
        le=3600,
    )
    seconds: float = setting(
        "How long the coil is on for a bottle; of a device, the least time from bottle to bottle.",
        10.0,
        unit="seconds",
        ge=0.1,
        le=3600,
    )
    bottles: int = setting("Bottles in the carousel.", 24, unit="bottles", ge=1, le=96)
    per_day: int = setting(
        "Bottles a day (GMT+7) at most that are filled because a limit is exceeded; 0 for none.",
        4,
        unit="bottles",
        ge=0,
        le=96,
    )

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.device is not None or self.bus is not None
