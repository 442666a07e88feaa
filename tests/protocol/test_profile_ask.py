# runs on: cpython, micropython
# What a profile asks: checked like a field, answered all at once, and nothing of it made up.

from protocol import profile_ask, quality
from protocol.errors import ConfigError
from protocol.profile import Ask, answered, parse
from tests.protocol._check import raises
from tests.protocol.test_profile import quantity, status, table

ORDER = {"id": "order", "kind": "word_order", "text": "Compare.", "source": "not read"}
SPAN = {"id": "span", "kind": "number", "text": "The span?", "min": 0.5, "max": 100.0, "source": "a setting"}
PLACE = {"id": "place", "kind": "number", "text": "Which?", "min": 1, "max": 16, "source": "the site's own"}


def bare(**changes):
    # a quantity without a status
    made = quantity(**changes)
    del made["status"]
    return made


def whole(**changes):
    given = table(quantity=[bare(word_order="?order")], status=[], ask=[ORDER])
    given.update(changes)
    return given


def faults(given):
    return raises(ConfigError, parse, given).faults


def wrong(profile, answers):
    return raises(ConfigError, answered, profile, answers).faults


def test_an_open_profile_holds_its_questions_and_no_answers():
    profile = parse(whole())
    orders = ("ABCD", "CDAB", "BADC", "DCBA")
    assert profile.asks == (Ask("order", "Compare.", "word_order", orders, None, None, "not read"),)
    assert profile.quantities[0].word_order == "?order"
    closed = answered(profile, {"order": "DCBA"})
    assert closed.asks == () and closed.quantities[0].word_order == "DCBA"
    assert answered(closed, {}) is closed


def test_a_span_becomes_a_scale():
    q = bare(type="int16", word_order="ABCD", scale="?span * 3600 / 32767")
    profile = parse(whole(quantity=[q], ask=[SPAN]))
    assert profile.quantities[0].scale == "?span * 3600 / 32767"
    assert abs(answered(profile, {"span": 2}).quantities[0].scale - 7200 / 32767) < 1e-6


def test_the_steps_of_a_scale_may_be_fractions():
    q = bare(type="int16", word_order="ABCD", scale="?span * 2.5 / 1e3 + 1")
    assert (
        abs(answered(parse(whole(quantity=[q], ask=[SPAN])), {"span": 2}).quantities[0].scale - 1.005) < 1e-6
    )


def two():
    made = []
    for id in ("one", "two"):
        text = "?" + id
        made.append(
            quantity(
                id=id, table="input", register=text + " * 4 - 4", word_order="CDAB", status=id + "-state"
            )
        )
    states = [
        status(
            id=id + "-state",
            table="input",
            register="?" + id + " * 4 - 2",
            values={"?" + id + " * 256": "OK"},
        )
        for id in ("one", "two")
    ]
    asks = [dict(PLACE, id=id, choices=["none"]) for id in ("one", "two")]
    return parse(whole(quantity=made, status=states, ask=asks))


def test_registers_and_codes_of_the_sites_own_map():
    closed = answered(two(), {"one": 3, "two": 1})
    assert [q.register for q in closed.quantities] == [8, 0]
    assert [s.register for s in closed.statuses] == [10, 2]
    assert closed.statuses[0].values == {768: quality.OK}
    assert two().statuses[0].register == "?one * 4 - 2"


def test_none_leaves_out_what_refers_to_it():
    closed = answered(two(), {"one": "none", "two": 16})
    assert [q.id for q in closed.quantities] == ["two"] and [s.id for s in closed.statuses] == ["two-state"]
    assert "at least one" in wrong(two(), {"one": "none", "two": "none"})[0]


def test_a_quantity_loses_a_status_that_is_left_out():
    states = [status(id="own", register="?place"), status(id="other", register=9)]
    given = whole(
        quantity=[quantity(status=["own", "other"])], status=states, ask=[dict(PLACE, choices=["none"])]
    )
    assert answered(parse(given), {"place": "none"}).quantities[0].statuses == ("other",)
    given = whole(
        quantity=[quantity()], status=[status(register="?place")], ask=[dict(PLACE, choices=["none"])]
    )
    assert answered(parse(given), {"place": "none"}).quantities[0].statuses == ()


def test_two_quantities_in_one_place_are_a_fault():
    found = wrong(two(), {"one": 2, "two": 2})
    assert len(found) == 1 and "one and two would both read register 4" in found[0]


def test_every_open_and_every_wrong_answer_at_once():
    found = wrong(two(), {"one": 17, "three": 1})
    assert len(found) == 3, found
    text = "; ".join(found)
    for words in (
        "answers.three: no such question",
        "answers.one = 17",
        "1 to 16 or none",
        "answers.two: open",
    ):
        assert words in text, (words, text)
    assert "Which?" in text
    assert wrong(two(), [])[0] == "answers: write { question = answer }"
    for value in (True, 1.5, "3", None, [], 0, float("nan")):
        assert "answers.one" in wrong(two(), {"one": value, "two": 1})[0], value
    for value in ("abcd", "ACBD", 1, None, True, []):
        assert "ABCD" in wrong(parse(whole()), {"order": value})[0]


def test_choices_keep_their_type():
    ask = {"id": "shift", "kind": "choice", "text": "?", "choices": [0, 40001], "source": "x"}
    profile = parse(whole(quantity=[bare(register="?shift + 9")], ask=[ask]))
    assert answered(profile, {"shift": 40001}).quantities[0].register == 40010
    for value in (False, 0.0, "0", 1):
        assert wrong(profile, {"shift": value})
    assert profile_ask.from_text(profile.asks[0], " 40001 ") == 40001
    assert profile_ask.from_text(profile.asks[0], "1") is None


def test_a_typed_answer():
    order, place = parse(whole()).asks[0], two().asks[0]
    assert profile_ask.from_text(order, "cdab") == "CDAB" and profile_ask.from_text(order, "x") is None
    assert profile_ask.from_text(place, "16") == 16 and profile_ask.from_text(place, "None") == "none"
    assert profile_ask.from_text(place, "2.5") is None and profile_ask.from_text(place, "") is None
    assert profile_ask.from_text(place, "nan") is None


def test_faults_of_a_question():
    for words, ask in (
        ("ask[0].kind", dict(ORDER, kind="guess")),
        ("ask[0].text: missing", {key: ORDER[key] for key in ("id", "kind", "source")}),
        ("ask[0].source: missing", {key: ORDER[key] for key in ("id", "kind", "text")}),
        ("ask[0].choices: write some of ABCD", dict(ORDER, choices=["ABCD", "up"])),
        ("ask[0].choices: missing", dict(ORDER, kind="choice")),
        ("ask[0].min: only for a number", dict(ORDER, min=1, max=2)),
        ("ask[0].min: missing", dict(ORDER, kind="number")),
        ("ask[0].max: write more", dict(ORDER, kind="number", min=2, max=2)),
        ('may offer "none"', dict(ORDER, kind="register", choices=["any"])),
        ("ask[0].other: unknown", dict(ORDER, other=1)),
    ):
        found = faults(whole(ask=[ask]))
        assert any([words in fault for fault in found]), (words, found)


def test_faults_of_a_reference():
    def of(text, asks):
        return faults(whole(quantity=[bare(word_order="CDAB", scale=text)], ask=asks))

    assert 'write an [[ask]] with the id "sapn"' in of("?sapn", [SPAN])[0]
    assert any(["no field refers to it" in fault for fault in of("?sapn", [SPAN])])
    for text in ("?", "?span /", "?span / 0", "?span / x", "?span % 2", "?Span", "?span 2"):
        assert 'write "?question"' in of(text, [SPAN])[0], text
    # an answer of the wrong kind is told at the field that would get it
    assert "quantity[0].word_order" in faults(whole(ask=[dict(SPAN, id="order")]))[0]
    # what waits for an answer is no second fault, and the others are told with it
    found = faults(whole(quantity=[bare(word_order="?ordr", register=70000)]))
    assert len(found) == 3 and "70000" in found[2], found


def test_nothing_but_config_errors():
    for value in (None, True, -1, 1.5, "x", "?", [], [[]], {}, {"a": {}}):
        for key in ("id", "kind", "text", "choices", "min", "max", "source"):
            try:
                parse(whole(ask=[dict(ORDER, **{key: value})]))
            except ConfigError:
                pass
        for given in (whole(ask=value), whole(ask=[value])):
            try:
                parse(given)
            except ConfigError:
                pass


def test_examples_answer_everything():
    profile = two()
    examples = profile_ask.examples(profile.asks)
    assert len(set(examples.values())) == 2
    answered(profile, examples)
