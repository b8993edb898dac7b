"""A closer look at one run, as the paper's section 5 has it: extreme examples of each task.

Several classes: the correct row with the highest probability, and the one whose true class got the
lowest. Two classes: the most confident correct calls and the most confident mistakes, each way.
Scores: the least-squares line from prediction to gold, and the rows nearest to it and farthest from
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.grid.wording import plural
from mtl.report.data import ReportData
from mtl.report.document import Block, Example, ExampleList, Figure, Paragraph, Section
from mtl.tasks.metrics import Predictions, probabilities
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task


def section(data: ReportData) -> Section | None:
    """Extreme examples of one run, and regressions; None where nothing is known of it."""
    if not data.focus:
        return None
    arm = data.focus[-1]
    seed = arm.seeds[0]
    finders = {"classes": _of_classes, "binary": _of_two_classes, "score": _of_scores}
    blocks: list[Block] = []
    trained = {task for one in data.focus for task in one.tasks}
    tasks = [TASKS[name] for name in TASKS if name in trained]
    for task in tasks:
        if task.name not in arm.tasks:
            continue
        predictions = data.whole_predictions(arm.name, seed, task.name)
        if predictions is not None and (items := finders[task.kind](data, task, predictions)):
            blocks.append(ExampleList(title=task.title, items=tuple(items)))
    if not data.is_single_run:
        if not blocks:
            return None
        blocks.insert(0, Paragraph(text=_subject(data, arm, seed)))
    figures = [_regression(data, task) for task in tasks if task.kind == "score"]
    blocks += [figure for figure in figures if figure]
    return Section(title="Closer look", key="analysis", blocks=tuple(blocks)) if blocks else None


def _subject(data: ReportData, arm: ArmResult, seed: int) -> str:
    """The run that is looked at."""
    subject = f"Of {arm.name}, seed {seed} (run {data.run_id(arm.name, seed)}), on dev."
    if arm is data.baseline:
        return subject
    run_id = data.run_id(data.baseline.name, seed)
    return f"{subject} mtl report {run_id} makes the same of the baseline."


def line(predicted: np.ndarray, gold: np.ndarray) -> tuple[float, float] | None:
    """Slope and intercept of the least-squares line from prediction to gold.

    None where all predictions are equal.
    """
    x = predicted - predicted.mean()
    spread = float(x @ x)
    if not np.isfinite(spread) or spread == 0:
        return None
    slope = float(x @ (gold - gold.mean())) / spread
    return slope, float(gold.mean() - slope * predicted.mean())


def _of_classes(data: ReportData, task: Task, predictions: Predictions) -> list[Example]:
    assert predictions.gold is not None
    gold = predictions.gold.astype(np.int64)
    probability = probabilities(task, predictions.outputs)
    right = probability.argmax(1) == gold
    of_truth = probability[np.arange(len(gold)), gold]
    examples = []
    if right.any():
        place = int(np.argmax(np.where(right, of_truth, -1)))
        numbers = f"{_class(task, gold[place])}, probability {of_truth[place]:.3f}"
        examples.append(_example(data, predictions, place, "most confidently right", numbers))
    place = int(np.argmin(of_truth))
    chosen = int(probability[place].argmax())
    numbers = (
        f"gold {_class(task, gold[place])} got probability {of_truth[place]:.2g}; taken for "
        f"{_class(task, chosen)} with {probability[place, chosen]:.3f}"
    )
    examples.append(_example(data, predictions, place, "true class least expected", numbers))
    return examples


def _of_two_classes(data: ReportData, task: Task, predictions: Predictions) -> list[Example]:
    assert predictions.gold is not None
    second = probabilities(task, predictions.outputs)[:, 1]
    gold, called = predictions.gold > 0.5, predictions.outputs[:, 0] > 0
    no, yes = task.class_names
    kinds = {
        f"rightly called {yes}, most confidently": (gold & called, second),
        f"rightly called {no}, most confidently": (~gold & ~called, 1 - second),
        f"wrongly called {yes}, most confidently": (~gold & called, second),
        f"wrongly called {no}, most confidently": (gold & ~called, 1 - second),
    }
    examples = []
    for kind, (mask, confidence) in kinds.items():
        if mask.any():
            place = int(np.argmax(np.where(mask, confidence, -1)))
            numbers = f"probability {confidence[place]:.3f}"
            examples.append(_example(data, predictions, place, kind, numbers))
        else:
            examples.append(Example(what=kind, id="none", numbers="there is no such row"))
    return examples


def _of_scores(data: ReportData, task: Task, predictions: Predictions) -> list[Example]:
    assert predictions.gold is not None
    gold, predicted = predictions.gold, predictions.outputs[:, 0].astype(np.float64)
    fitted = line(predicted, gold)
    if fitted is None:
        return []
    residual = residuals(predicted, gold, fitted)
    names = (
        "smallest residual",
        "largest residual above the line",
        "largest residual below the line",
    )
    examples = []
    for name, place in zip(names, extremes(residual), strict=True):
        numbers = (
            f"gold {gold[place]:.2f}, predicted {predicted[place]:.2f}, "
            f"residual {residual[place]:+.3f}"
        )
        examples.append(_example(data, predictions, place, name, numbers))
    return examples


def residuals(predicted: np.ndarray, gold: np.ndarray, fitted: tuple[float, float]) -> np.ndarray:
    """Gold minus the line, for every row."""
    slope, intercept = fitted
    return np.asarray(gold - (slope * predicted + intercept))


def extremes(residual: np.ndarray) -> tuple[int, int, int]:
    """The rows with the smallest residual, and the largest above and below the line."""
    return int(np.argmin(np.abs(residual))), int(np.argmax(residual)), int(np.argmin(residual))


def _regression(data: ReportData, task: Task) -> Figure | None:
    panels: list[dict[str, Any]] = []
    for arm in data.focus:
        seed = arm.seeds[0]
        trained = task.name in arm.tasks
        predictions = data.predictions(arm.name, seed, task.name) if trained else None
        if predictions is None or predictions.gold is None:
            continue
        gold, predicted = predictions.gold, predictions.outputs[:, 0].astype(np.float64)
        fitted = line(predicted, gold)
        panels.append({
            "arm": arm.name,
            "seed": seed,
            "predicted": [round(float(value), 4) for value in predicted],
            "gold": [round(float(value), 4) for value in gold],
            "line": None if fitted is None else [round(part, 6) for part in fitted],
            "extremes": []
            if fitted is None
            else list(extremes(residuals(predicted, gold, fitted))),
        })  # fmt: skip
    if not panels:
        return None
    scale = f" ({task.low:g} to {task.high:g})" if task.bounded else ""
    return Figure(
        name=f"{task.name}-regression",
        drawing="regression",
        caption=f"{task.name} on dev, one seed of each model: gold score{scale} against the "
        "prediction, with the least-squares line. Circled: the smallest residual, and the largest "
        "above and below the line.",
        alt=f"Scatter plots of gold against predicted scores for {plural(len(panels), 'model')}.",
        data={"panels": panels, "range": [task.low, task.high] if task.bounded else None,
              "gold": f"gold score{scale}"},
    )  # fmt: skip


def _example(
    data: ReportData, predictions: Predictions, place: int, what: str, numbers: str
) -> Example:
    row = predictions.ids[place]
    sentences = data.sentences(predictions.task, row)
    return Example(what=what, id=row, numbers=numbers, sentences=sentences)


def _class(task: Task, label: int | np.integer[Any]) -> str:
    return f"{label} ({task.class_names[int(label)]})"
