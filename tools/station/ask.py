"""Questions on a terminal, one after the other, with a way back.

    Asker().run(interview)      interview(asker) asks and returns; it is a function of the answers alone

Rule 1: Enter takes what stands in brackets, ? explains, < goes back to the question before. Ctrl-C and the
        end of input (Ctrl-D) end it all, as KeyboardInterrupt.
Rule 2: going back runs the interview anew with the answers that were kept: so what a question asks and offers
        may depend on any answer before it. What was answered once is offered again.
Rule 3: an answer that will not do is said why, and the question stands again.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TextIO, TypeVar

WIDTH = 79
BACK, HELP = "<", "?"
T = TypeVar("T")
Check = Callable[[str], str | None]
"""What is wrong with an answer, as a sentence; None when it will do."""


class _Back(Exception):
    """The question before is asked again."""


class Asker:
    """Asks, and remembers. `out` and `read` are the terminal's."""

    def __init__(self, out: TextIO = sys.stdout, read: Callable[[], str] = sys.stdin.readline) -> None:
        self._out, self._read = out, read
        self._given: list[tuple[str, str]] = []  # (question, answer), in order
        self._once: dict[str, str] = {}  # by question: what was answered before somebody went back
        self._at = 0

    def run(self, interview: Callable[[Asker], T]) -> T:
        """The interview's result, once it comes to its end."""
        while True:
            self._at = 0
            try:
                return interview(self)
            except _Back:
                self._given.pop()

    @property
    def replaying(self) -> bool:
        """Whether answers that were kept are given again; nothing is shown meanwhile."""
        return self._at < len(self._given)

    def say(self, *lines: str) -> None:
        """Show lines between two questions."""
        if not self.replaying:
            self._print(*lines)

    def ask(
        self,
        key: str,
        text: str,
        default: str = "",
        help: str | Callable[[], str] = "",
        check: Check | None = None,
        choices: Sequence[str] = (),
    ) -> str:
        """The answer to the question `key`. choices: one of these, by its number, or by how it begins."""
        if self.replaying:
            answer = self._given[self._at][1]
            self._at += 1
            return answer
        default = self._once.get(key, default)
        if choices and default not in choices:
            default = ""
        while True:
            for i, choice in enumerate(choices, 1):
                self._print(f"  {i}  {choice}")
            answer = self._line(text, default)
            if answer == HELP:
                self._print((help() if callable(help) else help) or "There is nothing more to say about it.")
            elif answer == BACK:
                if not self._given:
                    self._print("This is the first question.")
                    continue
                raise _Back
            else:
                found = self._checked(answer or default, check, choices)
                if found is not None:
                    self._given.append((key, found))
                    self._once[key] = found
                    self._at += 1
                    return found

    def yes(self, key: str, text: str, default: bool = True, help: str = "") -> bool:
        """Whether it is answered with yes."""

        def check(answer: str) -> str | None:
            return None if answer.lower() in ("y", "yes", "n", "no") else "Write yes or no."

        return self.ask(key, text, "yes" if default else "no", help, check).lower().startswith("y")

    def _checked(self, answer: str, check: Check | None, choices: Sequence[str]) -> str | None:
        if choices:
            if answer.isascii() and answer.isdecimal() and 1 <= int(answer) <= len(choices):
                return choices[int(answer) - 1]
            meant = [choice for choice in choices if choice == answer] or [
                choice for choice in choices if answer and choice.startswith(answer)
            ]
            if len(meant) == 1:
                return meant[0]
            self._print(f"Write a number from 1 to {len(choices)}, or one of these words.")
            return None
        wrong = check(answer) if check else None
        if wrong:
            self._print(wrong)
            return None
        return answer

    def _line(self, text: str, default: str) -> str:
        offered = f" [{default}]" if default else ""
        lines = textwrap.wrap(f"{text}{offered}: ", WIDTH, drop_whitespace=False, break_on_hyphens=False)
        self._out.write("\n".join(line.rstrip() for line in lines) + " ")
        self._out.flush()
        line = self._read()
        if not line.endswith("\n"):  # the end of input, also in the middle of a line
            self._out.write("\n")
            raise KeyboardInterrupt
        return line.strip()

    def _print(self, *lines: str) -> None:
        for line in lines:
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            self._out.write(
                "\n".join(
                    textwrap.wrap(
                        line,
                        WIDTH,
                        subsequent_indent=indent if line.startswith((" ", "- ")) else "",
                        break_on_hyphens=False,
                        break_long_words=False,
                    )
                    or [""]
                )
                + "\n"
            )
        self._out.flush()
