"""Reads a task from YAML. All errors are reported at once, each with file, line and key."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from mtl.documents.library import Library
from mtl.documents.validation import NOT_BLANK, Expected, FileModel, Problem, by_line, validated
from mtl.documents.yaml_file import YamlDocument, read_yaml
from mtl.errors import ConfigError, printable, short, suggestion
from mtl.tasks.task import (
    LOSS_KINDS,
    CourseData,
    Cut,
    Format,
    HubSource,
    Loss,
    Metric,
    Published,
    Split,
    TableData,
    Task,
)

LIBRARY = Library(kind="task", folder="tasks", package="mtl.tasks", inside="definitions")
METRICS: tuple[Metric, ...] = get_args(Metric)
FORMATS: tuple[Format, ...] = get_args(Format)
LOSSES: tuple[Loss, ...] = get_args(Loss)
NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
RESERVED = ("overall", "all", "auto", "same")
MAX_CLASSES = 1000
Text = Annotated[str, Field(min_length=1), NOT_BLANK]
Texts = Annotated[dict[str, Text], Field(min_length=1)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_words(value: Any) -> Any:
    """Label words as texts: `[0, 1]` is a list of the words "0" and "1"."""
    if not isinstance(value, list):
        return value
    return [str(item) if type(item) is int else item for item in value]


class CutFile(FileModel):
    """`{from: train, share: 0.1}`: a split that is cut from another."""

    source: Text = Field(alias="from")
    share: Annotated[float, Field(gt=0, lt=1)]


class HubFile(FileModel):
    """A course task's repository on the hub."""

    repository: Text
    revision: Text
    prefix: Text
    files: Texts
    columns: Texts
    index: Text | None = None


class CourseFile(FileModel):
    """The files of a task of the course."""

    stem: Text
    order: Annotated[int, Field(ge=1)]
    submission: Text
    header: Text


class DataFile(FileModel):
    """Where a task's rows are: files, a data set on the hub, or the course's files."""

    path: Text | None = None
    name: Text | None = None
    revision: Text | None = None
    data_files: Texts | None = None
    splits: Annotated[
        dict[Literal["train", "dev", "test"], Text | CutFile | None] | None,
        Expected("splits ({train: NAME, dev: NAME, test: NAME}; null: none; {from: train, share: "
                 "0.1}: cut from train)"),
    ] = None  # fmt: skip
    id: Text | None = None
    course: CourseFile | None = None
    hub: HubFile | None = None

    def problems(self) -> list[Problem]:
        """Keys of one kind of data beside another kind."""
        own = [key for key in ("path", "name", "revision", "data_files", "splits", "id")
               if getattr(self, key) is not None]  # fmt: skip
        if self.course is not None:
            if own or self.hub is None:
                message = "course: needs hub beside it, and no other key of data."
                return [Problem(uses=("data.course",), message=message)]
            return []
        if self.path is None:
            formats = ", ".join(FORMATS)
            message = f"data: expected path: one of {formats} with data_files, or a hub id."
            return [Problem(uses=("data.path", "data"), message=message)]
        return self._own_problems()

    def _own_problems(self) -> list[Problem]:
        found = []

        def add(key: str, message: str) -> None:
            found.append(Problem(uses=(f"data.{key}",), message=f"data.{key}: {message}"))

        if self.path in FORMATS:
            if not self.data_files:
                add("data_files", f"expected the files, as {{train: train.{self.path}}}.")
            for key in ("name", "revision"):
                if getattr(self, key) is not None:
                    add(key, "only for a data set on the hub. Leave it out.")
        else:
            if "/" not in str(self.path):
                near = suggestion(str(self.path), FORMATS)
                add("path", f"expected {', '.join(FORMATS)}, or a hub id (OWNER/NAME), got "
                    f"{short(self.path)}.{near}")  # fmt: skip
            if self.data_files:
                add("data_files", f"only for a path among {', '.join(FORMATS)}. Leave it out.")
        whole = [name for name in (self.splits or {}).values() if isinstance(name, str)]
        if len(set(whole)) < len(whole):
            add("splits", "two splits are the same rows. Cut one: {from: train, share: 0.1}.")
        sources = list(self.data_files or {})
        for split, source in (self.splits or {}).items():
            name = source.source if isinstance(source, CutFile) else source
            if sources and name is not None and name not in sources:
                add("splits", f"{split}: no split {short(name)} among data_files: "
                    f"{', '.join(sources)}.{suggestion(name, sources)}")  # fmt: skip
        return found


class HeadFile(FileModel):
    """The heads that `auto` means, and the task whose head is taken first."""

    siamese: Text | None = None
    concat: Text | None = None
    same_as: Text | None = Field(None, alias="as")


class PublishedFile(FileModel):
    """A published score."""

    score: float
    source: Text


class TaskFile(FileModel):
    """A task as written."""

    task: Annotated[str, Field(pattern=rf"^{NAME}$"), Expected("a name of letters, digits, _, -")]
    title: Text | None = None
    task_type: Annotated[
        Literal["classification", "regression"],
        Expected("classification or regression", choices=("classification", "regression")),
    ]
    text: Annotated[
        list[Text], BeforeValidator(_as_list), Field(min_length=1, max_length=2),
        Expected("one column or a list of two"),
    ]  # fmt: skip
    label: Text
    labels: Annotated[
        list[Text] | Texts | None, BeforeValidator(_as_words),
        Expected("a list of label words in order, or {word in the data: name}"),
    ] = None  # fmt: skip
    ordered: bool = False
    range: Annotated[list[float] | None, Expected("two numbers, as [0, 5]")] = None
    data: DataFile | None = None
    loss: Annotated[
        Loss | None, Expected(f"one of {', '.join(LOSSES)}", choices=LOSSES)
    ] = None  # fmt: skip
    metric: Annotated[Metric, Expected(f"one of {', '.join(METRICS)}", choices=METRICS)]
    metrics: Annotated[
        list[Metric], Expected(f"metrics among {', '.join(METRICS)}", choices=METRICS, each=True)
    ] = []  # fmt: skip
    head: Annotated[str | HeadFile | None, Expected("a head, or {siamese: HEAD, concat: HEAD}")] = (
        None
    )
    weight: Annotated[float, Field(ge=0)] = 1.0
    published: dict[str, PublishedFile] = {}
    citation: Text | None = None

    def problems(self) -> list[Problem]:
        """Keys that do not fit each other."""
        found: list[Problem] = []

        def add(key: str, message: str) -> None:
            found.append(Problem(uses=("task_type", key), message=f"{key}: {message}"))

        if self.task in RESERVED:
            add("task", f"{self.task} has a meaning of its own. Choose another name.")
        if len(set(self.text)) < len(self.text):
            add("text", f"{short(self.text)}: a column is named twice.")
        if self.label in self.text:
            add("label", f"{short(self.label)} is a column of text too. Name the label's column.")
        if self.task_type == "classification":
            names = self._names()
            if not names:
                add("labels", "expected the classes in order, as [negative, positive].")
            elif not 2 <= len(names) <= MAX_CLASSES:
                add("labels", f"expected 2 to {MAX_CLASSES} classes, got {len(names)}.")
            if len(set(names)) < len(names) or len(set(self._words())) < len(names):
                add("labels", "a class is named twice.")
            if self.range is not None:
                add("range", "only for task_type: regression. Leave it out.")
        else:
            for key in ("labels", "ordered"):
                if getattr(self, key):
                    add(key, "only for task_type: classification. Leave it out.")
            if self.range is not None and not (
                len(self.range) == 2 and self.range[0] < self.range[1]
            ):
                add("range", f"expected the lowest and the highest score, got {short(self.range)}.")
        found += self.data.problems() if self.data else []
        return found or self._fit_problems()

    def _fit_problems(self) -> list[Problem]:
        """A loss, metric or head that the task cannot have."""
        found = []
        task = build_task(self, Path())
        losses = [loss for loss in LOSSES if _fits(loss, len(task.class_names))]
        if task.loss not in losses:
            found.append(("loss", f"{task.loss} does not fit. Those that do: {', '.join(losses)}."))
        for key, names in (("metric", (task.metric,)), ("metrics", task.metrics)):
            for name in names:
                if name not in task.known_metrics:
                    known = ", ".join(task.known_metrics)
                    found.append((key, f"{name} is not defined here. Those that are: {known}."))
        for pairing, head in task.auto_heads.items():
            if head not in task.heads[pairing]:
                fitting = ", ".join(task.heads[pairing])
                found.append(("head", f"{short(head)} cannot take {pairing} pairs of this task. "
                              f"Heads that can: {fitting}."))  # fmt: skip
        return [Problem(uses=(key,), message=f"{key}: {text}") for key, text in found]

    def _names(self) -> list[str]:
        return list(self.labels.values()) if isinstance(self.labels, dict) else self.labels or []

    def _words(self) -> list[str]:
        return list(self.labels or [])


def _fits(loss: Loss, classes: int) -> bool:
    kind = LOSS_KINDS[loss]
    return (
        kind == "score" if classes == 0 else kind == "classes" or (kind, classes) == ("binary", 2)
    )


def read_task(path: Path) -> Task:
    """The task in a YAML file. Raises ConfigError with every problem, each with its line."""
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path}: expected a task (task: NAME, ...), got {short(document.value)}."
        )
    return task_from(document, path.parent)


def task_from(document: YamlDocument, folder: Path) -> Task:
    """The task of a mapping; its files are in `folder`. Raises ConfigError."""
    stand_ins = {"task": "x", "task_type": "regression", "text": ["x"], "label": "y",
                 "metric": "rmse"}  # fmt: skip
    model, messages = validated(TaskFile, [document], stand_ins=stand_ins)
    if messages:
        raise ConfigError("\n".join(by_line(messages)))
    return build_task(model, folder)


def build_task(model: TaskFile, folder: Path) -> Task:
    """The task of a file whose keys are right."""
    names, words = tuple(model._names()), tuple(model._words())
    low, high = (0.0, len(names) - 1.0) if names else model.range or (-math.inf, math.inf)
    usual: Loss = "mse" if not names else "bce" if len(names) == 2 else "cross_entropy"
    head = model.head if isinstance(model.head, HeadFile) else HeadFile()
    default = model.head if isinstance(model.head, str) else "same" if head.same_as else "auto"
    task = Task(
        name=model.task,
        title=model.title or model.task,
        sentence_columns=tuple(model.text),
        label_column=model.label,
        loss=model.loss or usual,
        class_names=names,
        label_words=words,
        ordered=model.ordered,
        low=low,
        high=high,
        metric=model.metric,
        metrics=tuple(dict.fromkeys(model.metrics)),
        weight=model.weight,
        default_head=default,
        auto_heads={},
        same_as=head.same_as,
        data=_data(model.data, folder),
        published={name: Published(score=one.score, source=one.source)
                   for name, one in model.published.items()},
        citation=model.citation,
    )  # fmt: skip
    usual_heads = {pairing: _usual_head(task, pairing) for pairing in task.heads}
    if isinstance(model.head, str):
        chosen = dict.fromkeys(usual_heads, model.head) if model.head != "auto" else {}
    else:
        chosen = {key: word for key, word in (("siamese", head.siamese), ("concat", head.concat))
                  if word is not None}  # fmt: skip
    return replace(task, auto_heads=usual_heads | chosen)


def _usual_head(task: Task, pairing: str) -> str:
    """What `auto` means where the file says nothing."""
    if not task.pair:
        return "mlp"
    return "features" if pairing == "siamese" else "linear"


def _data(model: DataFile | None, folder: Path) -> TableData | CourseData | None:
    if model is None:
        return None
    if model.course is not None and model.hub is not None:
        hub = HubSource(**model.hub.model_dump())
        return CourseData(**model.course.model_dump(), hub=hub)
    files = {
        name: Path(os.path.normpath(folder / Path(path).expanduser()))
        for name, path in (model.data_files or {}).items()
    }
    local = bool(files)
    return TableData(
        format=model.path if local else None,  # type: ignore[arg-type]
        files=files,
        repository="" if local else str(model.path),
        subset=model.name,
        revision=model.revision,
        splits=_splits(model, list(files)),
        id_column=model.id,
    )


def _splits(model: DataFile, sources: list[str]) -> dict[Split, str | Cut | None]:
    """The source of each split; one that is not named is that of its own name, if there is one."""
    names: dict[Split, tuple[str, ...]] = {
        "train": ("train",), "dev": ("dev", "validation", "val", "valid"), "test": ("test",)
    }  # fmt: skip
    splits: dict[Split, str | Cut | None] = {}
    for split, usual in names.items():
        given = (model.splits or {}).get(split)
        if given is not None or split in (model.splits or {}):
            cut = isinstance(given, CutFile)
            splits[split] = Cut(source=given.source, share=given.share) if cut else given  # type: ignore[union-attr,assignment]
        else:
            known = sources or list(usual[:1])
            splits[split] = next((name for name in usual if name in known), None)
    return splits


def definition_of(task: Task) -> dict[str, Any]:
    """What a record keeps of a task: all but its data, as a file has it."""
    head: Any = dict(task.auto_heads) | ({"as": task.same_as} if task.same_as else {})
    stored = {
        "task": task.name,
        "title": task.title,
        "task_type": "classification" if task.class_names else "regression",
        "text": list(task.sentence_columns),
        "label": task.label_column,
        "labels": _labels(task),
        "ordered": task.ordered,
        "range": [task.low, task.high] if task.bounded and not task.class_names else None,
        "loss": task.loss,
        "metric": task.metric,
        "metrics": list(task.metrics),
        "head": task.default_head if task.default_head not in ("auto", "same") else head,
        "weight": task.weight,
        "published": {
            name: {"score": one.score, "source": one.source} for name, one in task.published.items()
        },
        "citation": task.citation,
    }
    return {key: value for key, value in stored.items() if value not in (None, {}, [], False)}


def _labels(task: Task) -> list[str] | dict[str, str] | None:
    """The classes as a file lists them: by word where their names are others."""
    if task.class_names == task.label_words:
        return list(task.class_names) or None
    return dict(zip(task.label_words, task.class_names, strict=True))


def stored_task(value: Any, source: str) -> Task:
    """The task that `definition_of` stored. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f"{printable(source)}: expected a task, got {short(value)}.")
    return task_from(YamlDocument(source=source, value=value), Path())
