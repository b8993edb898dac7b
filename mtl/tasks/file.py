"""What a task's file may say, key by key."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from mtl.documents.validation import NOT_BLANK, Expected, FileModel, Problem
from mtl.errors import short, suggestion
from mtl.tasks.task import Format, Loss, Metric, Split

METRICS: tuple[Metric, ...] = get_args(Metric)
FORMATS: tuple[Format, ...] = get_args(Format)
LOSSES: tuple[Loss, ...] = get_args(Loss)
NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
RESERVED = ("overall", "all", "auto", "same")
MAX_CLASSES = 1000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
USUAL_SOURCES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train",), "dev": ("dev", "validation", "val", "valid"), "test": ("test",)
}  # fmt: skip
"""The names in `data_files` that a split has where `splits` does not name its source."""
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
        return [*self._own_problems(), *self._split_problems()]

    def _problem(self, key: str, message: str) -> Problem:
        where = f"data.{key}" if key in self.model_fields_set else "data"
        return Problem(uses=(where,), needs=(f"data.{key}",), message=f"data.{key}: {message}")

    def _own_problems(self) -> list[Problem]:
        """Keys that do not fit `path`."""
        if self.path in FORMATS:
            found = [
                self._problem(key, "only for a data set on the hub. Leave it out.")
                for key in ("name", "revision")
                if getattr(self, key) is not None
            ]
            if not self.data_files:
                files = f"expected the files, as {{train: train.{self.path}}}."
                found.append(self._problem("data_files", files))
            return found
        if "/" not in str(self.path):
            near = suggestion(str(self.path), FORMATS)
            known = f"expected {', '.join(FORMATS)}, or a hub id (OWNER/NAME)"
            return [self._problem("path", f"{known}, got {short(self.path)}.{near}")]
        if self.data_files:
            remedy = f"only for a path among {', '.join(FORMATS)}. Leave it out."
            return [self._problem("data_files", remedy)]
        return []

    def _split_problems(self) -> list[Problem]:
        """Splits that share rows or have none, and files that no split uses."""
        found = []
        remedy = "Cut one: {from: train, share: 0.1}."
        whole = [name for name in (self.splits or {}).values() if isinstance(name, str)]
        if len(set(whole)) < len(whole):
            found.append(self._problem("splits", f"two splits are the same rows. {remedy}"))
        shares: dict[str, float] = {}
        named = {}
        for split, source in (self.splits or {}).items():
            name = source.source if isinstance(source, CutFile) else source
            named[split] = name
            if isinstance(source, CutFile):
                shares[source.source] = shares.get(source.source, 0.0) + source.share
        for name, share in shares.items():
            if share >= 1:
                text = f"the shares cut from {short(name)} add up to {share:g}, expected below 1."
                found.append(self._problem("splits", text))
        files = self.data_files or {}
        for split, name in named.items():
            if files and name is not None and name not in files:
                text = f"{split}: no split {short(name)} among data_files: {', '.join(files)}."
                found.append(self._problem("splits", text + suggestion(name, files)))
        usual = [name for names in USUAL_SOURCES.values() for name in names]
        for name in files:
            if name not in named.values() and name not in usual:
                text = f"no split uses {short(name)}. Name it under splits, or leave it out."
                found.append(self._problem("data_files", text + suggestion(name, usual)))
        paths = [os.path.normpath(os.path.expanduser(path)) for path in files.values()]
        if len(set(paths)) < len(paths):
            found.append(self._problem("data_files", f"two of them are the same file. {remedy}"))
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
    label: Annotated[Text, Expected("the column of the labels")]
    labels: Annotated[
        list[Text] | Texts | None, BeforeValidator(_as_words),
        Expected("a list of label words in order, or {word in the data: name}; words that YAML "
                 "takes for something else in quotes"),
    ] = None  # fmt: skip
    ordered: bool = False
    range: Annotated[list[float] | None, Expected("two numbers, as [0, 5]")] = None
    data: DataFile | None = None
    loss: Annotated[
        Loss | None, Expected(f"one of {', '.join(LOSSES)}", choices=LOSSES)
    ] = None  # fmt: skip
    metric: Annotated[Metric, Expected(f"one of {', '.join(METRICS)}", choices=METRICS)]
    metrics: Annotated[
        list[Metric], BeforeValidator(_as_list),
        Expected(f"metrics among {', '.join(METRICS)}", choices=METRICS, each=True),
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
            where = key if key in self.model_fields_set else "task_type"
            needs = ("task_type", key) if key in ("labels", "ordered", "range") else ()
            found.append(Problem(uses=(where,), needs=needs, message=f"{key}: {message}"))

        if self.task in RESERVED:
            add("task", f"{self.task} has a meaning of its own. Choose another name.")
        if len(set(self.text)) < len(self.text):
            add("text", f"{short(self.text)}: a column is named twice.")
        if self.label in self.text:
            add("label", f"{short(self.label)} is a column of text too. Name the label's column.")
        if self.title and _CONTROL.search(self.title):
            add("title", f"{short(self.title)} holds a control character. Remove it.")
        if "id" in (*self.text, self.label):
            add("text" if "id" in self.text else "label", "the column 'id' holds the rows' ids. "
                "Rename it in the data.")  # fmt: skip
        if isinstance(self.head, HeadFile) and self.head.same_as == self.task:
            add("head", "as: expected another task than this one.")
        if self.task_type == "classification":
            names = self.names()
            if not names:
                add("labels", "expected the classes in order, as [negative, positive].")
            elif not 2 <= len(names) <= MAX_CLASSES:
                add("labels", f"expected 2 to {MAX_CLASSES} classes, got {len(names)}.")
            if len(set(names)) < len(names) or len(set(self.words())) < len(names):
                add("labels", "a class is named twice.")
            if control := [name for name in names if _CONTROL.search(name)]:
                add("labels", f"{short(control[0])} holds a control character. Name the class "
                    "otherwise: {word in the data: name}.")  # fmt: skip
            if any(word != word.strip() for word in self.words()):
                add("labels", "a word begins or ends with a blank; blanks around labels are "
                    "ignored. Remove it.")  # fmt: skip
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
        return found

    def consistent(self) -> bool:
        """Whether type, labels and range say what the task is."""
        if self.task_type == "classification":
            return len(self.names()) >= 2
        return not self.labels and (self.range is None or len(self.range) == 2)

    def names(self) -> list[str]:
        """The names of the classes, in order."""
        return list(self.labels.values()) if isinstance(self.labels, dict) else self.labels or []

    def words(self) -> list[str]:
        """The words of the classes in the data, in order."""
        return list(self.labels or [])
