"""Scores dev and a slice of the training rows, and decides which evaluation counts."""

from __future__ import annotations

from dataclasses import dataclass

from mtl.inference.evaluate import Evaluator
from mtl.runs.folder import RunFolder
from mtl.runs.halves import HALVES, overall_of_half, with_half
from mtl.runs.prepare import Prepared
from mtl.tasks.metrics import Predictions, score_all
from mtl.training.state import Diverged, State, finite


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Predictions for both splits, and their metrics by path (`dev/sts/pearson`).

    `reasons` says why a metric is None.
    """

    predictions: tuple[Predictions, ...]
    metrics: dict[str, float | None]
    reasons: dict[str, str]


def evaluate(evaluator: Evaluator, prepared: Prepared) -> Evaluation:
    """Score dev and the slice of train. Raises Diverged where an output is not finite."""
    config = prepared.config
    splits = {"dev": prepared.dev, "train": prepared.train_slice}
    by_split = {split: evaluator.predict_all(rows) for split, rows in splits.items()}
    metrics: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for split, predictions in by_split.items():
        for task, part in predictions.items():
            if not all(map(finite, part.outputs.ravel())):
                raise Diverged(f"an output for {split}/{task} is not finite")
        scores = score_all(predictions, config.tasks, config.overall, split)
        metrics |= scores.metrics
        reasons |= scores.reasons
    parts = tuple(part for predictions in by_split.values() for part in predictions.values())
    return Evaluation(predictions=parts, metrics=metrics, reasons=reasons)


def is_better(evaluation: Evaluation, state: State) -> bool:
    """Whether an evaluation beats the selected one by `dev/overall`.

    An evaluation is kept until one has a score: where none has, the last one is selected.
    """
    if state.best_overall is None:
        return True
    overall = evaluation.metrics["dev/overall"]
    return overall is not None and overall > state.best_overall


def select_by_halves(evaluation: Evaluation, state: State, folder: RunFolder, rule: str) -> None:
    """Keep the predictions of each half of dev where the other half has its best evaluation yet.

    `rule` is that of the overall score. A run whose first evaluation was not kept so, by an earlier
    version, stays without.
    """
    if state.best_step is not None and not state.half_steps:
        return
    dev = {part.task: part for part in evaluation.predictions if part.split == "dev"}
    for half in HALVES:
        overall, best = overall_of_half(dev, half, rule), state.half_overall.get(str(half))
        first = str(half) not in state.half_steps
        if not (first or (overall is not None and (best is None or overall > best))):
            continue
        state.half_steps[str(half)], state.half_overall[str(half)] = state.step, overall
        for task, now in dev.items():
            before = now if first and half == HALVES[0] else folder.cross_fitted(task)
            folder.save_cross_fitted(with_half(before, now, 1 - half))


def select(evaluation: Evaluation, state: State, folder: RunFolder) -> None:
    """Make an evaluation of the current step the run's result, and save its predictions."""
    state.best_step, state.best_overall = state.step, evaluation.metrics["dev/overall"]
    state.selected, state.reasons = evaluation.metrics, evaluation.reasons
    for predictions in evaluation.predictions:
        folder.save_predictions(predictions)


def say_if_undefined(state: State) -> None:
    """Say in the reasons of a run that its last evaluation was kept, as none has had a score."""
    if state.best_overall is None:
        reason = state.reasons.get("dev/overall", "no reason recorded")
        kept = "no evaluation had a score, so the last one was kept"
        state.reasons = state.reasons | {"dev/overall": f"{reason}; {kept}"}
