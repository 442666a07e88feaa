# What a profile leaves open, as questions to the technician: the word order, a span, the site's own map.
#
# Rule 1: a question has an id, and a field that needs its answer is a text that begins with "?" and the id:
#         "?order", or with a little arithmetic from left to right: "?span / 32767", "?input * 4 - 4".
# Rule 2: an answer is checked as strictly as a field, and all wrong and open ones are told at once.
# Rule 3: where a question offers "none" among its choices, that answer leaves out whatever refers to it.
# Rule 4: whole numbers stay whole: only a division, or a number with a point, makes a number with a point.
#
# Sizes: an ask of kind number whose min and max have no point takes whole numbers only.

from collections import namedtuple

from protocol import fields
from protocol.registers import ORDERS

KINDS = ("word_order", "number", "register", "choice")
NONE = "none"

Ask = namedtuple("Ask", "id text kind choices minimum maximum source")


def _choices(value):
    good = isinstance(value, list) and value and all([isinstance(c, (str, int, float)) for c in value])
    return None if good else "a list of texts or numbers"


_ASK = (
    ("id", fields.identifier, fields.MUST),
    ("text", fields.filled, fields.MUST),
    ("kind", fields.choice(KINDS), fields.MUST),
    ("choices", _choices, None),
    ("min", fields.number, None),
    ("max", fields.number, None),
    ("source", fields.filled, fields.MUST),
)


def parse(faults, given):
    # The Asks of a profile's [[ask]] tables.
    return fields.each(faults, "ask", given, _ASK, _ask)


def _ask(faults, where, values):
    kind, choices = values["kind"], values["choices"]
    low, high = values["min"], values["max"]
    if kind == "choice" and not choices:
        faults.append(f"{where}.choices: missing, write {_choices(None)}")
    if kind == "word_order":
        if [order for order in choices or () if order not in ORDERS]:
            faults.append(f"{where}.choices: write some of {', '.join(ORDERS)}, or leave it out for all four")
        choices = choices or ORDERS
    if kind in ("number", "register") and choices not in (None, [NONE]):
        faults.append(f'{where}.choices: a {kind} may offer "{NONE}" beside it, write ["{NONE}"]')
    if kind in ("word_order", "choice") and not (low is None and high is None):
        faults.append(f"{where}.min: only for a number or a register, leave min and max out")
    if kind == "register":
        low, high = low or 0, 0xFFFF if high is None else high
    if kind == "number" and (low is None or high is None):
        faults.append(f"{where}.min: missing, write min and max")
    elif low is not None and high is not None and low >= high:
        faults.append(f"{where}.max: write more than min")
    return Ask(values["id"], values["text"], kind, tuple(choices or ()), low, high, values["source"])


def wanted(ask):
    # What to write for an answer.
    words = [str(choice) for choice in ask.choices]
    if ask.kind in ("number", "register"):
        kind = "a whole number" if _is_whole(ask) else "a number"
        words.insert(0, f"{kind} from {ask.minimum} to {ask.maximum}")
        return " or ".join(words)
    return "one of " + ", ".join(words)


def _is_whole(ask):
    return isinstance(ask.minimum, int) and isinstance(ask.maximum, int)


def fits(ask, answer):
    # Whether an answer will do.
    if isinstance(answer, bool):
        return False
    if ask.kind in ("number", "register") and not fields.number(answer):
        return (isinstance(answer, int) or not _is_whole(ask)) and ask.minimum <= answer <= ask.maximum
    return any([answer == choice and type(answer) is type(choice) for choice in ask.choices])


def from_text(ask, text):
    # What a person typed, as an answer; None when it is none.
    text = text.strip()
    for choice in ask.choices:
        if text.lower() == str(choice).lower():
            return choice
    for make in (int, float):
        try:
            answer = make(text)
        except ValueError:
            continue
        if fits(ask, answer):
            return answer
    return None


def check(asks, answers):
    # Every fault of the answers, each with the question and what to write: [] when they are complete.
    if not isinstance(answers, dict):
        return ["answers: write { question = answer }"]
    faults = []
    known = [ask.id for ask in asks]
    for id in sorted(answers):
        if id not in known:
            faults.append(f"answers.{id}: no such question, write {', '.join(known) or 'no answers'}")
    for ask in asks:
        if ask.id not in answers:
            faults.append(f"answers.{ask.id}: open, write {wanted(ask)}. {ask.text}")
        elif not fits(ask, answers[ask.id]):
            faults.append(f"answers.{ask.id} = {answers[ask.id]!r}: write {wanted(ask)}. {ask.text}")
    return faults


def examples(asks):
    # An answer to each question: some that will do and differ from each other, to try a profile out with.
    answers = {}
    for i, ask in enumerate(asks):
        if ask.kind in ("word_order", "choice"):
            answers[ask.id] = ask.choices[0]
        elif _is_whole(ask):
            step = 16 if ask.kind == "register" else 1
            answers[ask.id] = ask.minimum + step * i % (ask.maximum - ask.minimum + 1)
        else:
            answers[ask.id] = (ask.minimum + ask.maximum) / 2
    return answers


# References -------------------------------------------------------------------------------------------------


def term(text):
    # "?span * 2 / 3" as ("span", [("*", 2), ("/", 3)]); None when it is no such text.
    words = text[1:].split()
    if not words or len(words) % 2 == 0 or fields.identifier(words[0]):
        return None
    steps = []
    for i in range(1, len(words), 2):
        try:
            number = float(words[i + 1]) if "." in words[i + 1] or "e" in words[i + 1] else int(words[i + 1])
        except ValueError:
            return None
        if words[i] not in ("*", "/", "+", "-") or (words[i] == "/" and number == 0):
            return None
        steps.append((words[i], number))
    return words[0], steps


def is_reference(value):
    return isinstance(value, str) and value[:1] == "?"


def references(value):
    # Every reference in a field, a list or a table, keys included.
    if isinstance(value, dict):
        return references(list(value)) + references(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [found for item in value for found in references(item)]
    return [value] if is_reference(value) else []


def check_references(faults, asks, parts):
    # parts: {name: a table or a list of tables}. Every reference names a question, every question is used.
    known = [ask.id for ask in asks]
    used = []
    for name, part in parts.items():
        for text in references(part):
            found = term(text)
            if found is None:
                faults.append(f'{name}: "{text}": write "?question", or "?question * 2" with * / + -')
            elif found[0] not in known:
                faults.append(
                    f'{name}: "{text}": no such question, write an [[ask]] with the id "{found[0]}"'
                )
            else:
                used.append(found[0])
    for ask in asks:
        if ask.id is not None and ask.id not in used:
            faults.append(
                f'ask "{ask.id}": no field refers to it, write "?{ask.id}" where its answer belongs'
            )


def _result(text, answers):
    id, steps = term(text)
    value = answers[id]
    if steps and isinstance(value, str):
        return value  # which no field that is computed takes: the fault will be told there
    for sign, number in steps:
        if sign == "*":
            value = value * number
        elif sign == "/":
            value = value / number
        else:
            value = value + number if sign == "+" else value - number
    return value


def fill(value, answers):
    # The same field, list or table with answers in place of references.
    if isinstance(value, dict):
        return {
            str(_result(key, answers)) if is_reference(key) else key: fill(item, answers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [fill(item, answers) for item in value]
    return _result(value, answers) if is_reference(value) else value


def without(table, answers):
    # A profile's table without the quantities and statuses that refer to an answer "none".
    gone = [id for id, answer in answers.items() if answer == NONE]

    def kept(part):
        return not [text for text in references(part) if term(text)[0] in gone]

    left = dict(table)
    for key in ("quantity", "status"):
        left[key] = [part for part in table.get(key, []) if kept(part)]
    lost = [part["id"] for part in table.get("status", []) if not kept(part)]
    for i, part in enumerate(left["quantity"]):
        ids = part.get("status", [])
        ids = [id for id in ([ids] if isinstance(ids, str) else ids) if id not in lost]
        left["quantity"][i] = dict(part, status=ids)
        if not ids:
            del left["quantity"][i]["status"]
    return left
