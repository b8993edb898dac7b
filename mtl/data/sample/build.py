"""The built-in data `sample`: three small generated tasks, so that everything runs offline.

Reviews (sst), question pairs (quora) and scene pairs (sts) come from the three grammars in this
package. A label follows from the structure of the sentences; then a known share of labels is made
wrong. The rows are the same on every machine and Python version, and no sentence is in two splits.
Scores on this data say nothing about real language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from mtl.data.rows import Rows
from mtl.data.sample.draw import Draw, Example
from mtl.data.sample.questions import POSITIVE_SHARE, question_pair
from mtl.data.sample.scenes import scene_pair
from mtl.data.sample.sentiment import review
from mtl.tasks.registry import TASKS
from mtl.tasks.task import SPLITS, Split, Task, TaskName

SEED = "mtl sample 1"
SIZES: dict[Split, int] = {"train": 1600, "dev": 400, "test": 400}
"""Rows per task. The grammars can make more than ten times as many."""
LABEL_SHARES: dict[TaskName, tuple[float, ...] | None] = {
    "sst": (0.12, 0.25, 0.20, 0.27, 0.16),
    "quora": (1 - POSITIVE_SHARE, POSITIVE_SHARE),
    "sts": None,
}
"""Exact share of each label 0, 1, ... before noise; None: as the grammar gives them."""
LABEL_NOISE = 0.05
"""Share of wrong labels per split: sst moves by one class, quora flips, sts gets any score."""
SCORE_STEP = 0.2
SCORE_JITTER = 0.4
"""Most that an sts score moves (triangular) before it is rounded to a step."""
GRAMMARS: dict[TaskName, Callable[[Draw], Example]] = {
    "sst": review,
    "quora": question_pair,
    "sts": scene_pair,
}


def sample_rows(task: Task, split: Split) -> Rows:
    """The rows of one task and split. Labels are in the task's unit and include the noise."""
    examples = _corpus(task.name)[split]
    return Rows(
        task=task,
        split=split,
        ids=[f"{task.name}-{split}-{number:05d}" for number in range(len(examples))],
        first=[example.first for example in examples],
        second=[example.second or "" for example in examples] if task.pair else None,
        labels=np.array([example.label for example in examples], dtype=np.float64),
    )


@cache
def _corpus(name: TaskName) -> dict[Split, tuple[Example, ...]]:
    """All splits of a task. They are made together, so that no sentence is in two splits."""
    earlier: set[str] = set()
    splits: dict[Split, tuple[Example, ...]] = {}
    for split in SPLITS:
        draw = Draw(f"{SEED}/{name}/{split}")
        clean = draw.shuffled(_distinct(name, draw, SIZES[split], earlier))
        noise = Draw(f"{SEED}/{name}/{split}/noise")
        wrong = set(noise.shuffled(range(len(clean)))[: round(LABEL_NOISE * len(clean))])
        splits[split] = tuple(
            Example(
                first=example.first,
                second=example.second,
                label=_label(name, example.label, at in wrong, noise),
            )
            for at, example in enumerate(clean)
        )
    return splits


def _distinct(name: TaskName, draw: Draw, size: int, earlier: set[str]) -> list[Example]:
    """`size` different examples with the task's label shares, without sentences of `earlier`.

    Pairs with the same sentences in either order are the same. Adds the new sentences to `earlier`.
    """
    shares = LABEL_SHARES[name]
    room = None if shares is None else _quotas(shares, size)
    examples: list[Example] = []
    seen: set[tuple[str, ...]] = set()
    while len(examples) < size:
        example = GRAMMARS[name](draw)
        key = tuple(sorted(text for text in (example.first, example.second) if text is not None))
        if (
            key in seen
            or not earlier.isdisjoint(key)
            or (room is not None and room[int(example.label)] == 0)
        ):
            continue
        seen.add(key)
        examples.append(example)
        if room is not None:
            room[int(example.label)] -= 1
    earlier.update(*seen)
    return examples


def _quotas(shares: Sequence[float], size: int) -> list[int]:
    """Whole numbers in proportion to `shares`; their sum is `size`."""
    edges = [round(size * sum(shares[:end])) for end in range(len(shares))] + [size]
    return [high - low for low, high in zip(edges, edges[1:], strict=False)]


def _label(name: TaskName, label: float, wrong: bool, draw: Draw) -> float:
    """The label of the row: right, or wrong on purpose. Scores also get jitter and rounding."""
    task = TASKS[name]
    if name == "sts":
        score = (
            task.high * draw.random()
            if wrong
            else label + SCORE_JITTER * (draw.random() - draw.random())
        )
        steps = round(max(task.low, min(task.high, score)) / SCORE_STEP)
        return round(steps * SCORE_STEP, 1)
    if not wrong:
        return label
    if name == "quora":
        return 1.0 - label
    up = label == task.low or (label < task.high and draw.chance(0.5))
    return label + 1.0 if up else label - 1.0
