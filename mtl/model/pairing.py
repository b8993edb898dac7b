"""From a row of one or two sentences to sequences for the encoder.

`siamese` encodes each sentence alone, for BERT `[CLS] a [SEP]`, so a pair's head gets two vectors.
`concat` encodes a pair as one sequence, for BERT `[CLS] a [SEP] b [SEP]` with token types 0 and 1,
so the head gets one vector. An encoder's tokenizer has the layout. No torch here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl.config.sections import Pairing

if TYPE_CHECKING:
    from mtl.data.tokens import TokenizedRows

Sequences = tuple[list[np.ndarray], list[np.ndarray]]
"""Token ids and token types: for each sequence an int32 array (l,) of both."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The special tokens of a sequence, as ids: before the text, between two texts, and after.

    `typed`: the second text and what follows it have token type 1. The tokens after one text are
    those after two.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    typed: bool


class Pairer(ABC):
    """Lays rows out as sequences. `vectors` is the number of sequences, and vectors, of a pair.

    The sequences of n pairs are the n first ones, then (siamese) the n second ones.
    """

    vectors: int

    def __init__(self, layout: Layout, max_length: int) -> None:
        parts = (layout.before, layout.between, layout.after)
        self.before, self.between, self.after = (np.array(ids, dtype=np.int32) for ids in parts)
        self.typed, self.max_length = layout.typed, max_length

    def single(self, sentence: np.ndarray) -> np.ndarray:
        """The sentence with its special tokens, cut to fit `max_length`."""
        room = self.max_length - len(self.before) - len(self.after)
        return np.concatenate([self.before, sentence[:room], self.after])

    def singles(self, sentences: list[np.ndarray]) -> Sequences:
        """One sequence a sentence, all of type 0."""
        ids = [self.single(sentence) for sentence in sentences]
        return ids, [np.zeros(len(sequence), dtype=np.int32) for sequence in ids]

    @abstractmethod
    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        """The sequences of pairs."""


class Siamese(Pairer):
    """Encodes each sentence of a pair alone (the paper's default)."""

    vectors = 2

    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        return self.singles(first + second)


class Concat(Pairer):
    """Encodes both sentences in one sequence, as BERT was trained.

    A pair that is too long loses tokens from the end of its longer side, and from both sides in
    turn once they are equal; the second sentence is never dropped.
    """

    vectors = 1

    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        ids, types = [], []
        second_type = np.array([0, int(self.typed)], dtype=np.int32)
        room = self.max_length - len(self.before) - len(self.between) - len(self.after)
        for left, right in zip(first, second, strict=True):
            left_length, right_length = shorten(len(left), len(right), room)
            head = np.concatenate([self.before, left[:left_length], self.between])
            tail = np.concatenate([right[:right_length], self.after])
            ids.append(np.concatenate([head, tail]))
            types.append(np.repeat(second_type, [len(head), len(tail)]))
        return ids, types


def lay_out(rows: TokenizedRows, index: np.ndarray, pairer: Pairer) -> Sequences:
    """The sequences of one task's rows at `index`, whole numbers (n,)."""
    sentence = rows.table.sentence
    first = [sentence(i) for i in rows.first[index]]
    if rows.second is None:
        return pairer.singles(first)
    return pairer.pairs(first, [sentence(i) for i in rows.second[index]])


def distinct(parts: Iterable[TokenizedRows], pairer: Pairer) -> Sequences:
    """The sequences of all rows of some parts, which share a table, with few repeats."""
    sentences: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    for part in parts:
        if part.second is None:
            sentences.append(part.first)
        elif pairer.vectors == 2:
            sentences += [part.first, part.second]
        else:
            pair_ids, pair_types = lay_out(part, np.arange(len(part)), pairer)
            ids += pair_ids
            types += pair_types
        table = part.table
    if sentences:
        numbers = np.unique(np.concatenate(sentences))
        single_ids, single_types = pairer.singles([table.sentence(i) for i in numbers])
        ids += single_ids
        types += single_types
    return ids, types


def shorten(first: int, second: int, budget: int) -> tuple[int, int]:
    """How many tokens of each side stay so that both fit `budget`; the longer side is cut first.

    At equal lengths the second side is cut.

    Example:
        >>> shorten(9, 4, 10), shorten(9, 9, 11)
        ((6, 4), (6, 5))
    """
    over = first + second - budget
    if over <= 0:
        return first, second
    if first - second >= over:
        return first - over, second
    if second - first >= over:
        return first, second - over
    return budget - budget // 2, budget // 2


PAIRERS: dict[Pairing, type[Pairer]] = {"siamese": Siamese, "concat": Concat}
