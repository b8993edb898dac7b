"""How a row of one or two sentences becomes sequences for the encoder.

`siamese` encodes each sentence alone: `[CLS] a [SEP]`, and a pair's head sees two vectors. `concat` encodes a pair as
one sequence `[CLS] a [SEP] b [SEP]` with token types 0 and 1, and its head sees one. No torch here.
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
"""Token ids and token types, one int32 array of shape (l,) each a sequence."""


class Pairer(ABC):
    """Lays out rows. `vectors` is how many sequences, and so how many vectors, a pair row has.

    The sequences of n pair rows come as all n first ones, then (siamese) all n second ones.
    """

    vectors: int

    def __init__(self, *, cls: int, sep: int, max_length: int) -> None:
        self.cls = np.array([cls], dtype=np.int32)
        self.sep = np.array([sep], dtype=np.int32)
        self.max_length = max_length

    def single(self, sentence: np.ndarray) -> np.ndarray:
        """`[CLS] sentence [SEP]`, the sentence cut to fit `max_length`."""
        return np.concatenate([self.cls, sentence[: self.max_length - 2], self.sep])

    def singles(self, sentences: list[np.ndarray]) -> Sequences:
        """One sequence a sentence, all of type 0."""
        ids = [self.single(sentence) for sentence in sentences]
        return ids, [np.zeros(len(sequence), dtype=np.int32) for sequence in ids]

    @abstractmethod
    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        """The sequences of pair rows."""


class Siamese(Pairer):
    """Each sentence of a pair is encoded alone (the paper's default)."""

    vectors = 2

    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        return self.singles(first + second)


class Concat(Pairer):
    """Both sentences in one sequence (BERT's own way, and the paper's five-minute change).

    A pair that is too long loses tokens from the end of its longer side first, and from both in turn once they are
    equal, so the second sentence is never dropped.
    """

    vectors = 1

    def pairs(self, first: list[np.ndarray], second: list[np.ndarray]) -> Sequences:
        ids, types = [], []
        for one, two in zip(first, second, strict=True):
            keep_one, keep_two = shorten(len(one), len(two), self.max_length - 3)
            head = np.concatenate([self.cls, one[:keep_one], self.sep])
            tail = np.concatenate([two[:keep_two], self.sep])
            ids.append(np.concatenate([head, tail]))
            types.append(np.repeat(np.array([0, 1], dtype=np.int32), [len(head), len(tail)]))
        return ids, types


def lay_out(rows: TokenizedRows, index: np.ndarray, pairer: Pairer) -> Sequences:
    """The sequences of the rows at `index` (whole numbers, (n,)) of one task."""
    sentence = rows.table.sentence
    first = [sentence(i) for i in rows.first[index]]
    if rows.second is None:
        return pairer.singles(first)
    return pairer.pairs(first, [sentence(i) for i in rows.second[index]])


def distinct(parts: Iterable[TokenizedRows], pairer: Pairer) -> Sequences:
    """Every sequence that the rows of some parts over one table are laid out as, once each or little more."""
    sentences: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    for part in parts:
        if part.second is None:
            sentences.append(part.first)
        elif pairer.vectors == 2:
            sentences += [part.first, part.second]
        else:
            laid = lay_out(part, np.arange(len(part)), pairer)
            ids += laid[0]
            types += laid[1]
        table = part.table
    if sentences:
        laid = pairer.singles([table.sentence(i) for i in np.unique(np.concatenate(sentences))])
        ids += laid[0]
        types += laid[1]
    return ids, types


def shorten(first: int, second: int, budget: int) -> tuple[int, int]:
    """How many tokens of each side stay when both must fit `budget`, the longer giving way first.

    At equal lengths the second gives way: `shorten(9, 4, 10) == (6, 4)`, `shorten(9, 9, 11) == (6, 5)`.
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
