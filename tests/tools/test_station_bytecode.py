"""The firmware as bytecode: what goes in, the same twice, and short names change nothing else."""

import re
import shutil

import pytest

from protocol.errors import ConfigError
from tests.protocol.test_runtimes import ROOT, micropython
from tools.station import bytecode

# Everything that may hold a private name, in one file.
SAMPLE = """
from sample.base import Base
import json as _json

_SEEN = []
_limit = 5


class _Wrong(Exception):
    pass


def _numbers():
    yield 1; yield 2  # noqa


class _Inner(Base):
    _shared = "class"

    def __init__(self, *, _scale=2):
        super().__init__()
        self._scale = _scale
        self._text = f"{_limit!r} {self._scale:>{_limit}} {{_limit}} {_json.dumps({'_': self._base})}"

    def _twice(self, _x):
        global _limit
        _limit += 1
        _SEEN.append(_x)
        return _Inner._helper(_x) * self._scale

    @staticmethod
    def _helper(_x): return _x + 1  # noqa

    def _each(self):
        yield from _numbers()
        try:
            raise _Wrong
        except _Wrong as _error:
            try:
                raise KeyError from _error
            except KeyError as error:
                yield type(error.__cause__).__name__ == _Wrong.__name__

    def __eq__(self, _other):
        return self._text == str(_other)


def _run():
    inner = _Inner(_scale=3)
    try:
        inner.missing
    except AttributeError as _error:
        line = _error.__traceback__.tb_lineno
    same = inner == inner._text
    return inner._twice(4), inner._text, same, [_ for _ in _SEEN], line, _limit, list(inner._each())


result = _run()
"""
BASE = """
class Base:
    def __init__(self):
        self._base = self._make()

    def _make(self):
        return "made"
"""
SAMPLES = {"sample.base": BASE, "sample.main": SAMPLE}


def run(sources: dict[str, str]) -> object:
    names: dict = {}
    exec(sources["sample.base"], names)
    main = sources["sample.main"].replace("from sample.base import Base", "")
    exec(compile(main, "main", "exec"), names)
    return names["result"]


def test_short_names_change_nothing_but_names():
    after = bytecode.shortened(SAMPLES)
    main = after["sample.main"]
    assert run(SAMPLES) == run(after)
    for name, text in SAMPLES.items():
        assert len(text.splitlines()) == len(after[name].splitlines())
    left = set(re.findall(r"\b_[A-Za-z]\w*", main))
    assert {name for name in left if len(name) > 2} == {"_limit"}, "all but a text in braces"
    assert "{{_limit}}" in main and "__init__" in main and "[_ for _ in" in main


def test_a_tree_of_classes_shares_its_names():
    after = bytecode.shortened(SAMPLES)
    name = after["sample.base"].split("self.")[1].split(" ")[0]
    assert name.startswith("_") and len(name) == 2 and f"self.{name}" in after["sample.main"]


def test_control_modules_renamed_each_for_itself_break():
    with pytest.raises(ConfigError, match=r"sample\.main, line 23: _base is not made here"):
        bytecode.shortened({"sample.main": SAMPLE})
    apart = {"sample.main": SAMPLE + "_base = 0\n"}
    apart["sample.main"] = bytecode.shortened(apart)["sample.main"]
    with pytest.raises(AttributeError):
        run(apart | bytecode.shortened({"sample.base": BASE}))


def test_a_name_used_from_elsewhere_keeps_its_length_and_is_told():
    sources = {
        "a": "class Clock:\n    def __init__(self):\n        self._board = 1\n        self._other = 2\n",
        "b": "import core\n\ndef at(x):\n    core._queue\n    return x._board + getattr(x, '_other')\n",
        "c": "from a import _private\nfrom protocol._compat import const\n_x = const(1)\n",
    }
    after = bytecode.shortened(sources)
    assert "self._board = 1" in after["a"] and "x._board" in after["b"] and "self._other" in after["a"]
    assert "core._queue" in after["b"], "names of others are theirs"
    assert "protocol._compat" in after["c"] and "_private" in after["c"] and "_a = const(1)" in after["c"]
    said = bytecode._Names(sources).crossing
    assert len(said) == 3
    assert any(line.startswith("b, line 5: x._board is private") for line in said)


def test_nothing_new_reaches_into_another_module():
    known = {"stream._open", "secure._open", "store._note", "self._clock._board"}
    for port in bytecode.NOT_ON:
        told = {line.split(": ")[1].split(" is ")[0] for line in bytecode.crossing(port)}
        assert told <= known, "give it a public name: a private one that others use costs memory on the board"


@pytest.mark.parametrize(
    "literal, code",
    [
        ("f'{_a}'", "{B}"),
        ("f'{{_a}}'", "{{_a}}"),
        ("f'{{{_a}}}'", "{{{B}}}"),
        ("f'_a {x._a:{_a}} _a'", "_a {x.B:{B}} _a"),
        ("f'{d({1: _a})}'", "{d({1: B})}"),
    ],
)
def test_f_strings(literal, code):
    assert bytecode._in_braces(literal, {"_a": "B"}) == f"f'{code}'"


def test_what_a_port_runs():
    lists = {port: set(bytecode.modules(port)) for port in bytecode.NOT_ON}
    for port, names in lists.items():
        assert {
            "firmware.app",
            "firmware.main",
            "firmware",
            "protocol.session",
            f"firmware.boards.{port}",
        } <= names
        assert not names & {
            "protocol.gateway_session",
            "protocol.records",
            "protocol.profile",
            "protocol.plan",
        }
        assert not [name for name in names if name.endswith("_cpython") or "instruments" in name]
    boards = {name for name in lists["rp2"] | lists["esp32"] if name.startswith("firmware.boards.")}
    assert not boards & {
        "firmware.boards.unix",
        "firmware.boards.stepped",
        "firmware.boards.posix_micropython",
    }
    assert "firmware.boards.esp32" not in lists["rp2"] and "firmware.boards.rp2" not in lists["esp32"]
    assert "firmware.config" in lists["rp2"], "found by its name in a call of lazy"


def test_every_module_that_is_imported_is_there():
    for port in bytecode.NOT_ON:
        found = bytecode.modules(port)
        named = set()
        for path in found.values():
            named |= set(bytecode._named(bytecode.ast.parse(path.read_text(encoding="utf-8"))))
        real = {name for name in named if bytecode._source(name, ROOT)}
        assert real - set(found) <= bytecode.NOT_ON[port]


def test_the_same_source_gives_the_same_bytes(tmp_path):
    first = bytecode.build(tmp_path / "one")
    assert first == bytecode.build(tmp_path / "two") == sorted(first)
    for file, size in first:
        data = (tmp_path / "one" / file).read_bytes()
        assert len(data) == size and data == (tmp_path / "two" / file).read_bytes()
    files = [str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*")]
    assert sorted(files) == [file for file, _ in first], "nothing else is left behind"


MODULES = [f"tests.protocol.test_{one}" for one in ("cbor", "cose", "modbus", "registers", "calibration")]


def test_the_bytecode_passes_the_tests_of_its_source(tmp_path):
    bytecode.build(tmp_path)
    shutil.copytree(ROOT / "protocol" / "vectors", tmp_path / "protocol" / "vectors")
    path = f"{tmp_path}:{ROOT}:.frozen"
    done = micropython("tests/protocol/mpy.py", *MODULES, path=path, timeout_s=100)
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import protocol.cbor as c; print(c.__file__)"
    where = micropython("-c", code, path=path, cwd=tmp_path, timeout_s=20)
    assert where.stdout.strip().endswith("cbor.mpy")


def test_the_command_prints_the_list(tmp_path, capsys):
    assert bytecode.main([str(tmp_path), "--port", "rp2", "--arch", "armv6m"]) == 0
    printed = capsys.readouterr().out
    assert "firmware/boards/rp2.mpy" in printed and "together" in printed


def test_what_does_not_compile_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.py does not compile"):
        bytecode.compile_to(tmp_path / "x.mpy", "def f(:\n", "x.py")
    with pytest.raises(ConfigError, match="no port"):
        bytecode.modules("pdp11")
