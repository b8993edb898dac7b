"""The settings `losses.*`: what each task's outputs are trained with. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from mtl.config.idle import ADDED_LATER, Idle
from mtl.config.sections import Pairing, Section, Train
from mtl.documents.validation import Problem
from mtl.errors import short, suggestion
from mtl.tasks.registry import TASKS, unknown_task
from mtl.tasks.task import Task, TaskName

BATCHWISE = ("cosent", "mnrl")
"""The losses that compare the rows of a batch with each other."""


def _without(*words: str) -> Idle:
    """A setting that only these losses have."""
    return Idle(
        when=lambda run: not any(run.losses.of(task) in words for task in run.tasks),
        why=f"no task has the loss {' or '.join(words)}. Set losses.NAME={words[0]}, or leave it "
        "out.",
    )


def _setting(default: float, description: str) -> Any:
    return Field(default, exclude_if=lambda value: value == default, description=description)


class Losses(Section):
    """The training loss of each task; what is not set has the loss of the task's file.

    Of classes, and of two classes with one logit: cross_entropy, bce: the plain losses.
    label_smoothing: a share of each target is spread over all classes (Szegedy et al. 2016).
    focal: rows that are already right count less (Lin et al. 2017). class_weights: rows count in
    inverse proportion to how frequent their class is in training. ordinal: near grades count as
    partly right (Diaz & Marathe 2019), where the task's classes are `ordered`. mnrl: bce, and for
    each positive pair the softmax over the second sentences of the batch's positive pairs
    (Henderson et al. 2017), for pairing=siamese. Of scores: mse: the plain loss. cosent: a lower
    label shall have a lower score, whatever their distance (Su 2022).

    A loss is a mean over rows. Scores are the same whatever the loss, and so is the rule that
    selects weights.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    smoothing: Annotated[float, Field(gt=0, lt=1), _without("label_smoothing"), ADDED_LATER] = (
        _setting(0.1, "share of each target that label_smoothing spreads over all classes")
    )
    gamma: Annotated[float, Field(gt=0), _without("focal"), ADDED_LATER] = _setting(
        2.0, "exponent of focal: a row counts (1 - p) ** gamma, where p is its class's probability"
    )
    scale: Annotated[float, Field(gt=0), _without(*BATCHWISE), ADDED_LATER] = _setting(
        20.0, "what cosent and mnrl multiply similarities by before they compare them"
    )

    def of(self, task: TaskName) -> str:
        """The loss of a task: the one that is set, or that of its file."""
        return str(self.written().get(task, TASKS[task].loss))

    def ranks(self, task: TaskName) -> bool:
        """Whether a task's loss learns the order of scores alone, not their size."""
        return self.of(task) == "cosent"

    def written(self) -> dict[TaskName, Any]:
        """The losses that are set, by task."""
        return dict(self.__pydantic_extra__ or {})

    def is_default(self) -> bool:
        """Whether nothing is set."""
        return self == Losses()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        words = {
            task.name: {
                "type": "string",
                "enum": list(loss_words(task)),
                "default": task.loss,
                "description": loss_description(task),
            }
            for task in TASKS.readable()
        }
        schema["properties"] = words | schema["properties"]
        return dict(schema)


def loss_words(task: Task) -> tuple[str, ...]:
    """All that `losses.NAME` may say.

    >>> loss_words(TASKS["sts"])
    ('mse', 'cosent')
    """
    if task.kind == "score":
        return (task.loss, "cosent")
    words = (task.loss, "label_smoothing", "focal", "class_weights")
    if task.kind == "classes":
        return (*words, "ordinal") if task.ordered else words
    return (*words, "mnrl") if task.pair else words


def loss_description(task: Task) -> str:
    """What the setting of a task means."""
    return f"training loss of {task.name}"


def loss_problems(
    losses: Losses, tasks: Sequence[TaskName], pairing: Pairing, train: Train
) -> list[Problem]:
    """Losses of unknown tasks, unknown losses, and losses that the other settings exclude."""
    problems = []
    for name, word in losses.written().items():
        key = f"losses.{name}"
        if name not in TASKS:
            message = f"{key}: unknown key: {unknown_task(name)}"
        elif word not in (words := loss_words(TASKS[name])):
            message = f"{key}: expected one of {', '.join(words)}, got {short(word)}."
            message += suggestion(word, words) if isinstance(word, str) else ""
            if word == "ordinal" and TASKS[name].kind == "classes":
                message += f" If its classes are grades, say `ordered: true` in the file of {name}."
        else:
            if name in tasks:
                problems += _exclusions(str(word), TASKS[name], pairing, train)
            continue
        problems.append(Problem(uses=(key,), message=message))
    return problems


def _exclusions(word: str, task: Task, pairing: Pairing, train: Train) -> list[Problem]:
    """What a task's loss cannot stand beside."""
    if word not in BATCHWISE:
        return []
    key, plain = f"losses.{task.name}", f"losses.{task.name}={task.loss}"
    rows = "compares the rows of a batch with each other"
    reasons: dict[str, str] = {}
    if train.batch_size == 1:
        reasons["train.batch_size"] = f"{rows}; train.batch_size=1 has one. Use a larger batch"
    elif train.accumulate > 1:
        reasons["train.accumulate"] = (
            f"{rows}; train.accumulate={train.accumulate} runs them apart. Use train.accumulate=1"
        )
    if word == "cosent" and "rmse" in (task.metric, *task.metrics):
        reasons["tasks"] = (
            f"learns the order of scores, not their size, so the rmse of {task.name} would say "
            "nothing. Take rmse out of its file"
        )
    if word == "mnrl" and pairing == "concat":
        reasons["pairing"] = (
            "compares a first sentence with the second ones of other pairs, and pairing=concat "
            "reads both at once. Use pairing=siamese"
        )
    return [
        Problem(uses=(other, key), message=f"{key}={word} {why}, or {plain}.")
        for other, why in reasons.items()
    ]
