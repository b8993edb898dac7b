"""A summary of the data before training: sizes, balance, duplicates, conflicting labels, leaks.

Two rows are the same if their sentences are the same, without regard to case and spaces; for pairs
in either order. A dev or test row that is also in train can be answered from memory, and a pair
that shares a sentence with train is half known. Both raise scores, so both are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from mtl.data.rows import Rows, fingerprint
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, CourseData, Split, Task, TaskName

Key = tuple[str, ...]

MAX_EXAMPLES = 5
MAX_UNITS = 20
"""The widest range that is counted by units."""
MEANING = (
    "A row of dev or test that also stands in train is answered from memory, and a shared "
    "sentence is half of the answer known: leaks lift scores."
)
OWN_SPLITS = (
    " The splits are this data's own and not GLUE's, so scores do not compare with GLUE tables."
)


def check_rows(rows: Mapping[tuple[TaskName, Split], Rows]) -> dict[str, Any]:
    """A JSON-ready summary of the data.

    `tasks` maps each task to `splits` (`check_part` of each split) and `leaks` (`check_leaks` of
    each pair of splits, such as `train/dev`). `fingerprint` covers all rows. Unknown values, such
    as the labels of a hidden test set, are None.
    """
    tasks: dict[str, Any] = {}
    for name in TASKS:
        parts = {split: rows[name, split] for split in SPLITS if (name, split) in rows}
        if parts:
            tasks[name] = {
                "splits": {split: check_part(part) for split, part in parts.items()},
                "leaks": {
                    f"{earlier}/{later}": check_leaks(parts[earlier], parts[later])
                    for earlier, later in combinations(parts, 2)
                },
            }
    of_course = any(isinstance(TASKS[name].data, CourseData) for name in tasks)
    meaning = MEANING + (OWN_SPLITS if of_course else "")
    return {"schema": 1, "fingerprint": fingerprint(rows), "tasks": tasks, "meaning": meaning}


def check_part(part: Rows) -> dict[str, Any]:
    """The summary of one split.

    `left_out` counts bad rows that were skipped. `words` are words per sentence. `duplicates`
    counts rows that repeat an earlier row. `conflicts` counts texts with different labels;
    `conflict_ids` are the ids of the first ones.
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


def check_leaks(earlier: Rows, later: Rows) -> dict[str, Any]:
    """The rows of split `later` that are also in split `earlier`, as counts and shares.

    `rows` counts whole rows that are in `earlier`. `sentences` counts rows with any sentence that
    is in any row of `earlier`. The two are equal if a row is one sentence. `ids` lists the first
    pairs of equal rows: id in `earlier`, id in `later`.
    """
    known = _groups(earlier)
    sentences = {sentence for key in known for sentence in key}
    keys = _keys(later)
    identical = [i for i, key in enumerate(keys) if key in known]
    shared = sum(any(sentence in sentences for sentence in key) for key in keys)
    return {
        "rows": len(identical),
        "rows_share": len(identical) / len(later) if len(later) else None,
        "sentences": shared,
        "sentences_share": shared / len(later) if len(later) else None,
        "ids": [[earlier.ids[known[keys[i]][0]], later.ids[i]] for i in identical[:MAX_EXAMPLES]],
    }


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _keys(part: Rows) -> list[Key]:
    """A key per row: its folded sentences, sorted, so that their order in a pair does not count."""
    if part.second is None:
        return [(_fold(text),) for text in part.first]
    return [
        tuple(sorted((_fold(a), _fold(b)))) for a, b in zip(part.first, part.second, strict=True)
    ]


def _groups(part: Rows) -> dict[Key, list[int]]:
    """Key -> the places of its rows."""
    groups: dict[Key, list[int]] = {}
    for i, key in enumerate(_keys(part)):
        groups.setdefault(key, []).append(i)
    return groups


def _balance(part: Rows, labels: np.ndarray) -> dict[str, Any]:
    """Counts per class. For scores: mean, sd (ddof 1, None for one row) and counts per unit."""
    task = part.task
    if task.class_names:
        counts_by_label = Counter(int(value) for value in labels)
        words = enumerate(task.label_words)
        return {"counts": {word: counts_by_label[place] for place, word in words}}
    edges = _edges(task, labels)
    counts, _ = np.histogram(labels, bins=edges)
    names = [f"{edge:g}" for edge in edges]
    dash = " to " if any("-" in name for name in names) else "-"  # a dash would be a sign
    return {
        "mean": float(labels.mean()) if len(labels) else None,
        "sd": float(labels.std(ddof=1)) if len(labels) > 1 else None,
        "counts": {
            f"{low}{dash}{high}": int(count)
            for low, high, count in zip(names, names[1:], counts, strict=False)
        },
    }


def _edges(task: Task, labels: np.ndarray) -> np.ndarray:
    """The edges of bins: units of a range of whole numbers, else five bins of equal width."""
    low, high = (task.low, task.high) if task.bounded else (0.0, 1.0)
    if not task.bounded and len(labels):
        low, high = float(labels.min()), float(labels.max())
    if task.bounded and low.is_integer() and high.is_integer() and high - low <= MAX_UNITS:
        return np.arange(low, high + 1)
    return np.linspace(low, high if high > low else low + 1, 6)
