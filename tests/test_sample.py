"""The built-in corpus is fixed for ever, has no leaks, and is too hard for counting words."""

from __future__ import annotations

import math
import re
import time
from collections import Counter

import numpy as np
import pytest

from mtl.data.rows import Rows
from mtl.data.sample import build as sample
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, Split, TaskName
from tests.sample_tools import labels, rows, words

GOLDEN: dict[tuple[TaskName, Split], str] = {
    ("sst", "train"): "f33473c52870c4d0",
    ("sst", "dev"): "f3f7b10e08057e6c",
    ("sst", "test"): "4e934c5712c6954e",
    ("quora", "train"): "b8cd93c04b136d3a",
    ("quora", "dev"): "438c70789030f266",
    ("quora", "test"): "96da0c6af5a940c2",
    ("sts", "train"): "5c74a576a1a7d217",
    ("sts", "dev"): "a420ccd7040f7a3c",
    ("sts", "test"): "6ce4579ba9d77e45",
}
PARTS = [(name, split) for name in TASKS for split in SPLITS]


def pairs(part: Rows) -> list[tuple[str, str]]:
    return list(zip(part.first, part.second or [], strict=True))


def overlap(part: Rows) -> np.ndarray:
    """Jaccard overlap of the words of each pair, shape (rows,)."""
    sets = [(set(words(one)), set(words(two))) for one, two in pairs(part)]
    return np.array([len(one & two) / len(one | two) for one, two in sets])


# The corpus as a whole


@pytest.mark.parametrize(("name", "split"), PARTS)
def test_the_corpus_never_changes(name: TaskName, split: Split) -> None:
    assert rows(name, split).fingerprint() == GOLDEN[name, split]


@pytest.mark.parametrize(("name", "split"), PARTS)
def test_each_part_has_its_size_and_readable_ids(name: TaskName, split: Split) -> None:
    part = rows(name, split)
    assert len(part) == {"train": 1600, "dev": 400, "test": 400}[split]
    assert part.ids[17] == f"{name}-{split}-00017"
    assert len(set(part.ids)) == len(part)
    assert (part.second is not None) == TASKS[name].pair


def test_generating_everything_takes_less_than_a_second() -> None:
    sample._corpus.cache_clear()
    start = time.process_time()
    for name, split in PARTS:
        rows(name, split)
    assert time.process_time() - start < 1.0


def test_a_caller_who_changes_rows_does_not_change_the_corpus() -> None:
    part = rows("sst", "dev")
    labels(part)[:] = 0
    part.first.clear()
    assert rows("sst", "dev").fingerprint() == GOLDEN["sst", "dev"]


@pytest.mark.parametrize("name", TASKS)
def test_no_row_is_there_twice_and_no_sentence_is_in_two_splits(name: TaskName) -> None:
    sentences: dict[Split, set[str]] = {}
    for split in SPLITS:
        part = rows(name, split)
        keys = [frozenset(pair) for pair in pairs(part)] if part.second else part.first
        assert len(set(keys)) == len(part)
        sentences[split] = {text.lower() for text in part.first + (part.second or [])}
    assert not sentences["train"] & sentences["dev"]
    assert not sentences["train"] & sentences["test"]
    assert not sentences["dev"] & sentences["test"]


@pytest.mark.parametrize("name", ["quora", "sts"])
def test_no_pair_repeats_one_sentence(name: TaskName) -> None:
    assert all(one != two for split in SPLITS for one, two in pairs(rows(name, split)))


@pytest.mark.parametrize(
    ("name", "low", "high"), [("sst", 7, 18), ("quora", 6, 12), ("sts", 6, 11)]
)
def test_sentences_are_short_and_well_formed(name: TaskName, low: int, high: int) -> None:
    end = "?" if name == "quora" else "."
    for split in SPLITS:
        part = rows(name, split)
        for text in part.first + (part.second or []):
            assert low <= len(text.split()) <= high, text
            assert text[0].isupper() and text.endswith(end) and "  " not in text, text
            assert not re.search(r"[{}|/]|\b[aA] [aeio]|\b[aA]n [^aeiou]", text), text


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_in_range_and_in_steps(split: Split) -> None:
    for name, values in {"sst": 5, "quora": 2}.items():
        assert set(labels(rows(name, split))) == set(map(float, range(values)))
    scores = labels(rows("sts", split))
    assert scores.min() == 0 and scores.max() == 5
    assert all(score == round(score, 1) and round(score * 10) % 2 == 0 for score in scores)


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_balanced_as_promised(split: Split) -> None:
    shares = np.bincount(labels(rows("sst", split)).astype(int)) / len(rows("sst", split))
    assert shares == pytest.approx([0.12, 0.25, 0.20, 0.27, 0.16], abs=0.025)
    assert labels(rows("quora", split)).mean() == pytest.approx(0.38, abs=0.035)
    scores = np.histogram(labels(rows("sts", split)), bins=5)[0] / len(rows("sts", split))
    assert scores.min() > 0.08 and scores.max() < 0.40


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", TASKS)
def test_one_label_in_twenty_is_wrong(
    name: TaskName, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = labels(rows(name, split))
    monkeypatch.setattr(sample, "LABEL_NOISE", 0.0)
    sample._corpus.cache_clear()
    try:
        clean = labels(rows(name, split))
    finally:
        sample._corpus.cache_clear()
    moved = np.abs(noisy - clean) > (2 * sample.SCORE_JITTER if name == "sts" else 0)
    if name == "sts":
        assert 0.025 < moved.mean() < 0.05, "a random score may lie close to the right one"
    else:
        assert moved.mean() == 0.05
    if name == "sst":
        assert np.abs(noisy - clean).max() == 1


# Counting words is not enough


def test_word_overlap_does_not_tell_paraphrases() -> None:
    shared, gold = overlap(rows("quora", "train")), labels(rows("quora", "train"))
    rules = [(cut, sign) for cut in np.unique(shared) for sign in (1, -1)]
    cut, sign = max(
        rules, key=lambda rule: float((((shared - rule[0]) * rule[1] >= 0) == gold).mean())
    )
    dev = rows("quora", "dev")
    accuracy = (((overlap(dev) - cut) * sign >= 0) == labels(dev)).mean()
    assert 0.5 < accuracy < 0.75
    alike = overlap(dev) > 0.7
    assert 0.1 < labels(dev)[alike].mean() < 0.5, (
        "near copies are mostly not paraphrases, but some are"
    )


def test_word_overlap_tells_something_of_similarity_and_not_all() -> None:
    for split in SPLITS:
        part = rows("sts", split)
        assert 0.3 < np.corrcoef(overlap(part), labels(part))[0, 1] < 0.85


def test_a_bag_of_words_gets_part_of_the_sentiment_only() -> None:
    train, dev = rows("sst", "train"), rows("sst", "dev")
    counts: list[Counter[str]] = [Counter() for _ in range(5)]
    for text, label in zip(train.first, labels(train), strict=True):
        counts[int(label)].update(words(text))
    size = len(set().union(*counts))
    prior = np.log(np.bincount(labels(train).astype(int)))

    def guess(text: str) -> int:
        scores = [
            prior[label]
            + sum(math.log((count[word] + 1) / (count.total() + size)) for word in words(text))
            for label, count in enumerate(counts)
        ]
        return int(np.argmax(scores))

    accuracy = np.mean(
        [guess(text) == label for text, label in zip(dev.first, labels(dev), strict=True)]
    )
    majority = np.bincount(labels(dev).astype(int)).max() / len(dev)
    assert majority + 0.05 < accuracy < 0.6
