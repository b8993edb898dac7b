"""The tasks: what a row of each looks like, what a model must put out for it, and how it is scored.

Source of the files and the scores: the CS224N default project. No torch here: reports read tasks too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["sst", "quora", "sts"]
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Kind = Literal["classes", "binary", "score"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    `outputs` is the number of values a head puts out for a row: 5 logits for `classes`, one logit for `binary`, one
    score in the gold label's unit for `score`. `low` and `high` bound the gold label; labels of classes and binary
    tasks are whole numbers. `metric` is the one that counts towards `overall`.
    """

    name: TaskName
    title: str
    stem: str
    label_column: str
    sentence_columns: tuple[str, ...]
    kind: Kind
    outputs: int
    low: float
    high: float
    metric: Literal["accuracy", "pearson"]

    @property
    def pair(self) -> bool:
        """Whether a row holds two sentences."""
        return len(self.sentence_columns) == 2

    @property
    def metric_key(self) -> str:
        """The metric that counts, as a path below the split: `sts/pearson`."""
        return f"{self.name}/{self.metric}"

    def file_name(self, split: Split) -> str:
        """The name of the course's file for a split: `ids-sst-dev.csv`."""
        return f"{self.stem}-{split}.csv"


TASKS: dict[TaskName, Task] = {
    "sst": Task(
        name="sst", title="SST-5 sentiment", stem="ids-sst", label_column="sentiment",
        sentence_columns=("sentence",), kind="classes", outputs=5, low=0, high=4, metric="accuracy",
    ),
    "quora": Task(
        name="quora", title="Quora paraphrase", stem="quora", label_column="is_duplicate",
        sentence_columns=("sentence1", "sentence2"), kind="binary", outputs=1, low=0, high=1, metric="accuracy",
    ),
    "sts": Task(
        name="sts", title="STS similarity", stem="sts", label_column="similarity",
        sentence_columns=("sentence1", "sentence2"), kind="score", outputs=1, low=0, high=5, metric="pearson",
    ),
}  # fmt: skip
