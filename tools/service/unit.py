"""The systemd unit: started by itself, watched, and shut in.

Rule 1: it never gives up: a station that is down for a night must come back by itself.
Rule 2: it may write state_dir, the folders of directory destinations and /etc/quantrac (trust.py), use serial
        ports of the named classes, and speak IP; nothing else. It has no capability, but to listen below 1024
        where the configuration wants that.
Rule 3: systemd 252 (Debian 12) has to take it without a warning; what is newer stands there only for newer.
"""

from __future__ import annotations

from pathlib import Path

from tools.service.place import CREDENTIALS, CURRENT, SERIAL_GROUP, STATE, USER
from tools.service.trust import is_writable
from tools.service.wanted import Wanted

GROWING_RESTART = 254
"""systemd from which the pause between restarts can grow."""


def unit(wanted: Wanted, systemd: int) -> str:
    """Its text. systemd: the version's number."""
    return "\n".join([*_head(wanted), *_service(wanted, systemd), *_sandbox(wanted), *_foot()]) + "\n"


def _head(wanted: Wanted) -> list[str]:
    return [
        f"# Made by `quantrac gateway install` for {wanted.config}: say it again after the configuration was",
        "# changed. Changes of your own belong into a drop-in: systemctl edit quantrac-gateway",
        "[Unit]",
        f"Description=Quantrac gateway of station {wanted.station}",
        "# Measuring needs no network and no right time: it waits for neither.",
        "After=network.target time-set.target chrony.service systemd-modules-load.service",
        "Wants=chrony.service",
        f"RequiresMountsFor={_quoted(wanted.state_dir)}",
        "StartLimitIntervalSec=0",
        "",
    ]


def _service(wanted: Wanted, systemd: int) -> list[str]:
    lines = [
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"User={USER}",
        f"Group={USER}",
        *([f"SupplementaryGroups={SERIAL_GROUP}"] if wanted.serial else []),
        f"ExecStart={CURRENT}/bin/quantrac gateway run {_quoted(wanted.config)}",
        "# It says every 10 s that it works; only while the journal is written and sources are served.",
        "WatchdogSec=60",
        "# A journal of years is looked through once after a power cut.",
        "TimeoutStartSec=15min",
        "TimeoutStopSec=20",
        "Restart=always",
    ]
    if systemd >= GROWING_RESTART:
        lines += ["RestartSec=2", "RestartSteps=8", "RestartMaxDelaySec=5min"]
    else:
        lines += ["RestartSec=15"]
    lines += [
        "StandardOutput=journal",
        "StandardError=journal",
        "SyslogIdentifier=quantrac",
        "OOMScoreAdjust=-500",
        "# In memory: readings that were taken and not stored yet, when it is killed.",
        "RuntimeDirectory=quantrac",
        "RuntimeDirectoryMode=0700",
        "RuntimeDirectoryPreserve=yes",
        "# A core dump would hold keys.",
        "LimitCORE=0",
        "TasksMax=256",
        "Environment=PYTHONDONTWRITEBYTECODE=1",
    ]
    lines += [f"LoadCredential={name}:{CREDENTIALS / name}" for name in wanted.credentials]
    return [*lines, ""]


def _sandbox(wanted: Wanted) -> list[str]:
    lines = ["UMask=0077"]
    if wanted.state_dir.is_relative_to(STATE):
        below = wanted.state_dir.relative_to(STATE.parent)
        lines += [f"StateDirectory={below}", "StateDirectoryMode=0700"]
    else:
        lines += [f"ReadWritePaths={_quoted(wanted.state_dir)}"]
    beside = [wanted.config.parent] if is_writable(wanted.config) else []
    lines += [f"ReadWritePaths={_quoted(path)}" for path in (*beside, *wanted.writes)]
    capability = "CAP_NET_BIND_SERVICE" if wanted.low_ports else ""
    lines += [
        f"CapabilityBoundingSet={capability}",
        f"AmbientCapabilities={capability}",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateMounts=yes",
        "DevicePolicy=closed",
    ]
    if wanted.serial:
        lines += [f"DeviceAllow=char-{name} rw" for name in wanted.serial]
    else:
        lines += ["PrivateDevices=yes"]
    return [
        *lines,
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources @keyring",
        "# These tell whether the clock is kept right; setting it needs a capability that it does not have.",
        "SystemCallFilter=adjtimex clock_adjtime clock_adjtime64",
        "# A report runs at a lower priority, in bounds; raising either again needs a capability, too.",
        "SystemCallFilter=setpriority prlimit64",
        "SystemCallErrorNumber=EPERM",
        "",
    ]


def _foot() -> list[str]:
    return ["[Install]", "WantedBy=multi-user.target"]


def _quoted(path: Path) -> str:
    """A path in a unit: '%' doubled, quoted where it has a space."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if set(text) & set(" \t\\\"'") else text
