"""A copy of a module that notes which of its lines and branches ran, for interpreters that cannot be traced.

Rule 1: a mark stands before every statement, and first in either branch of an `if`, `for` or `while` (an
        `else` is added where there is none). What the module does otherwise stays as it was.
Rule 2: lines and branches are coverage.py's own: its parser says which lines count, where a branch goes, and
        how a statement of several lines is called. What it does not know, we do not mark.
Rule 3: a mark costs a look into a bytearray; only the first time is the point told to `hit`.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from coverage.parser import PythonParser

SEEN, HIT = "_quantrac_seen", "_quantrac_hit"
BEGINNING = f'{SEEN}, {HIT} = __import__("_quantrac_hits").of({{base}}, {{count}})'
BRANCHING = (ast.If, ast.For, ast.AsyncFor, ast.While)

Arc = tuple[int, int]


class Marked(NamedTuple):
    """`text` runs as the module; `points[n]` is the arc that its nth mark stands for.

    An arc from a line to itself is coverage.py's word for "this line ran".
    """

    text: str
    points: list[Arc]


def parser_of(text: str, name: str, exclude: str) -> PythonParser:
    parser = PythonParser(text=text, filename=name, exclude=exclude)
    parser.parse_source()
    return parser


def mark(text: str, name: str, base: int, exclude: str) -> Marked:
    """The module `text` with marks, the points of which are called `base`, `base` + 1 and so on."""
    marker = _Marker(parser_of(text, name, exclude))
    tree = ast.parse(text, name)
    head, rest = _split(tree.body)
    body = marker.body(rest)
    early = [marker.point((marker.line(one), marker.line(one))) for one in head]
    beginning = ast.parse(BEGINNING.format(base=base, count=len(marker.points))).body
    tree.body = [*head, *beginning, *early, *body]
    return Marked(ast.unparse(ast.fix_missing_locations(tree)) + "\n", marker.points)


def _split(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """What must stay first: the docstring, imports from the future; and all that follows."""
    at = 1 if body and _is_docstring(body[0]) else 0
    while at < len(body) and isinstance(one := body[at], ast.ImportFrom) and one.module == "__future__":
        at += 1
    return body[:at], body[at:]


def _is_docstring(one: ast.stmt) -> bool:
    return (
        isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
    )


class _Marker:
    def __init__(self, parser: PythonParser) -> None:
        self.points: list[Arc] = []
        self._at: dict[Arc, int] = {}
        self._parser = parser
        self._exits: dict[int, set[int]] = {}
        for start, end in parser.arcs():
            self._exits.setdefault(start, set()).add(end)

    def _exits_of(self, start: int) -> set[int]:
        return self._exits.get(start, set())

    def line(self, node: ast.stmt) -> int:
        decorators = getattr(node, "decorator_list", [])
        return self._parser.first_line(min([node.lineno, *(one.lineno for one in decorators)]))

    def point(self, arc: Arc) -> ast.stmt:
        at = self._at.setdefault(arc, len(self.points))
        if at == len(self.points):
            self.points.append(arc)
        return ast.parse(f"{SEEN}[{at}] or {HIT}({at})").body[0]

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """These statements, each behind its mark."""
        marked: list[ast.stmt] = []
        for one in statements:
            marked += [self.point((line, line)) for line in self._lines(one)]
            marked.append(self._inside(one))
        return marked

    def _lines(self, statement: ast.stmt) -> list[int]:
        """Those that count as run with it: of a decorated function its decorators, too."""
        decorators = getattr(statement, "decorator_list", [])
        lines = {self._parser.first_line(one.lineno) for one in [statement, *decorators]}
        return sorted(lines & self._parser.statements)

    def _inside(self, statement: ast.stmt) -> ast.stmt:
        """The statement with marks in all that it holds."""
        if isinstance(statement, BRANCHING):
            return self._branches(statement)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            at = 1 if _is_docstring(statement.body[0]) else 0
            statement.body = [*statement.body[:at], *self.body(statement.body[at:])]
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            statement.body = self.body(statement.body)
        elif isinstance(statement, ast.Try):
            statement.body = self.body(statement.body)
            for handler in statement.handlers:
                line = self._parser.first_line(handler.lineno)
                handler.body = [self.point((line, line)), *self.body(handler.body)]
            statement.orelse = self.body(statement.orelse)
            statement.finalbody = self.body(statement.finalbody)
        return statement

    def _branches(self, statement: ast.If | ast.For | ast.AsyncFor | ast.While) -> ast.stmt:
        start = self._parser.first_line(statement.lineno)
        into = self.line(statement.body[0])
        exits = self._exits_of(start)
        statement.body = self.body(statement.body)
        statement.orelse = self.body(statement.orelse)
        if len(exits) == 2 and into in exits:
            (past,) = exits - {into}
            statement.body.insert(0, self.point((start, into)))
            statement.orelse.insert(0, self.point((start, past)))
        return statement
