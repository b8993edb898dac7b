"""Scores dev and a slice of the training rows, and decides which evaluation counts."""

from __future__ import annotations

from dataclasses import dataclass

from mtl.inference.evaluate import Evaluator
from mtl.runs.folder import RunFolder
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
    """Whether an evaluation beats the selected one by `dev/overall`; the first always does."""
    if state.best_step is None:
        return True
    overall = evaluation.metrics["dev/overall"]
    return overall is not None and (state.best_overall is None or overall > state.best_overall)


def select(evaluation: Evaluation, state: State, folder: RunFolder) -> None:
    """Make an evaluation of the current step the run's result, and save its predictions."""
    state.best_step, state.best_overall = state.step, evaluation.metrics["dev/overall"]
    state.selected, state.reasons = evaluation.metrics, evaluation.reasons
    for predictions in evaluation.predictions:
        folder.save_predictions(predictions)
