"""Reads a task from YAML. All errors are reported at once, each with file, line and key."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl.documents.library import Library
from mtl.documents.validation import Problem, by_line, validated
from mtl.documents.yaml_file import YamlDocument, read_yaml
from mtl.errors import ConfigError, printable, short
from mtl.tasks.file import LOSSES, USUAL_SOURCES, CutFile, DataFile, HeadFile, TaskFile
from mtl.tasks.task import (
    LOSS_KINDS,
    CourseData,
    Cut,
    HubSource,
    Loss,
    Published,
    Split,
    TableData,
    Task,
)

LIBRARY = Library(kind="task", folder="tasks", package="mtl.tasks", inside="definitions")


def read_task(path: Path) -> Task:
    """The task in a YAML file. Raises ConfigError with every problem, each with its line."""
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        came = "nothing" if document.value is None else short(document.value)
        raise ConfigError(f"{path}: expected a task (task: NAME, ...), got {came}.")
    return task_from(document, path.parent)


def task_from(document: YamlDocument, folder: Path) -> Task:
    """The task of a mapping; its files are in `folder`. Raises ConfigError."""
    stand_ins = {"task": "x", "task_type": "regression", "text": ["x"], "label": "y",
                 "metric": "rmse"}  # fmt: skip
    model, messages = validated(TaskFile, [document], stand_ins=stand_ins, further=_misfits)
    if messages:
        raise ConfigError("\n".join(by_line(messages)))
    return build_task(model, folder)


def _misfits(model: TaskFile) -> list[Problem]:
    """Losses, metrics and heads that the task cannot have, with the remedy."""
    if not model.consistent():
        return []  # what fits is not known
    task = build_task(model, Path())
    found = []
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
            found.append(("head", f"{short(head)} does not fit pairing={pairing} of this task. "
                          f"Heads that do: {fitting}."))  # fmt: skip
    needs = ("task_type", "text", "labels", "range", "loss")
    return [Problem(uses=(key,), needs=needs, message=f"{key}: {text}") for key, text in found]


def _fits(loss: Loss, classes: int) -> bool:
    kind = LOSS_KINDS[loss]
    return (
        kind == "score" if classes == 0 else kind == "classes" or (kind, classes) == ("binary", 2)
    )


def build_task(model: TaskFile, folder: Path) -> Task:
    """The task of a file whose keys are right."""
    names, words = tuple(model.names()), tuple(model.words())
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
        name: Path(os.path.normpath(folder / os.path.expanduser(path)))
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
    """The source of each split; one that is not named is that of its usual name.

    Of files, the first that is there; of a data set on the hub, the hub's usual name.
    """
    splits: dict[Split, str | Cut | None] = {}
    for split, usual in USUAL_SOURCES.items():
        given = (model.splits or {}).get(split)
        if given is not None or split in (model.splits or {}):
            cut = isinstance(given, CutFile)
            splits[split] = Cut(source=given.source, share=given.share) if cut else given  # type: ignore[union-attr,assignment]
        else:
            known = sources or ["train", "validation", "test"]
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
    # By identity: a weight of 0 equals False.
    return {key: value for key, value in stored.items()
            if value is not None and value is not False and value not in ({}, [])}  # fmt: skip


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
