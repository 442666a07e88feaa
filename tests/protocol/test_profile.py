# runs on: cpython, micropython

from protocol import quality
from protocol.errors import ConfigError
from protocol.profile import matches, parse, ratio
from tests.protocol._check import raises


def quantity(**changes):
    table = {
        "id": "cod",
        "symbol": "COD",
        "unit": "mg/l",
        "table": "holding",
        "register": 0,
        "printed": "40001",
        "type": "float32",
        "word_order": "CDAB",
        "plausible": [0.0, 1000.0],
        "decimals": 2,
        "update_s": 300,
        "status": "state",
    }
    table.update(changes)
    return table


def status(**changes):
    table = {
        "id": "state",
        "table": "holding",
        "register": 6,
        "type": "uint16",
        "values": {"0": "OK", "0x4E": "CALIBRATING"},
        "otherwise": "MAINTENANCE",
    }
    table.update(changes)
    return table


def table(**changes):
    whole = {
        "name": "test-one",
        "title": "Test one",
        "maker": "us",
        "mark": "MAKER",
        "source": "a page",
        "station_kinds": ["wastewater"],
        "link": {"baud": 19200, "parity": "E"},
        "quantity": [quantity()],
        "status": [status()],
    }
    whole.update(changes)
    return whole


def faults(**changes):
    return raises(ConfigError, parse, table(**changes)).faults


def one_fault(words, **changes):
    # exactly one fault, holding all the words
    found = faults(**changes)
    assert len(found) == 1, found
    for word in words:
        assert word in found[0], found[0]


def test_a_whole_profile():
    profile = parse(
        table(
            start=[{"function": 3, "register": 0x2500, "words": [], "wait_ms": 2000}],
            identify=[{"table": "holding", "register": 9, "words": 2, "type": "text", "equals": "abcd"}],
        )
    )
    assert profile.name == "test-one" and profile.station_kinds == ("wastewater",)
    link = profile.link
    assert (link.baud, link.parity, link.stopbits, link.unit) == (19200, "E", 1, 1)
    assert link.stated == ("baud", "parity")
    assert (link.timeout_ms, link.max_block, link.merge, link.whole) == (500, 125, True, False)
    cod = profile.quantity("cod")
    assert (cod.symbol, cod.scale, cod.offset, cod.plausible) == ("COD", 1.0, 0.0, (0.0, 1000.0))
    assert cod.status == "state" and cod.statuses == ("state",)
    state = profile.status("state")
    assert state.values == {0: quality.OK, 0x4E: quality.CALIBRATING}
    assert state.otherwise == quality.MAINTENANCE and state.mask == 0xFFFF
    assert profile.starts[0].words == () and profile.starts[0].wait_ms == 2000
    assert "cod" in str(raises(ConfigError, profile.quantity, "bod"))
    raises(ConfigError, profile.status, "other")


def test_defaults():
    parsed = quantity(mark="x")
    del parsed["mark"], parsed["status"], parsed["word_order"], parsed["printed"]
    whole = table(mark="CODE", quantity=[parsed], status=[])
    del whole["link"], whole["status"]
    profile = parse(whole)
    assert profile.link.stated == () and profile.link.baud == 9600
    assert profile.quantities[0].status is None and profile.quantities[0].statuses == ()
    assert profile.quantities[0].word_order == "ABCD"


def test_several_statuses():
    second = status(id="alarm", table="discrete", register=10)
    profile = parse(table(quantity=[quantity(status=["alarm", "state"])], status=[status(), second]))
    assert profile.quantities[0].statuses == ("alarm", "state")
    assert profile.quantities[0].status == "alarm"


def test_each_fault_names_the_field_and_what_to_write():
    one_fault(["colour", "unknown"], colour=1)
    one_fault(["name", "small letters"], name="Test One")
    one_fault(["mark", "MAKER, CODE, GENERIC"], mark="SEEN")
    one_fault(["station_kinds", "wastewater"], station_kinds=["river"])
    one_fault(["station_kinds"], station_kinds=[])
    one_fault(["link.baud", "9600"], link={"baud": 9601})
    one_fault(["link.stopbits", "1, 2"], link={"stopbits": True})
    one_fault(["link.speed", "unknown"], link={"speed": 9600})
    one_fault(["link", "table"], link=[])
    one_fault(["quantity", "at least one"], quantity=[])
    one_fault(["quantity", "list of tables"], quantity=quantity())
    one_fault(["quantity[0].register = 65536", "65535"], quantity=[quantity(register=65536)])
    one_fault(["quantity[0].register", "end beyond"], quantity=[quantity(register=65535)])
    one_fault(["quantity[0].register"], quantity=[quantity(register=1.0)])
    one_fault(["word_order", "ABCD, CDAB, BADC, DCBA"], quantity=[quantity(word_order="ACBD")])
    one_fault(["type", "float32"], quantity=[quantity(type="float16")])
    one_fault(["plausible", "rise"], quantity=[quantity(plausible=[5.0, 1.0])])
    one_fault(["plausible"], quantity=[quantity(plausible=[1.0])])
    one_fault(["scale", "other than 0"], quantity=[quantity(scale=0)])
    one_fault(["offset", "number"], quantity=[quantity(offset=float("nan"))])
    one_fault(["symbol", "spaces"], quantity=[quantity(symbol="C OD")])
    one_fault(["unit", "spaces"], quantity=[quantity(unit="mg /l")])
    one_fault(["status", "absent", "state"], quantity=[quantity(status="absent")])
    one_fault(["quantity[1].id", "twice"], quantity=[quantity(), quantity()])
    one_fault(["status[1].id", "twice"], status=[status(), status()])
    one_fault(["printed", "maker"], quantity=[quantity(printed="")])
    one_fault(["one bit", "uint16"], quantity=[quantity(table="coil")])
    one_fault(["max_block is 1"], link={"max_block": 1})
    one_fault(["otherwise", "FAULT"], status=[status(otherwise="BROKEN")])
    one_fault(["values", "quality"], status=[status(values={"0": "GOOD"})])
    one_fault(["values", "code"], status=[status(values={"zero": "OK"})])
    one_fault(["mask hides"], status=[status(mask=0x0F)])
    one_fault(["wider than uint16"], status=[status(mask=0x10000, values={"0": "OK"})])
    one_fault(["twice"], status=[status(values={"16": "OK", "0x10": "FAULT"})])
    start = {"function": 6, "register": 1, "words": [1, 2], "wait_ms": 0}
    one_fault(["start[0].words", "one word"], start=[start])
    one_fault(["start[0].words", "a read takes one word"], start=[dict(start, function=3)])
    one_fault(["start[0].words", "one word a coil"], start=[dict(start, function=15, words=[])])
    identify = {"table": "holding", "register": 0, "words": 1, "type": "uint16"}
    one_fault(["identify[0]", "equals or contains"], identify=[identify])
    identify["equals"] = "text"
    one_fault(["identify[0].equals"], identify=[identify])
    wide = dict(identify, equals=7, words=2)
    one_fault(["identify[0].words", "uint16 takes 1"], identify=[wide])


def test_all_faults_at_once():
    found = faults(
        name=5,
        extra=1,
        link={"baud": 1},
        quantity=[quantity(register=-1, scale="x"), {"id": "two"}, 7],
        status=[status(values={})],
    )
    text = "; ".join(found)
    for word in (
        "name",
        "extra",
        "link.baud",
        "[0].register",
        "[0].scale",
        "[1].symbol: missing",
        "quantity[2]",
    ):
        assert word in text, (word, text)
    assert "status[0].values" in text
    assert (
        text in str(raises(ConfigError, parse, table(**{"name": "test-one", "extra": 1}))) or len(found) > 8
    )


def test_nothing_but_config_errors():
    for wrong in (
        None,
        5,
        [],
        "x",
        {},
        {"quantity": None},
        {"link": None},
        {"quantity": [None]},
        {"status": {}},
    ):
        raises(ConfigError, parse, wrong)
    for value in (None, True, -1, 10**30, 1.5, "x", [], [[]], {}, {"a": {}}, float("inf")):
        for key in quantity():
            try:
                parse(table(quantity=[quantity(**{key: value})]))
            except ConfigError:
                pass
        for key in status():
            try:
                parse(table(status=[status(**{key: value})]))
            except ConfigError:
                pass
        for key in ("baud", "parity", "unit", "max_block", "merge", "timeout_ms"):
            try:
                parse(table(link={key: value}))
            except ConfigError:
                pass


def test_identification():
    def identify(**changes):
        whole = {"table": "holding", "register": 0, "words": 4, "type": "text"}
        whole.update(changes)
        return parse(table(identify=[whole])).identify[0]

    words = (0x4142, 0x3437, 0x4444, 0x2000)  # "AB47DD " and a zero
    assert matches(identify(equals="AB47DD"), words)
    assert matches(identify(equals="47", at=2), words)
    assert matches(identify(contains="7D"), words)
    assert not matches(identify(equals="AB47"), words)
    assert not matches(identify(equals="47", at=0), words)
    assert not matches(identify(equals="AB47DD"), words[:3])
    model = identify(words=1, type="uint16", equals=0x0600, mask=0xFF00)
    assert matches(model, (0x0612,)) and not matches(model, (0x0512,))
    assert matches(identify(words=2, type="uint32", equals=0x00010002), (1, 2))


def test_scales_become_exact_ratios():
    for scale, expected in (
        (1.0, (1, 1)),
        (0.1, (1, 10)),
        (0.01, (1, 100)),
        (0.001, (1, 1000)),
        (10.0, (10, 1)),
        (3600.0, (3600, 1)),
        (0.25, (1, 4)),
        (2.5, (5, 2)),
        (0.3, (3, 10)),
        (-0.5, (-1, 2)),
        (0.0438126, (219063, 5000000)),
        (1e-5, (1, 100000)),
        (1e-9, (1e-9, 1)),
        (1e30, (1e30, 1)),
    ):
        assert ratio(scale) == expected, (scale, ratio(scale))
