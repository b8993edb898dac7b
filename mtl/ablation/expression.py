"""Parses the text of a condition: tokens, then Python's `ast` on a mask of the text.

The mask replaces every operand by a name, or by quoted text, of the same length. So columns stay
the same, and keys may contain dots and dashes. `mtl.ablation.where` gives some nodes of the tree
a meaning and refuses the others. Nothing is run as code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import NoReturn

from mtl.errors import ConfigError

MAX_LENGTH = 2000
MAX_DEPTH = 50
"""How deeply brackets and `not` may be nested."""

WORD = r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"
OPERATORS = frozenset({"and", "or", "not", "in"})
_OPERANDS = ("number", "text", "word")
_TOKEN = re.compile(
    rf"(?P<number>-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    rf"|(?P<word>{WORD})|(?P<symbol>==|!=|<=|>=|[<>()\[\],])"
)


@dataclass(frozen=True, kw_only=True)
class Token:
    """A word, number, quoted text, operator or symbol, and its column (from 0)."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Expression:
    """A checked text and its tree. Raises ConfigError that points at the first mistake."""

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\s", " ", text).strip(" ")
        self.tokens = self._tokens()
        self.tree = self._parsed()
        self._at = {token.start: token for token in self.tokens}

    def token(self, node: ast.expr) -> Token:
        """The token that a name or a quoted text of the tree stands for."""
        token = self._at[node.col_offset]
        if token.end != node.end_col_offset:  # Python joins two quoted texts side by side
            position = next(later.start for later in self.tokens if later.start >= token.end)
            self._misplaced(position, "")
        return token

    def operator_after(self, node: ast.expr) -> int:
        """The column of the comparison operator behind an operand and its closing brackets."""
        end = node.end_col_offset or 0
        after = (token for token in self.tokens if token.start >= end)
        return next(token.start for token in after if token.text != ")")

    def fail(self, position: int, message: str) -> NoReturn:
        """Raise ConfigError with the text around a column and a caret below it."""
        start = max(0, position - 60)
        shown, caret = self.text[start : position + 60], " " * (position - start) + "^"
        raise ConfigError(f"{message} (at {position + 1}).\n    {shown}\n    {caret}")

    def _tokens(self) -> list[Token]:
        if len(self.text) > MAX_LENGTH:
            length = len(self.text)
            raise ConfigError(
                f"a condition of {length} characters; at most {MAX_LENGTH}. Split it."
            )
        tokens: list[Token] = []
        position = depth = 0
        while position < len(self.text):
            if self.text[position] == " ":
                position += 1
                continue
            match = _TOKEN.match(self.text, position)
            if match is None:
                self.fail(position, _unreadable(self.text[position]))
            word = match.group()
            kind = "operator" if word in OPERATORS else match.lastgroup or ""
            depth += (word in ("(", "[")) - (word in (")", "]"))
            if depth > MAX_DEPTH:
                self.fail(position, f"nested deeper than {MAX_DEPTH}")
            tokens.append(Token(kind=kind, text=word, start=position))
            position = match.end()
        return tokens

    def _parsed(self) -> ast.expr:
        mask = [" "] * len(self.text)
        for token in self.tokens:
            length = len(token.text)
            name = f"'{'x' * (length - 2)}'" if token.kind == "text" else "x" * length
            mask[token.start : token.end] = name if token.kind in _OPERANDS else token.text
        try:
            return ast.parse("".join(mask), mode="eval").body
        except SyntaxError as error:
            self._misplaced((error.offset or len(self.text) + 1) - 1, error.msg)
        except (RecursionError, MemoryError):
            self.fail(0, f"nested deeper than {MAX_DEPTH}")

    def _misplaced(self, position: int, reason: str) -> NoReturn:
        """Fail at the column where Python's parser stopped."""
        if "never closed" in reason:
            self.fail(position, f"the bracket `{self.text[position]}` is not closed")
        if "comma" in reason:
            self.fail(position, f"expected {self._joint(position)}")
        before = [token for token in self.tokens if token.end <= position]
        after = [token for token in self.tokens if token.end > position]
        ended = before and (before[-1].kind in _OPERANDS or before[-1].text in (")", "]"))
        expected = "`and`, `or` or the end" if ended else "a key or a value"
        came = repr(after[0].text) if after else "the end"
        self.fail(position, f"expected {expected}, got {came}")

    def _joint(self, position: int) -> str:
        """What belongs between two values side by side in a bracket."""
        opened: list[str] = []
        for token in self.tokens:
            if token.start >= position:
                break
            if token.text in ("(", "["):
                opened.append(token.text)
            elif opened and token.text in (")", "]"):
                opened.pop()
        in_list = opened[-1:] == ["["]
        return "`,` between the items of a list" if in_list else "`and` or `or` between conditions"


def _unreadable(character: str) -> str:
    if character == "=":
        return "a single `=`; equality is written `==`"
    if character in "'\"":
        return "a quote that does not end"
    return f"unexpected character {character!r}"
