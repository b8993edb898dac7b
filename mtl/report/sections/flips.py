"""Dev examples that flip between the baseline and the best arm with every seed.

A row is fixed where the baseline is wrong and the best arm right with every seed that both have,
and broken the other way round. A score is fixed where its error is smaller with every seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import (
    Block,
    Cell,
    Example,
    ExampleList,
    Paragraph,
    Section,
    columns,
    table,
    text,
)
from mtl.tasks.metrics import Predictions, chosen_classes
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

MOST_LISTED = 3
"""Examples that are listed each way."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The rows of one task.

    `before` and `after` (S, n) are the outputs or classes of the baseline and the best arm by seed,
    `gain` (n,) is what a row gained on average, `fixed` and `broken` (n,) are masks.
    """

    ids: list[str]
    gold: np.ndarray
    before: np.ndarray
    after: np.ndarray
    fixed: np.ndarray
    broken: np.ndarray
    gain: np.ndarray


def section(data: ReportData) -> Section | None:
    """Counts of flipped rows, and examples; None where no other arm has the baseline's tasks."""
    best, baseline = data.best, data.baseline
    if best is None:
        return None
    seeds = [seed for seed in best.seeds if seed in baseline.seeds]
    flips_by_task = {
        task: flips
        for task in baseline.tasks
        if (flips := _flips(data, baseline, best, task, seeds))
    }
    if not flips_by_task:
        return None
    explanation = (
        f"From {baseline.name} to {best.name}, over {plural(len(seeds), 'shared seed')}: rows that "
        "are wrong with every seed of the one and right with every seed of the other (of scores: "
        "rows whose error is smaller, or larger, with every seed)."
    )
    if len(seeds) == 1:
        explanation += " One seed: many of these would flip back with another."
    heads = columns("task", "dev rows", "fixed", "broken", "net", kinds="tnnnn")
    rows = [_counts(task, flips) for task, flips in flips_by_task.items()]
    blocks: list[Block] = [Paragraph(text=explanation), table("flips", heads, rows)]
    for task, flips in flips_by_task.items():
        items = (
            *_examples(data, task, flips, flips.fixed, "fixed"),
            *_examples(data, task, flips, flips.broken, "broken"),
        )
        if items:
            title = f"{TASKS[task].title}: {baseline.name} → {best.name}"
            blocks.append(ExampleList(title=title, items=items))
    return Section(title="Examples that flipped", key="flips", blocks=tuple(blocks))


def _counts(task: TaskName, flips: Flips) -> list[Cell]:
    """A row of the table: how many rows were fixed and broken."""
    fixed, broken, count = int(flips.fixed.sum()), int(flips.broken.sum()), len(flips.ids)
    shares = [
        Cell(text=f"{part} ({100 * part / count:.1f} %)", sort=part) for part in (fixed, broken)
    ]
    net = Cell(text=f"{fixed - broken:+d}", sort=fixed - broken)
    return [text(task), Cell(text=str(count), sort=count), *shares, net]


def _flips(
    data: ReportData, baseline: ArmResult, best: ArmResult, task: TaskName, seeds: Sequence[int]
) -> Flips | None:
    """The flips of a task; None where a prediction is missing, or rows differ."""
    before = [data.predictions(baseline.name, seed, task) for seed in seeds]
    after = [data.predictions(best.name, seed, task) for seed in seeds]
    known = [predictions for predictions in (*before, *after) if predictions is not None]
    if not known or len(known) < 2 * len(seeds):
        return None
    ids, gold = known[0].ids, known[0].gold
    if gold is None or any(predictions.ids != ids for predictions in known):
        return None
    of_before, of_after = known[: len(seeds)], known[len(seeds) :]
    if TASKS[task].kind == "score":
        return _flips_of_scores(ids, gold, of_before, of_after)
    return _flips_of_classes(ids, gold, of_before, of_after)


def _flips_of_scores(
    ids: list[str], gold: np.ndarray, before: list[Predictions], after: list[Predictions]
) -> Flips:
    scores_before, scores_after = (
        np.stack([predictions.outputs[:, 0].astype(np.float64) for predictions in arm])
        for arm in (before, after)
    )
    gain = np.abs(scores_before - gold) - np.abs(scores_after - gold)
    return Flips(
        ids=ids,
        gold=gold,
        before=scores_before,
        after=scores_after,
        fixed=(gain > 0).all(0),
        broken=(gain < 0).all(0),
        gain=gain.mean(0),
    )


def _flips_of_classes(
    ids: list[str], gold: np.ndarray, before: list[Predictions], after: list[Predictions]
) -> Flips:
    classes_before, classes_after = (
        np.stack([chosen_classes(predictions) for predictions in arm]) for arm in (before, after)
    )
    labels = gold.astype(np.int64)
    gain = (classes_after == labels).astype(np.float64) - (classes_before == labels)
    return Flips(
        ids=ids,
        gold=gold,
        before=classes_before,
        after=classes_after,
        fixed=(gain == 1).all(0),
        broken=(gain == -1).all(0),
        gain=gain.mean(0),
    )


def _examples(
    data: ReportData, task: TaskName, flips: Flips, mask: np.ndarray, kind: str
) -> list[Example]:
    """The rows of a mask that gained or lost most."""
    places = np.flatnonzero(mask)
    order = places[np.argsort(-np.abs(flips.gain[places]), kind="stable")][:MOST_LISTED]
    examples = []
    for place in order:
        row = flips.ids[int(place)]
        gold = _values(task, flips.gold[place : place + 1])
        before, after = (_values(task, side[:, place]) for side in (flips.before, flips.after))
        examples.append(
            Example(
                what=kind,
                id=row,
                numbers=f"gold {gold}, {before} → {after}",
                sentences=data.sentences(task, row),
            )
        )
    return examples


def _values(task: TaskName, values: np.ndarray) -> str:
    """Values of a row over seeds: the mean score, or the different classes in the data's words."""
    if TASKS[task].kind == "score":
        return f"{values.mean():.2f}"
    words = TASKS[task].label_words
    return "/".join(words[value] for value in dict.fromkeys(int(value) for value in values))
