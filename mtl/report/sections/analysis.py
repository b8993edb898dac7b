"""The paper's qualitative analysis (its section 5), for one run: extreme examples of each task.

sst: the correct sentence with the highest probability, and the one whose true class got the lowest.
quora: the most confident correct calls and the most confident mistakes, each way. sts: the
least-squares line from prediction to gold, and the pairs nearest to it and farthest from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mtl.ablation.results import ArmResult
from mtl.report.data import ReportData
from mtl.report.document import Block, Example, ExampleList, Figure, Paragraph, Section
from mtl.report.published import SST_NAMES
from mtl.tasks.metrics import Predictions, probabilities
from mtl.tasks.registry import TASKS, TaskName


def section(data: ReportData) -> Section | None:
    if not data.focus:
        return None
    arm = data.focus[-1]
    seed = arm.seeds[0]
    blocks: list[Block] = []
    if not data.is_single_run:
        other = (
            f" mtl report {data.run_id(data.baseline.name, seed)} makes the same of the baseline."
        )
        blocks.append(Paragraph(
            text=f"Of {arm.name}, seed {seed} (run {data.run_id(arm.name, seed)}), on "
            f"dev.{other if arm is not data.baseline else ''}"
        ))  # fmt: skip
    for task, find in (("sst", _sst), ("quora", _quora), ("sts", _sts)):
        name: TaskName = task  # type: ignore[assignment]
        predictions = data.whole_predictions(arm.name, seed, name)
        if predictions is not None and (items := find(data, predictions)):
            blocks.append(ExampleList(title=TASKS[name].title, items=tuple(items)))
    if len(blocks) < 2 and not data.is_single_run:
        return None
    if figure := _regression(data):
        blocks.append(figure)
    return Section(title="Closer look", key="analysis", blocks=tuple(blocks)) if blocks else None


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


def _sst(data: ReportData, found: Predictions) -> list[Example]:
    assert found.gold is not None
    gold = found.gold.astype(np.int64)
    probability = probabilities(TASKS["sst"], found.outputs)
    right = probability.argmax(1) == gold
    of_truth = probability[np.arange(len(gold)), gold]
    examples = []
    if right.any():
        place = int(np.argmax(np.where(right, of_truth, -1)))
        numbers = f"{_class(gold[place])}, probability {of_truth[place]:.3f}"
        examples.append(_example(data, found, place, "most confidently right", numbers))
    place = int(np.argmin(of_truth))
    taken = int(probability[place].argmax())
    numbers = (
        f"gold {_class(gold[place])} got probability {of_truth[place]:.2g}; taken for "
        f"{_class(taken)} with {probability[place, taken]:.3f}"
    )
    examples.append(_example(data, found, place, "true class least expected", numbers))
    return examples


def _quora(data: ReportData, found: Predictions) -> list[Example]:
    assert found.gold is not None
    paraphrase = probabilities(TASKS["quora"], found.outputs)[:, 1]
    gold, said = found.gold > 0.5, found.outputs[:, 0] > 0
    kinds = {
        "rightly called paraphrase, most confidently": (gold & said, paraphrase),
        "rightly called different, most confidently": (~gold & ~said, 1 - paraphrase),
        "wrongly called paraphrase, most confidently": (~gold & said, paraphrase),
        "wrongly called different, most confidently": (gold & ~said, 1 - paraphrase),
    }
    examples = []
    for what, (which, confidence) in kinds.items():
        if which.any():
            place = int(np.argmax(np.where(which, confidence, -1)))
            examples.append(
                _example(data, found, place, what, f"probability {confidence[place]:.3f}")
            )
        else:
            examples.append(Example(what=what, id="none", numbers="there is no such pair"))
    return examples


def _sts(data: ReportData, found: Predictions) -> list[Example]:
    assert found.gold is not None
    predicted = found.outputs[:, 0].astype(np.float64)
    fitted = line(predicted, found.gold)
    if fitted is None:
        return []
    residual = found.gold - (fitted[0] * predicted + fitted[1])
    examples = []
    for what, place in (
        ("smallest residual", int(np.argmin(np.abs(residual)))),
        ("largest residual above the line", int(np.argmax(residual))),
        ("largest residual below the line", int(np.argmin(residual))),
    ):
        numbers = f"gold {found.gold[place]:.2f}, predicted {predicted[place]:.2f}, residual {residual[place]:+.3f}"
        examples.append(_example(data, found, place, what, numbers))
    return examples


def _regression(data: ReportData) -> Figure | None:
    panels: list[dict[str, Any]] = []
    for arm in data.focus:
        found = _first_sts(data, arm)
        if found is None or found.gold is None:
            continue
        predicted = found.outputs[:, 0].astype(np.float64)
        fitted = line(predicted, found.gold)
        residual = None if fitted is None else found.gold - (fitted[0] * predicted + fitted[1])
        panels.append({
            "arm": arm.name,
            "seed": arm.seeds[0],
            "predicted": [round(float(value), 4) for value in predicted],
            "gold": [round(float(value), 4) for value in found.gold],
            "line": None if fitted is None else [round(part, 6) for part in fitted],
            "extremes": [] if residual is None else [int(np.argmin(np.abs(residual))), int(np.argmax(residual)), int(np.argmin(residual))],
        })  # fmt: skip
    if not panels:
        return None
    return Figure(
        name="sts-regression",
        drawing="regression",
        caption="sts on dev, one seed of each model: gold similarity (0 to 5) against the "
        "prediction, with the least-squares line. Circled: the smallest residual, and the "
        "largest above and below the line.",
        alt=f"Scatter plots of gold against predicted similarity for {len(panels)} models.",
        data={"panels": panels},
    )


def _first_sts(data: ReportData, arm: ArmResult) -> Predictions | None:
    return data.predictions(arm.name, arm.seeds[0], "sts") if "sts" in arm.tasks else None


def _example(data: ReportData, found: Predictions, place: int, what: str, numbers: str) -> Example:
    row = found.ids[place]
    return Example(what=what, id=row, numbers=numbers, sentences=data.sentences(found.task, row))


def _class(label: int | np.integer[Any]) -> str:
    return f"{label} ({SST_NAMES[int(label)]})"
