"""The groups of settings in a run config: `heads.*`, `freeze.*`, `smart.*`, `train.*`, and the
words they allow.

Each field has its default, bounds, unit and description, and an `Idle` for each condition under
which it has no effect. `mtl.config.schema` puts the groups together and says which settings exclude
each other; `mtl.methods.toggles` has what else is known of a setting. No torch here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from mtl.config.idle import (
    ADDED_LATER,
    NO_ASCENT,
    NO_BOUND,
    NO_DROPOUT,
    NO_LAYERS,
    NO_LEARNED_WEIGHTS,
    NO_PERTURBATION,
    NO_TEACHER,
    NO_THAW,
    NOTHING_FROZEN,
    ONE_ROW,
    ONE_WEIGHT,
    SAME_RATE,
)
from mtl.documents.library import is_path
from mtl.documents.validation import Expected, wrong
from mtl.tasks.registry import TASKS, unknown_task
from mtl.tasks.task import Task, TaskName

Pairing = Literal["siamese", "concat"]
Pooling = Literal["pooler", "cls", "mean", "max"]
Schedule = Literal["pooled", "consolidated", "joint", "round_robin", "sqrt", "annealed"]
Precision = Literal["fp32", "bf16"]
States = Literal["fp32", "fp16"]


class Section(BaseModel):
    """A frozen group of settings. Unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_pair(value: Any) -> Any:
    """One number stands for two equal ones."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, value) if number else _as_tuple(value)


def _find_task(value: Any) -> Any:
    """The name of a task that is given by name or path; the task becomes known.

    Raises ConfigError with every problem of a task's file.
    """
    if not isinstance(value, str):
        return value
    if not is_path(value) and value not in TASKS:
        raise wrong(unknown_task(value))
    return TASKS.find(value).name


TaskNames = Annotated[
    tuple[Annotated[TaskName, BeforeValidator(_find_task)], ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
]


class Heads(Section):
    """One head per task (Gorti & Thiesmeyer 2023, sections 3.1 and 3.4).

    A head maps the vectors of one row to outputs. linear: one linear layer. mlp: one hidden layer.
    dot, cosine: dot product or cosine of the two sentences' vectors, each after a linear layer.
    features: an mlp on the two vectors, their absolute difference and their product. pairing=concat
    gives one vector per pair, so only linear and mlp are possible.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    def word(self, task: TaskName) -> str:
        """What is set for a task, or its default: a head, `auto`, or `same`."""
        return self.written().get(task, TASKS[task].default_head)

    def written(self) -> dict[TaskName, str]:
        """The heads that are set, by task."""
        return dict(self.__pydantic_extra__ or {})

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        schema["properties"] = {
            task.name: {
                "type": "string",
                "enum": list(task.head_words),
                "default": task.default_head,
                "description": head_description(task),
            }
            for task in TASKS.readable()
        }
        return dict(schema)


def head_description(task: Task) -> str:
    """What the head words of a task mean."""
    text = f"head of {task.name}"
    if task.same_as:
        text += f"; same: {task.same_as}'s head"
    usual = task.auto_heads
    if len(set(usual.values())) == 1:
        return f"{text}; auto: {usual['siamese']}"
    pairings = ", ".join(f"{head} for pairing={pairing}" for pairing, head in usual.items())
    return f"{text}; auto: {pairings}"


_SCOPE = Expected("all, or names of tasks", choices=("all",), each=True)


class Freeze(Section):
    """Which part of the encoder trains, and for which tasks."""

    unfrozen: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        "all",
        description="how many of the encoder's layers train, counted from the output; the pooler "
        "and the heads always train; 0: only these; all: nothing is frozen, ordinary fine-tuning",
    )
    scope: Annotated[Literal["all"] | TaskNames, NOTHING_FROZEN, _SCOPE] = Field(
        "all",
        description="the tasks that do not train the frozen part; all: no task does; "
        "[sts]: it is frozen for sts, and the other tasks train it",
    )
    thaw: Annotated[Annotated[int, Field(ge=1)] | None, NOTHING_FROZEN, NO_THAW, ADDED_LATER] = (
        Field(
            None,
            description="gradual unfreezing: every so many epochs one more layer trains, from the "
            "top down, and the embeddings after the lowest; null: what is frozen stays frozen",
        )
    )
    dropout: Annotated[bool, NOTHING_FROZEN, NO_DROPOUT] = Field(
        False,
        description="dropout inside the frozen part; "
        "false: the same text gives the same output, which can be cached",
    )
    states: Annotated[States, NOTHING_FROZEN, ADDED_LATER] = Field(
        "fp32",
        description="precision of the cached outputs of the frozen part; "
        "fp16 halves the disk space and needs freeze.scope=all, freeze.thaw=null, "
        "freeze.dropout=false and no SMART",
    )


Beta = Annotated[float, Field(ge=0, le=1)]


class Smart(Section):
    """Smoothness-inducing regularisation (Jiang et al. 2020).

    Each task's loss becomes loss + lambda_s R_s + mu D_Breg. R_s punishes outputs that change when
    the embeddings get noise. D_Breg punishes outputs that leave those of an averaged teacher.
    """

    lambda_s: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="weight of R_s: how much the output changes when the embeddings get noise; "
        "published: 1, 3, 5",
    )
    mu: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="weight of D_Breg: the distance to the teacher's output; the teacher is an "
        "average of the weights so far; 0: no teacher",
    )
    epsilon: Annotated[float, Field(gt=0), NO_PERTURBATION, NO_BOUND] = Field(
        1e-5,
        description="for smart.projection=clip: the largest noise on an element of an embedding",
    )
    sigma: Annotated[float, Field(gt=0), NO_PERTURBATION] = Field(
        1e-5,
        description="standard deviation of the initial noise on an element of an embedding",
    )
    eta: Annotated[float, Field(gt=0), NO_PERTURBATION, NO_ASCENT] = Field(
        1e-3,
        description="length of an ascent step, which moves the noise to where the output changes "
        "most; the largest move of an element in a sequence",
    )
    steps: Annotated[int, Field(ge=0), NO_PERTURBATION] = Field(
        1, description="number of ascent steps; 0: the noise is random"
    )
    projection: Annotated[Literal["clip", "normalise"], NO_PERTURBATION] = Field(
        "clip",
        description="clip: noise within epsilon (the paper); normalise: the noise of each sequence "
        "divided by its largest element, about 1e5 times the published epsilon "
        "(the reference code)",
    )
    dropout: Annotated[bool, NO_PERTURBATION, NO_DROPOUT] = Field(
        False,
        description="new dropout masks for the perturbed pass; "
        "false: the masks of the pass without noise, so that only the noise changes the output",
    )
    beta: Annotated[tuple[Beta, Beta], BeforeValidator(_as_pair), NO_TEACHER] = Field(
        (0.99, 0.999),
        description="share of the teacher that is kept at a step; the rest comes from the model; "
        "first number: in the first tenth of all steps, second: after it; one number sets both",
    )


OPTIONAL = {"smart": "SMART", "lora": "LoRA", "simcse": "SimCSE"}
"""The methods that are null (off) or a section of settings, and their names in words."""


def section_or_null(key: str, values: str) -> BeforeValidator:
    """Lets null and settings pass, and refuses anything else, such as `true`.

    `values` says in words what the method `key` has without settings.
    """

    def check(value: Any) -> Any:
        if value is None or isinstance(value, dict | Section):
            return value
        raise PydanticCustomError(
            "section",
            f"expected null (off) or settings; {key}={{}} turns {OPTIONAL[key]} on with {values}",
        )

    return BeforeValidator(check)


class Train(Section):
    """The optimiser and its schedule.

    AdamW has betas (0.9, 0.999) and epsilon 1e-6, as published for BERT.
    """

    epochs: Annotated[int, Field(ge=1)] = Field(3, description="passes over the training data")
    max_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most optimiser steps; null: as many as the epochs have"
    )
    max_examples: Annotated[int | None, Field(ge=1), ADDED_LATER] = Field(
        None, description="most examples, repeats included, but at least one step; null: no limit"
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        16, description="examples per step; schedule=joint: examples of each task per step"
    )
    accumulate: Annotated[int, Field(ge=1), ONE_ROW, ADDED_LATER] = Field(
        1,
        description="micro-batches per step: a task's rows run in so many parts, which saves "
        "memory; their gradients add up to the whole batch's",
    )
    lr: Annotated[float, Field(gt=0)] = Field(1e-5, description="peak learning rate")
    head_lr: Annotated[Annotated[float, Field(gt=0)] | None, SAME_RATE, ADDED_LATER] = Field(
        None, description="peak learning rate of the heads; null: train.lr"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1), NO_LAYERS, ADDED_LATER] = Field(
        1.0,
        description="what the learning rate is multiplied by from each encoder layer to the one "
        "below it; the embeddings lie below the first; 1: all layers have the same",
    )
    task_weights_lr: Annotated[float, Field(gt=0), NO_LEARNED_WEIGHTS, ONE_WEIGHT, ADDED_LATER] = (
        Field(
            1e-2,
            description="constant learning rate of the s of task_weights=uncertainty, with Adam; "
            "a step changes a weight by about this share at most",
        )
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="AdamW's weight decay; biases and norms have none"
    )
    warmup: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of all steps in which the learning rate rises from 0"
    )
    decay: Literal["none", "linear", "cosine"] = Field(
        "none", description="how the learning rate falls to 0 after the warm-up"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="dropout probability in encoder and heads"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0,
        description="largest norm of the gradient over all weights; longer ones are clipped; "
        "null: no clipping",
    )
    ema: Annotated[Annotated[float, Field(gt=0, lt=1)] | None, ADDED_LATER] = Field(
        None,
        description="evaluate and keep an average of the weights over the steps, in which a step "
        "counts this much of the next one, such as 0.999; null: the weights themselves",
    )
    precision: Precision = Field(
        "fp32", description="bf16: matrix products in bfloat16 (autocast), weights in float32"
    )
    select: Literal["best", "last"] = Field(
        "best",
        description="which weights are kept: those with the best dev/overall, "
        "or those of the last step",
    )
