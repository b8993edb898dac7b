"""From a row of one or two sentences to sequences for the encoder.

`siamese` encodes each sentence alone, `[CLS] a [SEP]`, so a pair's head gets two vectors. `concat`
encodes a pair as one sequence, `[CLS] a [SEP] b [SEP]` with token types 0 and 1, so the head gets
one vector. No torch here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from mtl.config.sections import Pairing

if TYPE_CHECKING:
    from mtl.data.tokens import TokenizedRows

Sequences = tuple[list[np.ndarray], list[np.ndarray]]
"""Token ids and token types: for each sequence an int32 array (l,) of both."""


class Pairer(ABC):
    """Lays rows out as sequences. `vectors` is the number of sequences, and vectors, of a pair.

    The sequences of n pairs are the n first ones, then (siamese) the n second ones.
    """

    vectors: int

    def __init__(self, *, cls: int, sep: int, max_length: int) -> None:
        self.cls = np.array([cls], dtype=np.int32)
        self.sep = np.array([sep], dtype=np.int32)
        self.max_length = max_length

    def single(self, sentence: np.ndarray) -> np.ndarray:
        """`[CLS] sentence [SEP]`, with the sentence cut to fit `max_length`."""
        return np.concatenate([self.cls, sentence[: self.max_length - 2], self.sep])

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
        for left, right in zip(first, second, strict=True):
            left_length, right_length = shorten(len(left), len(right), self.max_length - 3)
            head = np.concatenate([self.cls, left[:left_length], self.sep])
            tail = np.concatenate([right[:right_length], self.sep])
            ids.append(np.concatenate([head, tail]))
            types.append(np.repeat(np.array([0, 1], dtype=np.int32), [len(head), len(tail)]))
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
