"""sst class by class: accuracy on each gold class, and confusion matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Figure, Section, Table, text
from mtl.report.published import PAPER, SST_RECALLS, published_row
from mtl.report.wording import summary_cell
from mtl.stats.summary import summarise
from mtl.tasks.metrics import chosen_classes, confusion_matrix
from mtl.tasks.registry import TASKS

NAMES = TASKS["sst"].class_names


def section(data: ReportData) -> Section | None:
    arms = [arm for arm in data.focus if "sst" in arm.tasks]
    if not arms:
        return None
    heads = (
        Column(title="model"),
        *(Column(title=f"{label} {name}", kind="number") for label, name in enumerate(NAMES)),
    )
    rows = [
        (text(arm.name), *(_recall(data, arm, label) for label in range(len(NAMES))))
        for arm in arms
    ]
    rows.append(
        (
            text(f"published final model ({PAPER})"),
            *(Cell(text=f"{value:.2f}", sort=value) for value in SST_RECALLS),
        )
    )
    final = [arm.name for arm in arms if published_row(data.arms[arm.name].config) == "final"]
    beside = f" The published row belongs beside {final[0]}." if final else ""
    caption = (
        "Dev accuracy of sst on each gold class, mean ± sample standard deviation over n "
        f"seeds.{beside}"
    )
    blocks: list[Block] = [
        Table(name="sst-classes", columns=heads, rows=tuple(rows), caption=caption)
    ]
    if figure := _confusion(data, arms):
        blocks.append(figure)
    return Section(title="Classes of sst", key="classes", blocks=tuple(blocks))


def _recall(data: ReportData, arm: ArmResult, label: int) -> Cell:
    key = f"dev/sst/recall/{label}"
    values = [record.metrics.get(key) for record in data.records(arm)]
    known = [value for value in values if value is not None]
    return summary_cell(summarise(known), "undefined: no such row")


def _confusion(data: ReportData, arms: list[ArmResult]) -> Figure | None:
    panels: list[dict[str, Any]] = []
    for arm in arms:
        counts = np.zeros((len(NAMES), len(NAMES)), dtype=np.int64)
        for seed in arm.seeds:
            predictions = data.predictions(arm.name, seed, "sst")
            if predictions is not None and predictions.gold is not None:
                counts += confusion_matrix(
                    predictions.gold.astype(np.int64),
                    chosen_classes(predictions),
                    len(NAMES),
                )
        if counts.sum():
            panels.append({"arm": arm.name, "counts": counts.tolist(), "seeds": len(arm.seeds)})
    if not panels:
        return None
    return Figure(
        name="confusion",
        drawing="confusion",
        caption="What each gold class of sst is taken for on dev: per cent of the rows of the "
        "gold class, over all seeds.",
        alt=f"Confusion matrices of {plural(len(panels), 'model')}; the diagonal is the accuracy "
        "on each class, in the table above.",
        data={"names": list(NAMES), "panels": panels},
    )
