"""Warnings: each trap is named on its line, and a configuration without traps gets none."""

from __future__ import annotations

import pytest

from gateway import check_limits
from gateway.check import check
from tests.gateway.configured import SAMPLE, channel, written

FOLDER = '[[destination]]\nid = "f"\nkind = "directory"\npath = "sent"\n'
BROKER = '[[destination]]\nid = "n"\nkind = "mqtt"\n'
USER = 'user = "u"\npassword_file = "gateway/keys/province.password"\n'


def warnings_of(folder, text: str) -> list[str]:
    faults, warnings = check(written(folder, text))
    assert faults == []
    return [str(warning) for warning in warnings]


def test_the_sample_has_no_warning(tmp_path):
    assert warnings_of(tmp_path, SAMPLE) == []


def test_faults_come_without_warnings(tmp_path):
    faults, warnings = check(written(tmp_path, SAMPLE.replace("port = 2222", "port = 0")))
    assert len(faults) == 1 and warnings == []


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    faults, warnings = check(tmp_path / "absent.toml")
    assert len(faults) == 1 and warnings == []


PH = channel("pH", "", 2)

STACK = (
    SAMPLE
    + channel("SO2m", "mg/Nm3")
    + channel("O2", "%")
    + '[[channel]]\nsymbol = "SO2"\nunit = "mg/Nm3"\ndecimals = 1\n'
    + 'source = { oxygen = "O2", oxygen_reference = 6.0, corrects = "SO2m" }\n'
    + 'limits = { rule = "QCVN 19:2024", column = "B" }\n'
)

HERE = 'host = "127.0.0.1", port = 8080'
FTP = '[[destination]]\nid = "f"\nkind = "ftp"\nhost = "10.0.0.5"\n' + USER
TRAPS = [
    (SAMPLE + PH, "pH has no unit"),
    (SAMPLE.replace("max = 75.0", "max = 75.0}\nplausible = [0.0, 224.0]\n#"), "below 3 times its limit 75."),
    (SAMPLE.replace("poll_ms = 1000", "poll_ms = 300001"), "once in a window. Write at most 300000 ms."),
    (SAMPLE.replace("window_minutes = 5", "window_minutes = 10"), "not the regulation's 5."),
    (SAMPLE.replace(HERE, 'host = "0.0.0.0", anonymous = "viewer"'), "look at it without an account. Leave"),
    (SAMPLE.replace(HERE, 'host = "10.0.0.7", tls = false'), "listens on 10.0.0.7 without TLS"),
    (SAMPLE.replace('"NUO001"', '"XX0001"'), "'XX0001' is the placeholder that init wrote."),
    (STACK, "SO2 is corrected to 6 % of oxygen, and QCVN 19:2024 compares at 7 %. Write 7, or"),
    (STACK.replace('oxygen = "O2", oxygen_reference = 6.0, ', ""), "SO2 is not corrected for oxygen, and"),
    (SAMPLE.replace("limits", "#").replace('["windows"]', '["alerts"]'), "alerts will tell of interruptions"),
    (SAMPLE.replace('["windows"]', "[]"), "'province' gets nothing."),
    (SAMPLE + FOLDER + "delay_min = 60\n", "'f' gets its files 60 minutes late."),
    (SAMPLE[: SAMPLE.index("[[destination]]")], "There is no destination"),
    (SAMPLE + channel("Nhiệtx", "oC").replace("ệ", "ẹ\u0302"), "separate accents"),
    (SAMPLE + channel("COD2", "mg/l").replace('quantity = "', 'quantity = "cod"} #'), "same place as COD."),
    (SAMPLE + '[[bus]]\nid = "b2"\nlink = "modbus-tcp://10.0.0.9"\n', "is read from the bus 'b2'."),
    (SAMPLE + BROKER + 'host = "127.0.0.1"\n' + USER, "The password goes to the broker unencrypted"),
    (SAMPLE + FTP, "FTP sends password and files unencrypted"),
    (SAMPLE + FTP.replace('"ftp"', '"ftps"\ntls = "implicit"'), "hardly listens on port 21."),
    (SAMPLE.replace("plausible =", "calibrate_days = 90\nplausible ="), "No drift of Flow is held"),
    (SAMPLE + BROKER + 'host = "10.0.0.6"\n', "Nothing proves that the broker is the right one"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), TRAPS, ids=[said[:30] for _, said in TRAPS])
def test_a_trap_is_named(tmp_path, text, said):
    found = [warning for warning in warnings_of(tmp_path, text) if said in warning]
    assert len(found) == 1
    assert f"{tmp_path}/config.toml" in found[0] and found[0].rstrip().endswith(".")


QUIET = [
    STACK.replace("6.0", "7.0"),
    STACK.replace("oxygen_reference = 6.0, ", ""),  # 7 is what stands there when nothing is written
    STACK.replace('rule = "QCVN 19:2024", column = "B"', 'max = 200.0, basis = "permit"'),
    SAMPLE.replace('["windows"]', '["windows", "checkpoints", "hours", "alerts", "events"]'),
    SAMPLE + PH.replace("decimals", 'unit_when_none = "-"\ndecimals'),
    SAMPLE.replace("max = 75.0", "max = 75.0}\nplausible = [0.0, 225.0]\n#"),
    SAMPLE + BROKER + 'host = "127.0.0.1"\n',
    SAMPLE + FTP.replace('"ftp"', '"ftps"'),
    SAMPLE + FTP.replace('"ftp"', '"ftps"\nport = 990\ntls = "implicit"'),
    SAMPLE + FTP.replace("10.0.0.5", "127.0.0.1"),
    SAMPLE + '[public]\nchannels = ["COD"]\n' + FOLDER + 'send = ["public"]\ndelay_min = 60\n',
    SAMPLE + BROKER + 'host = "10.0.0.6"\ntls = true\n' + USER,
    SAMPLE.replace(HERE, 'host = "0.0.0.0", port = 8443'),
    SAMPLE.replace(HERE, 'host = "127.0.0.1", tls = false, anonymous = "viewer"'),
]


def test_the_oxygen_of_ones_own_rule_is_what_counts(tmp_path):
    """A rule without a reference asks for none; one with 6 % is met by 6 %, and 7 % is not."""
    own = STACK.replace('"QCVN 19:2024", column = "B"', '"permit"') + '[limits]\nfiles = ["permit.toml"]\n'
    head = '[rule]\nname = "permit"\ntitle = "t"\n'
    row = '[[row]]\nsymbols = ["SO2"]\nunit = "mg/Nm3"\nmax = 90.0\nmark = "permit"\nsource = "12/GP"\n'
    (tmp_path / "permit.toml").write_text(head + row)
    assert warnings_of(tmp_path, own) == warnings_of(tmp_path, own.replace("6.0", "7.0")) == []
    (tmp_path / "permit.toml").write_text(head + "oxygen_percent = 6.0\n" + row)
    assert warnings_of(tmp_path, own) == []
    (found,) = warnings_of(tmp_path, own.replace("6.0", "7.0"))
    assert "SO2 is corrected to 7 % of oxygen, and permit compares at 6 %" in found


def test_control_without_the_look_it_is_not_named(tmp_path, monkeypatch):
    monkeypatch.setattr(check_limits, "_oxygen", lambda *_: iter(()))
    with pytest.raises(AssertionError):
        test_a_trap_is_named(tmp_path, STACK, "SO2 is corrected to 6 %")


@pytest.mark.parametrize("text", QUIET, ids=range(len(QUIET)))
def test_no_trap_no_warning(tmp_path, text):
    assert warnings_of(tmp_path, text) == []
