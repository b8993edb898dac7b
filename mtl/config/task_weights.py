"""The settings `task_weights.*`: what each task's loss is multiplied by, or the rule that says so.

No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field

from mtl.config.idle import ADDED_LATER, ONE_WEIGHT
from mtl.config.sections import Section
from mtl.documents.validation import Expected, wrong
from mtl.errors import short, suggestion
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

WeightRule = Literal["fixed", "uncertainty", "dwa"]
RULES: tuple[str, ...] = get_args(WeightRule)
RULE = "task_weights.rule"

_RULE = Expected(
    f"{', '.join(RULES[:-1])} or {RULES[-1]} (this key is the rule of the weights; a task called "
    "rule cannot have a weight)",
    choices=RULES,
)


class TaskWeights(Section):
    """What each task's loss is multiplied by before the losses are added: a number for each task,
    or a rule that finds the numbers. `task_weights=dwa` is short for `task_weights.rule=dwa`.

    A rule weighs a task's loss with its penalty, as the logs show it: they have no weights. A
    weight acts in full in a step of several tasks (schedule=joint or consolidated). In a step of
    one task, clipping divides it out again where the gradient is longer than train.max_grad_norm;
    the record has the share of such steps. AdamW cancels a constant weight in the task's own head.

    uncertainty: the loss is the sum of exp(-s) L / 2 + s / 2 over tasks, with one s for each task,
    0 at first and learned. A weight settles near 1 / (2 L). dwa: of T tasks, each has the weight
    T softmax(r / 2) in an epoch, where r is its mean training loss in the last epoch, divided by
    that in the epoch before. The first two epochs have weights of 1.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    rule: Annotated[WeightRule, ONE_WEIGHT, ADDED_LATER, _RULE] = Field(
        "fixed",
        exclude_if=lambda rule: rule == "fixed",
        description="where the weights come from; fixed: the numbers that are set; "
        "uncertainty: learned from the size of each loss; "
        "dwa: from how fast each loss falls, for 3 epochs or more",
    )

    def of(self, task: TaskName) -> float:
        """The weight of a task that is set; 1 where none is."""
        return self.written().get(task, 1.0)

    def written(self) -> dict[TaskName, float]:
        """The weights that are set, by task. What is no number is checked elsewhere."""
        values = (self.__pydantic_extra__ or {}).items()
        return {task: float(value) if type(value) is int else value for task, value in values}

    def is_default(self) -> bool:
        """Whether no weight is set, and no rule."""
        return self.rule == "fixed" and not self.written()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        weights = {
            task.name: {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 1.0,
                "description": f"weight of the loss of {task.name}",
            }
            for task in TASKS.readable()
        }
        schema["properties"] = weights | schema["properties"]
        return dict(schema)


def weights_or_rule(value: Any) -> Any:
    """A rule's name stands for the setting of that rule. Raises a pydantic error for other words.

    >>> weights_or_rule("dwa")
    {'rule': 'dwa'}
    """
    if isinstance(value, dict | TaskWeights):
        return value
    if isinstance(value, str) and value in RULES:
        return {"rule": value}
    raise wrong(
        f"expected {', '.join(RULES)}, or weights by task, got {short(value)}."
        f"{suggestion(value, RULES) if isinstance(value, str) else ''}"
    )


def beside_rule(written: str, keys: Sequence[str]) -> str:
    """The error for weights on one line with the rule that replaces them all."""
    return (
        f"{written} sets all of task_weights, so beside {', '.join(keys)} one of the two would "
        "have no effect. Keep one."
    )
