"""Train against dev: how each score went over the epochs, and how far apart the two end."""

from __future__ import annotations

from typing import Any

from mtl.ablation.results import Score, metric_key
from mtl.report.data import ReportData
from mtl.report.document import Block, Cell, Column, Figure, Section, Table, text
from mtl.report.wording import mean_of, summary_cell
from mtl.stats.summary import summarise


def section(data: ReportData) -> Section | None:
    arms = data.focus
    if not arms:
        return None
    scores = list(
        dict.fromkeys(
            score
            for arm in arms
            for score in (*arm.tasks, *(("overall",) if len(arm.tasks) > 1 else ()))
        )
    )
    heads = [Column(title="model")]
    for score in scores:
        heads += [
            Column(title=f"{score} train", kind="number"),
            Column(title="dev", kind="number"),
            Column(title="gap", kind="number"),
        ]
    rows = []
    for arm in arms:
        cells = [text(arm.name)]
        for score in scores:
            pairs = [_pair(record.metrics, score) for record in data.records(arm)]
            whole = [(train, dev) for train, dev in pairs if train is not None and dev is not None]
            gap = mean_of([train - dev for train, dev in whole])
            cells += [summary_cell(summarise([pair[side] for pair in whole])) for side in (0, 1)]
            cells.append(Cell(text="-" if gap is None else f"{gap:+.3f}", sort=gap))
        rows.append(tuple(cells))
    caption = (
        "Scores of the kept weights on the training rows and on dev, over n seeds. A large gap is "
        "overfitting."
    )
    blocks: list[Block] = [
        Table(name="train-and-dev", columns=tuple(heads), rows=tuple(rows), caption=caption)
    ]
    if figure := _figure(data, scores):
        blocks.append(figure)
    return Section(title="Train against dev", key="curves", blocks=tuple(blocks))


def _pair(metrics: dict[str, Any], score: Score) -> tuple[float | None, float | None]:
    key = metric_key(score)
    return metrics.get(f"train/{key}"), metrics.get(f"dev/{key}")


def _figure(data: ReportData, scores: list[Score]) -> Figure | None:
    panels = []
    for score in scores:
        lines = []
        for arm in data.focus:
            for split in ("train", "dev"):
                runs = []
                for seed in arm.seeds:
                    points = [
                        (evaluation.epoch, evaluation.metrics.get(f"{split}/{metric_key(score)}"))
                        for evaluation in data.history(arm.name, seed)
                    ]
                    runs.append(
                        [
                            [epoch, value]
                            for epoch, value in points
                            if epoch is not None and value is not None
                        ]
                    )
                if any(runs):
                    lines.append(
                        {"arm": arm.name, "split": split, "runs": [run for run in runs if run]}
                    )
        if lines:
            panels.append({"score": score, "lines": lines})
    if not panels:
        return None
    return Figure(
        name="curves",
        drawing="curves",
        caption="Scores over training: train dashed and hollow, dev solid; thick the mean over "
        "seeds, thin each seed.",
        alt="Curves of train and dev scores by epoch, a panel a score; the ends of the kept "
        "weights are in the table above.",
        data={"panels": panels},
    )
