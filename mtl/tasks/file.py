"""What a task's file may say, key by key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from mtl.documents.validation import NOT_BLANK, Expected, FileModel, Problem
from mtl.errors import short, suggestion
from mtl.tasks.task import Format, Loss, Metric

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
            names = self.names()
            if not names:
                add("labels", "expected the classes in order, as [negative, positive].")
            elif not 2 <= len(names) <= MAX_CLASSES:
                add("labels", f"expected 2 to {MAX_CLASSES} classes, got {len(names)}.")
            if len(set(names)) < len(names) or len(set(self.words())) < len(names):
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
        return found

    def names(self) -> list[str]:
        """The names of the classes, in order."""
        return list(self.labels.values()) if isinstance(self.labels, dict) else self.labels or []

    def words(self) -> list[str]:
        """The words of the classes in the data, in order."""
        return list(self.labels or [])
