"""The paper's qualitative analysis (its section 5), for one run: extreme examples of each task.

sst: the correct sentence with the highest probability, and the one whose true class got the lowest.
quora: the most confident correct calls and the most confident mistakes, each way. sts: the
least-squares line from prediction to gold, and the pairs nearest to it and farthest from it.
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


def section(data: ReportData) -> Section | None:
    """Extreme examples of one run, and the sts regression; None where nothing is known of it."""
    if not data.focus:
        return None
    arm = data.focus[-1]
    seed = arm.seeds[0]
    finders = {"sst": _sst, "quora": _quora, "sts": _sts}
    blocks: list[Block] = []
    for task in TASKS:
        predictions = data.whole_predictions(arm.name, seed, task)
        if predictions is not None and (items := finders[task](data, predictions)):
            blocks.append(ExampleList(title=TASKS[task].title, items=tuple(items)))
    if not data.is_single_run:
        if not blocks:
            return None
        blocks.insert(0, Paragraph(text=_subject(data, arm, seed)))
    if figure := _regression(data):
        blocks.append(figure)
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


def _sst(data: ReportData, predictions: Predictions) -> list[Example]:
    assert predictions.gold is not None
    gold = predictions.gold.astype(np.int64)
    probability = probabilities(TASKS["sst"], predictions.outputs)
    right = probability.argmax(1) == gold
    of_truth = probability[np.arange(len(gold)), gold]
    examples = []
    if right.any():
        place = int(np.argmax(np.where(right, of_truth, -1)))
        numbers = f"{_class(gold[place])}, probability {of_truth[place]:.3f}"
        examples.append(_example(data, predictions, place, "most confidently right", numbers))
    place = int(np.argmin(of_truth))
    chosen = int(probability[place].argmax())
    numbers = (
        f"gold {_class(gold[place])} got probability {of_truth[place]:.2g}; taken for "
        f"{_class(chosen)} with {probability[place, chosen]:.3f}"
    )
    examples.append(_example(data, predictions, place, "true class least expected", numbers))
    return examples


def _quora(data: ReportData, predictions: Predictions) -> list[Example]:
    assert predictions.gold is not None
    paraphrase = probabilities(TASKS["quora"], predictions.outputs)[:, 1]
    gold, called = predictions.gold > 0.5, predictions.outputs[:, 0] > 0
    kinds = {
        "rightly called paraphrase, most confidently": (gold & called, paraphrase),
        "rightly called different, most confidently": (~gold & ~called, 1 - paraphrase),
        "wrongly called paraphrase, most confidently": (~gold & called, paraphrase),
        "wrongly called different, most confidently": (gold & ~called, 1 - paraphrase),
    }
    examples = []
    for kind, (mask, confidence) in kinds.items():
        if mask.any():
            place = int(np.argmax(np.where(mask, confidence, -1)))
            numbers = f"probability {confidence[place]:.3f}"
            examples.append(_example(data, predictions, place, kind, numbers))
        else:
            examples.append(Example(what=kind, id="none", numbers="there is no such pair"))
    return examples


def _sts(data: ReportData, predictions: Predictions) -> list[Example]:
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


def _regression(data: ReportData) -> Figure | None:
    panels: list[dict[str, Any]] = []
    for arm in data.focus:
        seed = arm.seeds[0]
        predictions = data.predictions(arm.name, seed, "sts") if "sts" in arm.tasks else None
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
    return Figure(
        name="sts-regression",
        drawing="regression",
        caption="sts on dev, one seed of each model: gold similarity (0 to 5) against the "
        "prediction, with the least-squares line. Circled: the smallest residual, and the largest "
        "above and below the line.",
        alt="Scatter plots of gold against predicted similarity for "
        f"{plural(len(panels), 'model')}.",
        data={"panels": panels},
    )


def _example(
    data: ReportData, predictions: Predictions, place: int, what: str, numbers: str
) -> Example:
    row = predictions.ids[place]
    sentences = data.sentences(predictions.task, row)
    return Example(what=what, id=row, numbers=numbers, sentences=sentences)


def _class(label: int | np.integer[Any]) -> str:
    return f"{label} ({TASKS['sst'].class_names[int(label)]})"
