"""The numbers that a report puts beside ours, and which of our arms they belong beside.

Source: Gorti & Thiesmeyer, *Freeze Your Layers* (Stanford CS224N 2023): BERT-base, the course's
data, one seed each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mtl.config.presets import PRESETS
from mtl.config.schema import RunConfig
from mtl.documents.keys import merge
from mtl.methods.toggles import methods_of
from mtl.tasks.registry import differing
from mtl.tasks.task import Task

Row = Literal["baseline", "final", "concat"]

PAPER = "Gorti & Thiesmeyer 2023"

SCORES: dict[tuple[Row, str], dict[str, float]] = {
    ("baseline", "dev"): {"sst": 0.508, "quora": 0.811, "sts": 0.551, "overall": 0.623},
    ("final", "dev"): {"sst": 0.498, "quora": 0.817, "sts": 0.690, "overall": 0.668},
    ("final", "test"): {"sst": 0.518, "quora": 0.819, "sts": 0.643, "overall": 0.660},
    ("concat", "dev"): {"sst": 0.494, "quora": 0.881, "sts": 0.865, "overall": 0.747},
}
"""Accuracy of sst and quora, Pearson's r of sts, and their plain mean, by model and split."""

_RECALLS = {"sst": (0.42, 0.73, 0.07, 0.66, 0.47)}
"""The final model's dev accuracy on the gold classes of a task, from 0."""


def recalls(task: Task) -> tuple[float, ...]:
    """The published accuracy on each gold class; none for a task that is not the paper's."""
    same = not differing([task.name])
    return _RECALLS.get(task.name, ()) if same else ()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published model, and how tables call it."""

    row: Row
    title: str


REFERENCES = (
    Reference(row="baseline", title="baseline"),
    Reference(row="final", title="final"),
    Reference(row="concat", title="concatenated pairs"),
)


def published_row(config: RunConfig) -> Row | None:
    """The published model with the same methods on as `config`, or None.

    All toggles count but those whose entry in `mtl.methods.toggles` says that they may differ.
    """
    for row, _ in SCORES:
        preset = RunConfig.model_validate(merge({}, PRESETS[row]))
        if methods_of(config) == methods_of(preset):
            return row
    return None
