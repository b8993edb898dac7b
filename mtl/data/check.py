"""What is in the data, before anything is trained: sizes, balance, duplicates, contradictions and leaks.

Two rows are the same when their sentences are, whatever the case and the spaces, and for pairs in either order. A row
of dev or test that also stands in train is answered from memory; a pair of which one sentence stands in train is half
known. Both lift scores, so both are counted and printed beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from mtl.data.rows import Rows, fingerprint
from mtl.tasks.registry import SPLITS, TASKS, Split, TaskName

Key = tuple[str, ...]

MAX_EXAMPLES = 5
MEANING = (
    "A row of dev or test that also stands in train is answered from memory, and a shared sentence is half of the "
    "answer known: leaks lift scores. The splits are this data's own and not GLUE's, so scores do not "
    "compare with GLUE tables."
)


def check_rows(rows: Mapping[tuple[TaskName, Split], Rows]) -> dict[str, Any]:
    """A JSON-ready account of the data.

    `tasks` maps each task to `splits` (per split: see `check_part`) and `leaks` (per pair of splits, like `train/dev`:
    see `check_leaks`). `fingerprint` covers all rows. Unknown is None, as the labels of a hidden test set.
    """
    tasks: dict[str, Any] = {}
    for name in TASKS:
        parts = {split: rows[name, split] for split in SPLITS if (name, split) in rows}
        if parts:
            tasks[name] = {
                "splits": {split: check_part(part) for split, part in parts.items()},
                "leaks": {
                    f"{one}/{two}": check_leaks(parts[one], parts[two])
                    for one, two in combinations(parts, 2)
                },
            }
    return {"schema": 1, "fingerprint": fingerprint(rows), "tasks": tasks, "meaning": MEANING}


def check_part(part: Rows) -> dict[str, Any]:
    """One split: rows, rows left out on request, fingerprint, labels, words a sentence, duplicates and conflicts.

    `duplicates` counts the rows that repeat an earlier one. `conflicts` counts texts that come with different labels;
    `conflict_ids` gives the ids of the first few.
    """
    groups = _groups(part)
    words = np.array([len(text.split()) for text in [*part.first, *(part.second or [])]])
    conflicts: list[list[str]] = []
    if part.labels is not None:
        labels = part.labels
        conflicts = [
            [part.ids[i] for i in group]
            for group in groups.values()
            if len({labels[i] for i in group}) > 1
        ]
    return {
        "rows": len(part),
        "left_out": len(part.skipped),
        "fingerprint": part.fingerprint(),
        "labels": None if part.labels is None else _balance(part, part.labels),
        "words": {"median": float(np.median(words)), "max": int(words.max())}
        if len(words)
        else None,
        "duplicates": len(part) - len(groups),
        "conflicts": None if part.labels is None else len(conflicts),
        "conflict_ids": conflicts[:MAX_EXAMPLES],
    }


def check_leaks(one: Rows, two: Rows) -> dict[str, Any]:
    """How much of split `two` stands in split `one`, in rows of `two` and as shares of them.

    `rows` counts rows that stand in `one` whole; `sentences` those of which any sentence stands in `one`, in any row.
    Where a row is one sentence the two numbers are equal. `ids` pairs the first few rows: id in `one`, id in `two`.
    """
    known = _groups(one)
    sentences = {sentence for key in known for sentence in key}
    keys = _keys(two)
    identical = [i for i, key in enumerate(keys) if key in known]
    shared = sum(any(sentence in sentences for sentence in key) for key in keys)
    return {
        "rows": len(identical),
        "rows_share": len(identical) / len(two) if len(two) else None,
        "sentences": shared,
        "sentences_share": shared / len(two) if len(two) else None,
        "ids": [[one.ids[known[keys[i]][0]], two.ids[i]] for i in identical[:MAX_EXAMPLES]],
    }


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _keys(part: Rows) -> list[Key]:
    """What makes a row the same as another: its folded sentences, sorted so that the order in a pair does not count."""
    if part.second is None:
        return [(_fold(text),) for text in part.first]
    return [
        tuple(sorted((_fold(a), _fold(b)))) for a, b in zip(part.first, part.second, strict=True)
    ]


def _groups(part: Rows) -> dict[Key, list[int]]:
    """Each different row's key, and the places where it stands."""
    groups: dict[Key, list[int]] = {}
    for i, key in enumerate(_keys(part)):
        groups.setdefault(key, []).append(i)
    return groups


def _balance(part: Rows, labels: np.ndarray) -> dict[str, Any]:
    """Counts a class; for scores mean, sd (ddof 1, None for one row) and counts a unit, the last one closed."""
    task = part.task
    low, high = int(task.low), int(task.high)
    if task.kind != "score":
        found = Counter(int(value) for value in labels)
        return {"counts": {str(value): found[value] for value in range(low, high + 1)}}
    counts, _ = np.histogram(labels, bins=np.arange(low, high + 1))
    return {
        "mean": float(labels.mean()) if len(labels) else None,
        "sd": float(labels.std(ddof=1)) if len(labels) > 1 else None,
        "counts": {f"{low + i}-{low + i + 1}": int(count) for i, count in enumerate(counts)},
    }
