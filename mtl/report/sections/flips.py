"""Dev examples that flip between the baseline and the best arm with every seed.

A row counts as fixed where the baseline is wrong and the best arm right with every seed that both
have, as broken the other way round. For sts a row is better where the error is smaller with every
seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.report.archive import chosen_classes
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
from mtl.tasks.registry import TASKS, TaskName

MOST = 3
"""Examples listed each way."""


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The rows of one task: gold (n,), outputs or classes of both arms (S, n), and gains (n,)."""

    ids: list[str]
    gold: np.ndarray
    before: np.ndarray
    after: np.ndarray
    fixed: np.ndarray
    broken: np.ndarray
    gain: np.ndarray


def section(data: ReportData) -> Section | None:
    best, baseline = data.best, data.baseline
    if best is None:
        return None
    seeds = [seed for seed in best.seeds if seed in baseline.seeds]
    found = {
        task: flips
        for task in baseline.tasks
        if (flips := _flips(data, baseline, best, task, seeds))
    }
    if not found:
        return None
    rows = []
    for task, flips in found.items():
        fixed, broken, count = int(flips.fixed.sum()), int(flips.broken.sum()), len(flips.ids)
        cells = [text(task), Cell(text=str(count), sort=count)]
        for number in (fixed, broken):
            cells.append(Cell(text=f"{number} ({100 * number / count:.1f} %)", sort=number))
        rows.append((*cells, Cell(text=f"{fixed - broken:+d}", sort=fixed - broken)))
    heads = columns("task", "dev rows", "fixed", "broken", "net", kinds="tnnnn")
    said = (
        f"From {baseline.name} to {best.name}, over {len(seeds)} shared "
        f"seed{'s' if len(seeds) != 1 else ''}: rows that are wrong with every seed of the one "
        "and right with every seed of the other (sts: rows whose error is smaller, or larger, "
        "with every seed)."
    )
    if len(seeds) == 1:
        said += " One seed: many of these would flip back with another."
    blocks: list[Block] = [Paragraph(text=said), table("flips", heads, rows)]
    for task, flips in found.items():
        items = [
            *_listed(data, task, flips, flips.fixed, "fixed"),
            *_listed(data, task, flips, flips.broken, "broken"),
        ]
        if items:
            blocks.append(
                ExampleList(
                    title=f"{TASKS[task].title}: {baseline.name} → {best.name}", items=tuple(items)
                )
            )
    return Section(title="Examples that flipped", key="flips", blocks=tuple(blocks))


def _flips(
    data: ReportData, baseline: ArmResult, best: ArmResult, task: TaskName, seeds: list[int]
) -> Flips | None:
    pairs = [
        tuple(data.predictions(arm.name, seed, task) for arm in (baseline, best)) for seed in seeds
    ]
    whole = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not whole or len(whole) < len(pairs):
        return None
    first = whole[0][0]
    if first.gold is None or any(part.ids != first.ids for pair in whole for part in pair):
        return None
    gold = first.gold
    if TASKS[task].kind == "score":
        before, after = (
            np.stack([pair[side].outputs[:, 0].astype(np.float64) for pair in whole])
            for side in (0, 1)
        )
        gained = np.abs(before - gold) - np.abs(after - gold)
        fixed, broken = (gained > 0).all(0), (gained < 0).all(0)
    else:
        before, after = (
            np.stack([chosen_classes(pair[side]) for pair in whole]) for side in (0, 1)
        )
        right = [side == gold.astype(np.int64) for side in (before, after)]
        gained = right[1].astype(np.float64) - right[0]
        fixed, broken = (gained == 1).all(0), (gained == -1).all(0)
    return Flips(
        ids=first.ids,
        gold=gold,
        before=before,
        after=after,
        fixed=fixed,
        broken=broken,
        gain=gained.mean(0),
    )


def _listed(
    data: ReportData, task: TaskName, flips: Flips, which: np.ndarray, what: str
) -> list[Example]:
    places = np.flatnonzero(which)
    order = places[np.argsort(-np.abs(flips.gain[places]), kind="stable")][:MOST]
    examples = []
    for place in order:
        row = flips.ids[int(place)]
        numbers = f"gold {_shown(task, flips.gold[place])}, {_side(task, flips.before[:, place])} → {_side(task, flips.after[:, place])}"
        examples.append(
            Example(what=what, id=row, numbers=numbers, sentences=data.sentences(task, row))
        )
    return examples


def _side(task: TaskName, values: np.ndarray) -> str:
    """What an arm said of a row: the mean score, or the classes it chose."""
    if TASKS[task].kind == "score":
        return f"{values.mean():.2f}"
    return "/".join(str(value) for value in dict.fromkeys(int(value) for value in values))


def _shown(task: TaskName, value: float) -> str:
    return f"{value:.2f}" if TASKS[task].kind == "score" else str(int(value))
