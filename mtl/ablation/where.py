"""Conditions on a cell: the expressions under `where` of an ablation's definition.

    pairing == 'concat' and not (train.lr > 1e-4 or surgery in ['dominant', 'pcgrad'])

    either      = both {"or" both}
    both        = negation {"and" negation}
    negation    = "not" negation | comparison
    comparison  = operand [("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") operand]
    operand     = number | 'text' | "text" | true | false | null | key | "[" [operand {"," operand}] "]" | "(" either ")"

A key is one of the config's (`train.lr`), as the cell has it after `auto` and `same` are resolved, or a factor of the
definition's own, whose value is the name of its level. What the cell does not have (`smart.mu` where SMART is off) is
null. What can never be true is refused when it is read: a number compared with text, an unknown key, a misspelt choice.
Nothing is ever run as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mtl.config.key_kinds import Key, config_keys, kind_of
from mtl.errors import ConfigError, suggestion

MAX_LENGTH = 2000
MAX_DEPTH = 50
"""How deeply brackets and `not` may be nested."""

WORD = r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*"
LITERALS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
RESERVED = frozenset({"and", "or", "not", "in", *LITERALS})
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_TOKEN = re.compile(
    rf"(?P<number>-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)|(?P<text>'[^']*'|\"[^\"]*\")"
    rf"|(?P<word>{WORD})|(?P<symbol>==|!=|<=|>=|[<>()\[\],])"
)

Cell = Mapping[str, Any]
Truth = Callable[[Cell], bool]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition, as a function of a cell (key -> value), and the keys that it asks for; a key that is not there is null."""

    holds: Truth
    keys: frozenset[str]


def compile_where(text: str, own: Mapping[str, Iterable[str]]) -> Condition:
    """The condition that `text` states.

    `own` are the definition's own factors with their level names. Raises ConfigError that points at the place.
    """
    keys = config_keys() | {
        name: Key(kinds=frozenset({"text"}), choices=frozenset(levels))
        for name, levels in own.items()
    }
    return _Parser(text, keys).condition()


def literal(value: Any) -> str:
    """A value as an expression writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A part of the expression: how to get its value in a cell, what that can be, and where it stands."""

    value: Callable[[Cell], Any]
    key: Key
    shown: str
    position: int
    texts: tuple[str, ...] = ()
    """The texts written in it, to be checked against the choices of what it is compared with."""


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str, keys: Mapping[str, Key]) -> None:
        self.text = re.sub(r"\s", " ", text)
        self.keys = keys
        self.used: set[str] = set()
        self.depth = 0
        self.next = 0
        self.tokens = self._tokens()

    def condition(self) -> Condition:
        found = self._truth(self._either())
        if self._kind() != "end":
            self._fail(self._position(), f"expected `and`, `or` or the end, came {self._word()!r}")
        return Condition(holds=found, keys=frozenset(self.used))

    def _tokens(self) -> list[tuple[str, str, int]]:
        if len(self.text) > MAX_LENGTH:
            raise ConfigError(
                f"an expression of {len(self.text)} characters; at most {MAX_LENGTH}. Split it in several."
            )
        tokens, position = [], 0
        while position < len(self.text):
            if self.text[position] == " ":
                position += 1
                continue
            match = _TOKEN.match(self.text, position)
            if match is None:
                self._fail(position, _unreadable(self.text[position]))
            assert match.lastgroup is not None
            tokens.append((match.lastgroup, match.group(), position))
            position = match.end()
        return [*tokens, ("end", "the end", len(self.text))]

    def _kind(self) -> str:
        return self.tokens[self.next][0]

    def _word(self) -> str:
        return self.tokens[self.next][1]

    def _position(self) -> int:
        return self.tokens[self.next][2]

    def _takes(self, *words: str) -> bool:
        """Step over these words if they come next; quoted text is never one of them."""
        ahead = self.tokens[self.next : self.next + len(words)]
        if [word for kind, word, _ in ahead if kind in ("word", "symbol")] != list(words):
            return False
        self.next += len(words)
        return True

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(self._position(), f"nested deeper than {MAX_DEPTH}")

    def _either(self) -> _Node:
        return self._chain("or", self._both, any)

    def _both(self) -> _Node:
        return self._chain("and", self._negation, all)

    def _chain(
        self, word: str, part: Callable[[], _Node], over: Callable[[Iterable[bool]], bool]
    ) -> _Node:
        first = part()
        if not self._takes(word):
            return first
        parts = [self._truth(first), self._truth(part())]
        while self._takes(word):
            parts.append(self._truth(part()))
        return _answer(lambda cell: over(one(cell) for one in parts), first.position)

    def _negation(self) -> _Node:
        position = self._position()
        if not self._takes("not"):
            return self._comparison()
        self._deeper()
        inner = self._truth(self._negation())
        self.depth -= 1
        return _answer(lambda cell: not inner(cell), position)

    def _comparison(self) -> _Node:
        left, position = self._operand(), self._position()
        operator = self._operator()
        if operator is None:
            return left
        right = self._operand()
        if operator in ("==", "!="):
            found = self._equality(left, right, operator == "==", position)
        elif operator in ORDER:
            found = self._order(left, right, operator, position)
        else:
            found = self._membership(left, right, operator == "in", position)
        again = self._position()
        if self._operator() is not None:
            self._fail(again, "comparisons do not chain; join two of them with `and`")
        return found

    def _operator(self) -> str | None:
        for words in (("==",), ("!=",), *((sign,) for sign in ORDER), ("in",), ("not", "in")):
            if self._takes(*words):
                return " ".join(words)
        return None

    def _equality(self, left: _Node, right: _Node, equal: bool, position: int) -> _Node:
        for one, other in ((left, right), (right, left)):
            if "settings" in one.key.kinds and other.key.kinds != {"null"}:
                self._fail(
                    one.position,
                    f"{one.shown} is a group of settings; compare it with null, or name one of its keys",
                )
        null = "null" in left.key.kinds | right.key.kinds
        if not null and not left.key.kinds & right.key.kinds:
            self._fail(
                position,
                f"{_described(left)} is compared with {_described(right)}; they are never equal",
            )
        self._choices(left, right)
        return _answer(
            lambda cell: _same(left.value(cell), right.value(cell)) == equal, left.position
        )

    def _order(self, left: _Node, right: _Node, sign: str, position: int) -> _Node:
        for one in (left, right):
            if "number" not in one.key.kinds:
                self._fail(position, f"`{sign}` compares numbers; {_described(one)} is none")
        compare = ORDER[sign]

        def holds(cell: Cell) -> bool:
            one, two = left.value(cell), right.value(cell)
            return kind_of(one) == kind_of(two) == "number" and compare(one, two)

        return _answer(holds, left.position)

    def _membership(self, left: _Node, right: _Node, inside: bool, position: int) -> _Node:
        if right.key.kinds != {"list"}:
            self._fail(
                right.position,
                f"`in` needs a list, as in `pairing in ['siamese', 'concat']`; {_described(right)} need not be one",
            )
        if "null" not in left.key.kinds | right.key.items and not left.key.kinds & right.key.items:
            self._fail(position, f"{_described(left)} is never in this list")
        self._choices(left, right)
        return _answer(
            lambda cell: (
                any(_same(left.value(cell), item) for item in right.value(cell) or ()) == inside
            ),
            left.position,
        )

    def _choices(self, left: _Node, right: _Node) -> None:
        for one, other in ((left, right), (right, left)):
            if one.key.choices is not None:
                for text in other.texts:
                    if text not in one.key.choices:
                        known = sorted(one.key.choices)
                        self._fail(
                            other.position,
                            f"{one.shown} is never {text!r}.{suggestion(text, known)} It can be {', '.join(known)}",
                        )

    def _operand(self) -> _Node:
        kind, word, position = self.tokens[self.next]
        if self._takes("("):
            self._deeper()
            inner = self._either()
            self._closing(")", position)
            return inner
        if self._takes("["):
            return self._list(position)
        if kind in ("number", "text") or word in LITERALS:
            self.next += 1
            return _literal_node(kind, word, position)
        if kind != "word" or word in RESERVED:
            self._fail(
                position, f"expected a key or a value, came {word if kind == 'end' else repr(word)}"
            )
        if word not in self.keys:
            hint = suggestion(word, self.keys) or f" Text is written in quotes: '{word}'."
            self._fail(position, f"unknown key {word!r}.{hint}")
        self.next += 1
        self.used.add(word)
        return _Node(
            value=lambda cell: cell.get(word), key=self.keys[word], shown=word, position=position
        )

    def _list(self, position: int) -> _Node:
        self._deeper()
        items: list[_Node] = []
        while not self._takes("]"):
            if items and not self._takes(","):
                self._fail(self._position(), f"expected `,` or `]`, came {self._word()!r}")
            items.append(self._operand())
        self.depth -= 1
        return _Node(
            value=lambda cell: [item.value(cell) for item in items],
            key=Key(
                kinds=frozenset({"list"}),
                items=frozenset().union(*(item.key.kinds for item in items)),
            ),
            shown="the list",
            position=position,
            texts=tuple(text for item in items for text in item.texts),
        )

    def _closing(self, bracket: str, opened: int) -> None:
        if not self._takes(bracket):
            self._fail(
                self._position(),
                f"expected `{bracket}` for the bracket at {opened + 1}, came {self._word()!r}",
            )
        self.depth -= 1

    def _truth(self, node: _Node) -> Truth:
        if node.key.kinds != {"true/false"}:
            self._fail(
                node.position,
                f"{node.shown} is no condition; compare it, as in `{node.shown} == ...`",
            )
        return lambda cell: bool(node.value(cell))

    def _fail(self, position: int, message: str) -> NoReturn:
        start = max(0, position - 60)
        shown = self.text[start : position + 60]
        raise ConfigError(
            f"{message} (at {position + 1}).\n    {shown}\n    {' ' * (position - start)}^"
        )


def _answer(value: Truth, position: int) -> _Node:
    return _Node(
        value=value, key=Key(kinds=frozenset({"true/false"})), shown="this", position=position
    )


def _literal_node(kind: str, word: str, position: int) -> _Node:
    value: Any = word[1:-1] if kind == "text" else LITERALS.get(word)
    if kind == "number":
        value = float(word) if set(word) & set(".eE") else int(word)
    texts = (value,) if kind == "text" else ()
    key = Key(kinds=frozenset({kind_of(value)}))
    return _Node(value=lambda cell: value, key=key, shown=word, position=position, texts=texts)


def _same(left: Any, right: Any) -> bool:
    """Equal and of one kind: true is not 1. Lists of names are equal in any order."""
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list | tuple):
        texts = all(isinstance(item, str) for item in (*left, *right))
        pairs = [sorted(left), sorted(right)] if texts else [list(left), list(right)]
        return pairs[0] == pairs[1]
    return bool(left == right)


def _described(node: _Node) -> str:
    return f"{node.shown} ({' or '.join(sorted(node.key.kinds))})"


def _unreadable(character: str) -> str:
    if character == "=":
        return "a single `=`; equality is written `==`"
    if character in "'\"":
        return "a quote that does not end"
    return f"unexpected character {character!r}"
