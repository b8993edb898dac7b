"""The description of a task: its files, labels, heads, metric and sources. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TaskName = Literal["sst", "quora", "sts"]
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Kind = Literal["classes", "binary", "score"]


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A task's repository on the Hugging Face hub, at one fixed revision.

    `files` maps the repository's splits to paths in it. `columns` maps the task's columns to those
    of the repository. `index` is the column that numbers the rows; if None, a row's number is its
    place in the file. `prefix` begins the ids of the rows.
    """

    repository: str
    revision: str
    prefix: str
    files: Mapping[str, str]
    columns: Mapping[str, str]
    index: str | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    `outputs` is the number of values that a head returns for a row: one logit per class for
    `classes`, one logit for `binary`, one score in the unit of the gold label for `score`. `low`
    and `high` bound the gold label. Labels of `classes` and `binary` tasks are whole numbers, named
    in order by `class_names`. `heads` lists the heads that fit, by pairing ("siamese" or "concat");
    `auto_heads` is what the head `auto` means. `metric` is the metric that counts in `overall`.
    `citation` is the source of the data; None if reports cite none.

    >>> from mtl.tasks.registry import TASKS
    >>> TASKS["sts"].file_name("dev"), TASKS["sts"].metric_key, TASKS["sts"].auto_heads["concat"]
    ('sts-dev.csv', 'sts/pearson', 'linear')
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
    hub: HubSource
    class_names: tuple[str, ...] = ()
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    auto_heads: Mapping[str, str] = field(default_factory=dict)
    citation: str | None = None

    @property
    def pair(self) -> bool:
        """Whether a row holds two sentences."""
        return len(self.sentence_columns) == 2

    @property
    def metric_key(self) -> str:
        """The key of the metric that counts in `overall`, without the split: `sts/pearson`."""
        return f"{self.name}/{self.metric}"

    def file_name(self, split: Split) -> str:
        """The course's file name for a split: `ids-sst-dev.csv`."""
        return f"{self.stem}-{split}.csv"

    @property
    def student_file(self) -> str:
        """The course's file of test sentences without labels: `ids-sst-test-student.csv`."""
        return f"{self.stem}-test-student.csv"
