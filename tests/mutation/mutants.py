"""What Cosmic Ray changes in a module: one small change each, as text; and which of them change nothing.

Rule 1: a mutant is known by its module, operator and number, and by the hash of the module.
Rule 2: a change within an annotation or a docstring is none: nothing reads them while the gateway runs.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
from pathlib import Path
from random import Random
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names


class Mutant(NamedTuple):
    module: str
    operator: str
    number: int
    line: int
    was: str
    is_now: str

    @property
    def key(self) -> str:
        return f"{self.module} {self.operator} {self.number}"


def fingerprint(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def text_of(source: str, operator: str, number: int) -> str | None:
    return mutate_code(source, get_operator(operator)(), number)


def places(source: str) -> list[tuple[str, int]]:
    """Operator and number of all that can be changed."""
    tree = get_ast(source)
    found = []
    for name in operator_names():
        operator_class = get_operator(name)
        if operator_class.arguments():
            continue  # those that need to be told what to put in
        operator = operator_class()
        count = sum(1 for node in ast_nodes(tree) for _ in operator.mutation_positions(node))
        found += [(name, number) for number in range(count)]
    return found


def meaning(source: str) -> str:
    """The program without what nothing reads."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
    return ast.dump(tree)


def changed(source: str, mutated: str) -> tuple[int, str, str]:
    """Line number, and that line before and after."""
    lines = [source.splitlines(), mutated.splitlines()]
    for tag, first, last, start, end in difflib.SequenceMatcher(None, *lines, autojunk=False).get_opcodes():
        if tag != "equal":
            was, now = (" ".join(part).strip() for part in (lines[0][first:last], lines[1][start:end]))
            return first + 1, " ".join(was.split()), " ".join(now.split())
    return 0, "", ""


def of_module(root: Path, module: str, each: int, seed: int) -> tuple[int, list[tuple[Mutant, str]]]:
    """How many there are, and a seeded sample with the text of each; `each` 0 is all."""
    source = (root / module).read_text(encoding="utf-8")
    every = places(source)
    Random(f"{seed} {module}").shuffle(every)
    plain, found, nothing = meaning(source), [], 0
    for operator, number in every:
        if each and len(found) == each:
            break
        mutated = text_of(source, operator, number)
        if mutated is None:
            continue
        try:
            if meaning(mutated) == plain:
                nothing += 1
                continue
        except SyntaxError:
            nothing += 1
            continue
        found.append(
            (Mutant(module, operator.removeprefix("core/"), number, *changed(source, mutated)), mutated)
        )
    looked_at = len(found) + nothing
    total = round(len(every) * len(found) / looked_at) if looked_at else 0
    return total, found
