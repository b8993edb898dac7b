"""Conditions on a cell: `where` of an ablation, and `when` of a study's parameter.

    pairing == 'concat' and not (train.lr > 1e-4 or surgery in ['dominant', 'pcgrad'])

The grammar is a subset of Python's: and, or, not; == != < <= > >= in, not in between two operands;
numbers, quoted text, true, false, null, keys and lists. A key is a config key (`train.lr`), with
the value after `auto` and `same` are resolved, or a factor of the definition's own, with the name
of its level. A key that the cell lacks (`smart.mu` where SMART is disabled) is null. A comparison
that can never be true is an error: a number with text, an unknown key, a misspelt choice.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mtl.ablation.expression import MAX_DEPTH, OPERATORS, Expression, Token
from mtl.config.key_kinds import Key, config_keys, kind_of
from mtl.errors import suggestion

LITERALS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
RESERVED = OPERATORS | frozenset(LITERALS)
_ORDER: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}

Cell = Mapping[str, Any]
Truth = Callable[[Cell], bool]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition on a cell (key -> value; an absent key is null), and the keys that it reads."""

    holds: Truth
    keys: frozenset[str]


def compile_where(text: str, own: Mapping[str, Iterable[str]]) -> Condition:
    """The condition of a text.

    `own` are the definition's own factors with their levels. Raises ConfigError that points at the
    column of the mistake.

    >>> compile_where("train.lr > 1e-4", {}).holds({"train.lr": 1e-3})
    True
    """
    levels = {
        name: Key(kinds=frozenset({"text"}), choices=frozenset(names))
        for name, names in own.items()
    }
    return _Compiler(text, config_keys() | levels).condition()


def literal(value: Any) -> str:
    """A value as a condition writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@dataclass(frozen=True, kw_only=True)
class _Operand:
    """A part of a condition: its value in a cell, its kinds, and its columns in the text.

    `texts` are its quoted texts. They are checked against the choices of the other operand.
    """

    value: Callable[[Cell], Any]
    key: Key
    shown: str
    start: int
    end: int
    texts: tuple[str, ...] = ()


class _Compiler:
    """Checks one expression and turns it into a function."""

    def __init__(self, text: str, keys: Mapping[str, Key]) -> None:
        self.expression = Expression(text)
        self.fail = self.expression.fail
        self.keys = keys
        self.used: set[str] = set()

    def condition(self) -> Condition:
        operand = self._operand(self.expression.tree, 0)
        return Condition(holds=self._truth(operand), keys=frozenset(self.used))

    def _operand(self, node: ast.expr, depth: int) -> _Operand:
        if depth > MAX_DEPTH:
            self.fail(node.col_offset, f"nested deeper than {MAX_DEPTH}")
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(self._operand(value, depth)) for value in node.values]
            over = all if isinstance(node.op, ast.And) else any
            return _answer(lambda cell: over(part(cell) for part in parts), node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self._truth(self._operand(node.operand, depth + 1))
            return _answer(lambda cell: not inner(cell), node)
        if isinstance(node, ast.Compare):
            return self._comparison(node, depth)
        if isinstance(node, ast.List):
            return self._list(node, depth)
        if isinstance(node, ast.Name | ast.Constant):
            return self._leaf(node)
        self.fail(node.col_offset, "expected a condition: comparisons with and, or, not")

    def _leaf(self, node: ast.expr) -> _Operand:
        """A key, number, quoted text, or word such as null."""
        token = self.expression.token(node)
        word = token.text
        if token.kind in ("number", "text") or word in LITERALS:
            return _constant(token)
        if word not in self.keys:
            hint = suggestion(word, self.keys) or f" Text is written in quotes: '{word}'."
            self.fail(token.start, f"unknown key {word!r}.{hint}")
        self.used.add(word)
        return _Operand(
            value=lambda cell: cell.get(word),
            key=self.keys[word],
            shown=word,
            start=token.start,
            end=token.end,
        )

    def _list(self, node: ast.List, depth: int) -> _Operand:
        items = [self._operand(item, depth) for item in node.elts]
        kinds: frozenset[str] = frozenset().union(*(item.key.kinds for item in items))
        return _Operand(
            value=lambda cell: [item.value(cell) for item in items],
            key=Key(kinds=frozenset({"list"}), items=kinds),
            shown="the list",
            start=node.col_offset,
            end=node.end_col_offset or 0,
            texts=tuple(text for item in items for text in item.texts),
        )

    def _comparison(self, node: ast.Compare, depth: int) -> _Operand:
        left = self._operand(node.left, depth)
        right = self._operand(node.comparators[0], depth)
        if len(node.ops) > 1:
            position = self.expression.operator_after(node.comparators[0])
            self.fail(position, "comparisons do not chain; join two of them with `and`")
        position, kind = self.expression.operator_after(node.left), node.ops[0]
        if isinstance(kind, ast.Eq | ast.NotEq):
            holds = self._equality(left, right, isinstance(kind, ast.Eq), position)
        elif isinstance(kind, ast.In | ast.NotIn):
            holds = self._membership(left, right, isinstance(kind, ast.In), position)
        elif type(kind) in _ORDER:
            holds = self._order(left, right, *_ORDER[type(kind)], position)
        else:
            self.fail(position, "expected ==, !=, <, <=, >, >=, in or not in")
        return _answer(holds, node)

    def _equality(self, left: _Operand, right: _Operand, equal: bool, position: int) -> Truth:
        for side, opposite in ((left, right), (right, left)):
            if "settings" in side.key.kinds and opposite.key.kinds != {"null"}:
                message = "is a group of settings; compare it with null, or name one of its keys"
                self.fail(side.start, f"{side.shown} {message}")
        null = "null" in left.key.kinds | right.key.kinds
        if not null and not left.key.kinds & right.key.kinds:
            both = f"{_described(left)} is compared with {_described(right)}"
            self.fail(position, f"{both}; they are never equal")
        self._check_choices(left, right)
        return lambda cell: _same(left.value(cell), right.value(cell)) == equal

    def _order(
        self,
        left: _Operand,
        right: _Operand,
        sign: str,
        compare: Callable[[Any, Any], bool],
        position: int,
    ) -> Truth:
        for side in (left, right):
            if "number" not in side.key.kinds:
                self.fail(position, f"`{sign}` compares numbers; {_described(side)} is none")

        def holds(cell: Cell) -> bool:
            first, second = left.value(cell), right.value(cell)
            return kind_of(first) == kind_of(second) == "number" and compare(first, second)

        return holds

    def _membership(self, left: _Operand, right: _Operand, inside: bool, position: int) -> Truth:
        if right.key.kinds != {"list"}:
            example = "`in` needs a list, as in `pairing in ['siamese', 'concat']`"
            self.fail(right.start, f"{example}; {_described(right)} need not be one")
        if "null" not in left.key.kinds | right.key.items and not left.key.kinds & right.key.items:
            self.fail(position, f"{_described(left)} is never in this list")
        self._check_choices(left, right)
        return lambda cell: (
            any(_same(left.value(cell), item) for item in right.value(cell) or ()) == inside
        )

    def _check_choices(self, left: _Operand, right: _Operand) -> None:
        for side, opposite in ((left, right), (right, left)):
            for text in opposite.texts if side.key.choices is not None else ():
                known = sorted(side.key.choices or ())
                if text not in known:
                    hint = suggestion(text, known)
                    message = f"{side.shown} is never {text!r}.{hint} It can be {', '.join(known)}"
                    self.fail(opposite.start, message)

    def _truth(self, operand: _Operand) -> Truth:
        if operand.key.kinds != {"true/false"}:
            shown = operand.shown
            self.fail(operand.start, f"{shown} is no condition; compare it, as in `{shown} == ...`")
        return lambda cell: bool(operand.value(cell))


def _answer(value: Truth, node: ast.expr) -> _Operand:
    return _Operand(
        value=value,
        key=Key(kinds=frozenset({"true/false"})),
        shown="this",
        start=node.col_offset,
        end=node.end_col_offset or 0,
    )


def _constant(token: Token) -> _Operand:
    word = token.text
    value: Any = word[1:-1] if token.kind == "text" else LITERALS.get(word)
    if token.kind == "number":
        value = float(word) if set(word) & set(".eE") else int(word)
    return _Operand(
        value=lambda cell: value,
        key=Key(kinds=frozenset({kind_of(value)})),
        shown=word,
        start=token.start,
        end=token.end,
        texts=(value,) if token.kind == "text" else (),
    )


def _same(left: Any, right: Any) -> bool:
    """Equal and of one kind: true is not 1. Lists of names are equal in any order."""
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list | tuple):
        texts = all(isinstance(item, str) for item in (*left, *right))
        return sorted(left) == sorted(right) if texts else list(left) == list(right)
    return bool(left == right)


def _described(operand: _Operand) -> str:
    return f"{operand.shown} ({' or '.join(sorted(operand.key.kinds))})"
