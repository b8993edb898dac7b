"""The description of a task: its text, labels, loss, metrics, heads and data. No torch.

A task is a YAML file (`mtl.tasks.definition`). `mtl.tasks.registry` finds tasks by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

TaskName = str
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
Kind = Literal["classes", "binary", "score"]
Loss = Literal["cross_entropy", "bce", "mse"]
LOSS_KINDS: Mapping[Loss, Kind] = {"cross_entropy": "classes", "bce": "binary", "mse": "score"}
"""What a head returns for each loss: a logit per class, one logit, or a score."""
Metric = Literal["accuracy", "macro_f1", "f1", "mcc", "auc", "pearson", "spearman", "rmse"]
METRIC_NAMES: Mapping[Metric, str] = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "f1": "F1",
    "mcc": "Matthews correlation",
    "auc": "AUC",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "rmse": "root mean squared error",
}
CLASS_METRICS: tuple[Metric, ...] = ("accuracy", "macro_f1", "mcc")
BINARY_METRICS: tuple[Metric, ...] = (*CLASS_METRICS, "f1", "auc")
SCORE_METRICS: tuple[Metric, ...] = ("pearson", "spearman", "rmse")
CORRELATIONS: tuple[Metric, ...] = ("pearson", "spearman")
"""The metrics that the rule `shifted` of the overall score maps to (r + 1) / 2."""
ERRORS: tuple[Metric, ...] = ("rmse",)
"""The metrics of which less is better; the overall score counts their negative."""
Format = Literal["csv", "tsv", "json", "parquet"]


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A course task's repository on the Hugging Face hub, at one fixed revision.

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
class Cut:
    """A split that is cut from another one: the rows with the lowest hashes of their ids.

    `share` is the share of the rows, between 0 and 1.
    """

    source: str
    share: float


@dataclass(frozen=True, kw_only=True)
class TableData:
    """A task's own data: files beside its YAML, or a data set on the hub at one revision.

    `format` is that of the files; None for a hub data set, which `repository`, `subset` and
    `revision` name. `files` maps a split of the source to its file. `splits` maps train, dev and
    test to a split of the source, to a `Cut`, or to None. `id_column` is the column with the rows'
    ids; None: a row's number is its id.
    """

    format: Format | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    repository: str = ""
    subset: str | None = None
    revision: str | None = None
    splits: Mapping[Split, str | Cut | None]
    id_column: str | None = None


@dataclass(frozen=True, kw_only=True)
class CourseData:
    """A task of the course: files `STEM-SPLIT.csv` in the folder `data`, the sample, or the hub.

    `order` is its place among these tasks: in tables, and in what identity hashes. `submission` and
    `header` are the course's names of the task and of its predictions in files to hand in.
    """

    stem: str
    order: int
    submission: str
    header: str
    hub: HubSource


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published score of the task, and where it stands."""

    score: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task.

    `sentence_columns` names one or two columns of text, `label_column` that of the label.
    `class_names` names the classes of a classification in order, `label_words` are their words in
    the data; both are empty for a regression. `ordered` marks grades. `low` and `high` bound the
    score of a regression; they may be infinite. `metric` is the one that counts in `overall`, with
    `weight`; `metrics` are recorded too. `default_head` is the head without a setting: a head,
    `auto`, or `same`. `auto_heads` is what `auto` means, by pairing; `same_as` is the task whose
    head `same` takes. `data` is None where only the task's outputs are known.

    >>> from mtl.tasks.registry import TASKS
    >>> TASKS["sts"].metric_key, TASKS["sts"].auto_heads["concat"], TASKS["sst"].outputs
    ('sts/pearson', 'linear', 5)
    """

    name: TaskName
    title: str
    sentence_columns: tuple[str, ...]
    label_column: str
    loss: Loss
    class_names: tuple[str, ...] = ()
    label_words: tuple[str, ...] = ()
    ordered: bool = False
    low: float = -math.inf
    high: float = math.inf
    metric: Metric
    metrics: tuple[Metric, ...] = ()
    weight: float = 1.0
    default_head: str = "auto"
    auto_heads: Mapping[str, str]
    same_as: TaskName | None = None
    data: TableData | CourseData | None = None
    published: Mapping[str, Published] = field(default_factory=dict)
    citation: str | None = None

    @property
    def kind(self) -> Kind:
        """What the head returns: a logit per class, one logit (`binary`), or a score."""
        return LOSS_KINDS[self.loss]

    @property
    def outputs(self) -> int:
        """The number of values that a head returns for a row."""
        return len(self.class_names) if self.kind == "classes" else 1

    @property
    def pair(self) -> bool:
        """Whether a row holds two sentences."""
        return len(self.sentence_columns) == 2

    @property
    def numbered(self) -> bool:
        """Whether the data writes the classes as their numbers, from 0."""
        return self.label_words == tuple(map(str, range(len(self.label_words))))

    @property
    def bounded(self) -> bool:
        """Whether gold labels have a lowest and a highest value."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def metric_key(self) -> str:
        """The key of the metric that counts in `overall`, without the split: `sts/pearson`."""
        return f"{self.name}/{self.metric}"

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The heads that fit, by pairing ("siamese" or "concat")."""
        one = ("mlp", "linear") if not self.pair else ("linear", "mlp")
        if not self.pair:
            return {"siamese": one, "concat": one}
        two: tuple[str, ...] = ("features",)
        if self.outputs == 1:
            two = ("dot", "cosine", "features") if self.kind == "score" else ("dot", "features")
        if self.kind == "score" and not self.bounded:
            two = ("dot", "features")  # a cosine needs the range that it is scaled to
        return {"siamese": two, "concat": one}

    @property
    def head_words(self) -> tuple[str, ...]:
        """All that `heads.NAME` may say."""
        same = ("same",) if self.same_as else ()
        return ("auto", *same, *dict.fromkeys(head for fit in self.heads.values() for head in fit))

    @property
    def known_metrics(self) -> tuple[Metric, ...]:
        """The metrics that are defined for the task."""
        if not self.class_names:
            return SCORE_METRICS
        return BINARY_METRICS if len(self.class_names) == 2 else CLASS_METRICS

    def identity(self) -> dict[str, Any]:
        """What changes the numbers of a run: no paths, columns or titles."""
        return {
            "task_type": "classification" if self.class_names else "regression",
            "sentences": len(self.sentence_columns),
            "labels": list(self.class_names),
            "range": [self.low, self.high] if self.bounded and not self.class_names else None,
            "loss": self.loss,
            "metric": self.metric,
            "weight": self.weight,
        }

    @property
    def course(self) -> CourseData:
        """The course's files. The caller knows that the task is of the course."""
        assert isinstance(self.data, CourseData), self.name
        return self.data

    def file_name(self, split: Split) -> str:
        """The course's file name for a split: `ids-sst-dev.csv`."""
        return f"{self.course.stem}-{split}.csv"

    @property
    def student_file(self) -> str:
        """The course's file of test sentences without labels: `ids-sst-test-student.csv`."""
        return f"{self.course.stem}-test-student.csv"
