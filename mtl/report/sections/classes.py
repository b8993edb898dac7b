"""Class by class: the accuracy on each gold class of a classification, and confusion matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Figure, Section, Table, text
from mtl.report.published import PAPER, published_row, recalls
from mtl.report.wording import summary_cell
from mtl.stats.summary import summarise
from mtl.tasks.metrics import chosen_classes, confusion_matrix
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task

NEAR = "within one grade"
MOST_COLUMNS = 8
"""With more classes than this, the classes are the rows of the table."""

MAX_NAME = 24
"""Most characters of a class name in a figure."""


def section(data: ReportData) -> Section | None:
    blocks: list[Block] = []
    trained = {task for arm in data.focus for task in arm.tasks}
    for name in TASKS:
        if name in trained and TASKS[name].class_names:
            blocks += _of_task(data, TASKS[name])
    return Section(title="Classes", key="classes", blocks=tuple(blocks)) if blocks else None


def _of_task(data: ReportData, task: Task) -> list[Block]:
    arms = [arm for arm in data.focus if task.name in arm.tasks]
    labels = range(len(task.class_names))
    lines: dict[str, list[Cell]] = {
        arm.name: [_recall(data, task, arm, label) for label in labels] for arm in arms
    }
    beside = ""
    if published := recalls(task):
        cells = [Cell(text=f"{value:.2f}", sort=value) for value in published]
        lines[f"published final model ({PAPER})"] = cells + [text("-")] * task.ordered
        final = [arm.name for arm in arms if published_row(data.arms[arm.name].config) == "final"]
        beside = f" The published row belongs beside {final[0]}." if final else ""
    titles = [f"{label} {name}" for label, name in enumerate(task.class_names)]
    near = ""
    if task.ordered:
        titles.append(NEAR)
        near = f" {NEAR.capitalize()}: the share of all rows whose class is at most one grade off."
        for arm in arms:
            lines[arm.name].append(_within_one(data, task, arm))
    caption = (
        f"Dev accuracy of {task.name} on each gold class, mean ± sample standard deviation over n "
        f"seeds.{near}{beside}"
    )
    if len(titles) > MOST_COLUMNS:
        first, others = "class", list(lines)
        rows = [
            (text(title), *(cells[label] for cells in lines.values()))
            for label, title in enumerate(titles)
        ]
    else:
        first, others = "model", titles
        rows = [(text(name), *cells) for name, cells in lines.items()]
    columns = (Column(title=first), *(Column(title=title, kind="number") for title in others))
    table = Table(name=f"{task.name}-classes", columns=columns, rows=tuple(rows), caption=caption)
    figure = _confusion(data, task, arms)
    return [table, figure] if figure else [table]


def _recall(data: ReportData, task: Task, arm: ArmResult, label: int) -> Cell:
    key = f"dev/{task.name}/recall/{label}"
    values = [record.metrics.get(key) for record in data.records(arm)]
    known = [value for value in values if value is not None]
    return summary_cell(summarise(known), "undefined: no such row")


def _within_one(data: ReportData, task: Task, arm: ArmResult) -> Cell:
    """The share of rows of ordered classes that are right or one grade off."""
    shares = []
    for seed in arm.seeds:
        predictions = data.predictions(arm.name, seed, task.name)
        if predictions is not None and predictions.gold is not None:
            off = np.abs(chosen_classes(predictions) - predictions.gold)
            shares.append(float((off <= 1).mean()))
    return summary_cell(summarise(shares))


def _confusion(data: ReportData, task: Task, arms: list[ArmResult]) -> Figure | None:
    classes = len(task.class_names)
    panels: list[dict[str, Any]] = []
    for arm in arms:
        counts = np.zeros((classes, classes), dtype=np.int64)
        for seed in arm.seeds:
            predictions = data.predictions(arm.name, seed, task.name)
            if predictions is not None and predictions.gold is not None:
                gold, chosen = predictions.gold.astype(np.int64), chosen_classes(predictions)
                counts += confusion_matrix(gold, chosen, classes)
        if counts.sum():
            panels.append({"arm": arm.name, "counts": counts.tolist(), "seeds": len(arm.seeds)})
    if not panels:
        return None
    return Figure(
        name=f"{task.name}-confusion",
        drawing="confusion",
        caption=f"What each gold class of {task.name} is taken for on dev: per cent of the rows of "
        "the gold class, over all seeds.",
        alt=f"Confusion matrices of {plural(len(panels), 'model')}; the diagonal is the accuracy "
        "on each class, in the table above.",
        data={"names": [_brief(name) for name in task.class_names], "panels": panels},
    )


def _brief(name: str) -> str:
    """A name that fits beside a figure."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
