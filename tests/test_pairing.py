"""Pairs are laid out as worked by hand, and truncated as BERT's own tokenizer does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mtl.model.pairing import PAIRERS, Concat, Layout, Pairer, Siamese, shorten

CLS, SEP = 101, 102
LENGTHS = st.integers(0, 40)


def tokens(*ids: int) -> np.ndarray:
    return np.array(ids, dtype=np.int32)


def sentence(length: int, start: int) -> np.ndarray:
    """`length` distinct ids from `start`."""
    return np.arange(start, start + length, dtype=np.int32)


def laid_out(
    pairer: Pairer, first: np.ndarray, second: np.ndarray
) -> tuple[list[list[int]], list[list[int]]]:
    ids, types = pairer.pairs([first], [second])
    return [row.tolist() for row in ids], [row.tolist() for row in types]


def pairer(kind: type[Pairer], max_length: int = 16) -> Pairer:
    layout = Layout(before=(CLS,), between=(SEP,), after=(SEP,), typed=True)
    return kind(layout, max_length)


@pytest.mark.parametrize("kind", [Siamese, Concat])
def test_a_single_sentence_is_one_sequence_of_type_0(kind: type[Pairer]) -> None:
    ids, types = pairer(kind).singles([tokens(7, 8, 9), tokens(5)])
    assert [row.tolist() for row in ids] == [[CLS, 7, 8, 9, SEP], [CLS, 5, SEP]]
    assert [row.tolist() for row in types] == [[0, 0, 0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("kind", [Siamese, Concat])
def test_a_single_sentence_that_is_too_long_keeps_its_beginning_and_its_end_mark(
    kind: type[Pairer],
) -> None:
    assert pairer(kind, 8).single(sentence(50, 1)).tolist() == [CLS, 1, 2, 3, 4, 5, 6, SEP]
    assert pairer(kind, 8).single(sentence(6, 1)).tolist() == [CLS, 1, 2, 3, 4, 5, 6, SEP]


def test_siamese_encodes_each_sentence_alone() -> None:
    assert laid_out(pairer(Siamese), tokens(7, 8), tokens(9)) == (
        [[CLS, 7, 8, SEP], [CLS, 9, SEP]],
        [[0] * 4, [0] * 3],
    )


def test_siamese_puts_all_first_sentences_before_all_second_ones() -> None:
    ids, _ = pairer(Siamese).pairs([tokens(1), tokens(2)], [tokens(3), tokens(4)])
    assert [int(row[1]) for row in ids] == [1, 2, 3, 4]


def test_concat_joins_the_sentences_with_token_types() -> None:
    assert laid_out(pairer(Concat), tokens(7, 8), tokens(9)) == (
        [[CLS, 7, 8, SEP, 9, SEP]],
        [[0, 0, 0, 0, 1, 1]],
    )


def test_concat_keeps_one_sequence_a_row_in_order() -> None:
    ids, types = pairer(Concat).pairs([tokens(1), tokens(2)], [tokens(3), tokens(4)])
    assert [row.tolist() for row in ids] == [[CLS, 1, SEP, 3, SEP], [CLS, 2, SEP, 4, SEP]]
    assert len(types) == 2


def test_the_number_of_vectors_is_the_number_of_sequences_of_a_pair() -> None:
    for name, vectors in {"siamese": 2, "concat": 1}.items():
        made = pairer(PAIRERS[name])  # type: ignore[index]
        assert made.vectors == vectors == len(made.pairs([tokens(1)], [tokens(2)])[0])


def test_concat_shortens_the_longer_side_first() -> None:
    ids, types = laid_out(pairer(Concat, 10), sentence(9, 1), sentence(3, 50))
    assert ids == [[CLS, 1, 2, 3, 4, SEP, 50, 51, 52, SEP]]
    assert types == [[0] * 6 + [1] * 4]
    ids, _ = laid_out(pairer(Concat, 10), sentence(2, 1), sentence(30, 50))
    assert ids == [[CLS, 1, 2, SEP, 50, 51, 52, 53, 54, SEP]]


@pytest.mark.parametrize(
    ("first", "second", "budget", "kept"),
    [(9, 4, 10, (6, 4)), (9, 9, 11, (6, 5)), (4, 9, 10, (4, 6)), (3, 3, 6, (3, 3)),
     (0, 9, 5, (0, 5)), (9, 0, 5, (5, 0)), (100, 100, 10, (5, 5)), (5, 100, 10, (5, 5)),
     (4, 100, 10, (4, 6)), (2, 2, 9, (2, 2))],
)  # fmt: skip
def test_shortening_by_hand(first: int, second: int, budget: int, kept: tuple[int, int]) -> None:
    assert shorten(first, second, budget) == kept


def one_at_a_time(first: int, second: int, budget: int) -> tuple[int, int]:
    """The definition: cut tokens from the longer side, at a tie from the second, until both fit."""
    while first + second > budget:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@settings(max_examples=300, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(2, 40))
def test_shortening_is_one_token_at_a_time_from_the_longer_side(
    first: int, second: int, budget: int
) -> None:
    assert shorten(first, second, budget) == one_at_a_time(first, second, budget)


@settings(max_examples=300, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.integers(8, 48))
@example(40, 1, 8)
@example(40, 40, 8)
def test_concat_never_drops_the_second_sentence_and_always_fits(
    first: int, second: int, max_length: int
) -> None:
    (ids,), (types,) = pairer(Concat, max_length).pairs(
        [sentence(first, 1000)], [sentence(second, 2000)]
    )
    assert len(ids) == len(types) == min(first + second + 3, max_length)
    assert 2000 in ids
    assert ids[0] == CLS
    assert (ids == SEP).sum() == 2
    assert ids[-1] == SEP
    assert ids[types == 1].tolist() == [*range(2000, 2000 + int((types == 1).sum()) - 1), SEP]
    assert ids[types == 0].tolist() == [CLS, *range(1000, 1000 + int((types == 0).sum()) - 2), SEP]


@settings(max_examples=200, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(8, 48))
def test_siamese_keeps_both_sentences_up_to_the_limit(
    first: int, second: int, max_length: int
) -> None:
    ids, types = pairer(Siamese, max_length).pairs(
        [sentence(first, 1000)], [sentence(second, 2000)]
    )
    assert [len(row) for row in ids] == [min(first + 2, max_length), min(second + 2, max_length)]
    assert not any(row.any() for row in types)


def test_inputs_are_not_changed() -> None:
    first, second = sentence(30, 1), sentence(30, 100)
    for kind in (Siamese, Concat):
        ids, _ = pairer(kind, 8).pairs([first], [second])
        ids[0][:] = 0
    assert first.tolist() == list(range(1, 31))
    assert second.tolist() == list(range(100, 130))


# --- against the tokenizers library


@pytest.fixture(scope="module")
def reference() -> Tokenizer:
    """A word-level tokenizer with BERT's template: word `w5` has id 5."""
    vocabulary = {f"w{number}": number for number in range(100)} | {"[CLS]": CLS, "[SEP]": SEP}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    return tokenizer


def words(ids: np.ndarray) -> str:
    return " ".join(f"w{number}" for number in ids)


@settings(max_examples=200, deadline=None)
@given(LENGTHS, st.integers(8, 48))
def test_single_sentences_are_cut_as_the_tokenizer_cuts_them(
    reference: Tokenizer, length: int, max_length: int
) -> None:
    reference.enable_truncation(max_length, strategy="longest_first")
    text = sentence(length, 1)
    assert pairer(Siamese, max_length).single(text).tolist() == reference.encode(words(text)).ids


@settings(max_examples=400, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(8, 48))
@example(20, 20, 16)
def test_pairs_are_cut_as_longest_first_cuts_them(
    reference: Tokenizer, first: int, second: int, max_length: int
) -> None:
    reference.enable_truncation(max_length, strategy="longest_first")
    one, two = sentence(first, 1), sentence(second, 50)
    wanted = reference.encode(words(one), words(two))
    (ids,), (types,) = pairer(Concat, max_length).pairs([one], [two])
    budget = max_length - 3
    if first + second > budget and min(first, second) > budget // 2:
        # Both sides are cut; the two implementations differ in which side keeps the odd token.
        assert len(ids) == len(wanted.ids)
        assert abs(int(types.sum()) - sum(wanted.type_ids)) <= 1
        kept_second = int(types.sum()) - 1
        assert abs(budget - 2 * kept_second) <= 1
    else:
        assert ids.tolist() == wanted.ids
        assert types.tolist() == wanted.type_ids
