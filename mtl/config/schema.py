"""The run config: every setting that can change a result.

Device, folders, workers and W&B cannot, and are options of the commands. A config is frozen,
refuses unknown keys, and is built in layers: defaults < preset < YAML < `key=value`
(`mtl.config.settings`). `canonical()` is the form that run identity hashes. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from mtl.config.by_task import TASK_DEFAULTS
from mtl.config.freezing import freeze_problems
from mtl.config.head_problems import head_problems
from mtl.config.idle import ADDED_LATER, NO_CORRELATION, NO_PAIRS, ONE_TASK, Idle
from mtl.config.lora import NO_ADAPTERS, Lora, lora_problems
from mtl.config.losses import Losses, loss_problems
from mtl.config.problems import (
    rule_problems,
    score_problems,
    surgery_problems,
    task_problems,
    weight_problems,
)
from mtl.config.rdrop import Rdrop, rdrop_problems
from mtl.config.sections import (
    OPTIONAL,
    Freeze,
    Heads,
    Pairing,
    Pooling,
    Schedule,
    Section,
    Smart,
    TaskNames,
    Train,
    section_or_null,
)
from mtl.config.simcse import SimCSE, simcse_problems
from mtl.config.surgeries import NEEDS, Surgery, check_word, torchjd_version
from mtl.config.task_weights import TaskWeights, weights_or_rule
from mtl.documents.validation import Problem
from mtl.errors import ConfigError
from mtl.tasks.registry import TASKS, course_names, differing, unknown_task
from mtl.tasks.task import TaskName


class RunConfig(Section):
    """One run. The defaults are the paper's baseline on the built-in data.

    >>> config = RunConfig(pairing="concat", train=Train(epochs=1))
    >>> config.head("quora")
    'linear'
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    encoder: Annotated[str, Field(min_length=1)] = Field(
        "minilm-l6",
        description="initial weights: minilm-l6 (installed), bert-base (from the hub), another "
        "name on the hub, a folder, or random-tiny (two untrained layers, for quick tries)",
    )
    data: Annotated[str, Field(min_length=1)] = Field(
        "sample", description="sample (built in), hub (downloaded), or a folder of course files"
    )
    tasks: TaskNames = Field(
        course_names(),
        description="the tasks to train and to evaluate: names, or paths of tasks' files",
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most training rows per task; dev keeps all rows; null: no limit"
    )
    max_length: Annotated[int, Field(ge=8, le=512)] = Field(
        128, description="most tokens per sequence, special tokens included; longer text is cut"
    )
    pairing: Annotated[Pairing, NO_PAIRS] = Field(
        "siamese",
        description="siamese: the encoder reads each sentence of a pair alone; "
        "concat: it reads both as one sequence",
    )
    pooling: Pooling = Field(
        "pooler",
        description="how a sequence becomes one vector; pooler: BERT's pooler on [CLS]; "
        "cls: the state of [CLS]; mean, max: the mean or maximum over its tokens",
    )
    heads: Heads = Heads()
    task_weights: Annotated[TaskWeights, BeforeValidator(weights_or_rule)] = Field(
        TaskWeights(), exclude_if=lambda weights: weights.is_default()
    )
    losses: Losses = Field(Losses(), exclude_if=lambda losses: losses.is_default())
    schedule: Annotated[Schedule, ONE_TASK] = Field(
        "pooled",
        description="which task a step trains; consolidated: rows of all tasks in each step; "
        "joint: a batch of every task in each step, and an epoch is a pass over the largest task; "
        "the others: one task per step; pooled: every row once per epoch, batches in random order; "
        "round_robin: tasks in turn; sqrt: a task is drawn in proportion to the square root of its "
        "rows; annealed: to its rows at first, nearly evenly in the last epoch",
    )
    freeze: Freeze = Freeze()
    surgery: Annotated[Surgery, BeforeValidator(check_word)] = Field(
        "sum",
        description="how the tasks' gradients in the encoder are combined; sum: added; "
        "pcgrad: where two conflict, each is projected off the other; "
        "dominant: where one conflicts with the largest, it is projected off the largest; "
        "gradvac: each is turned towards the cosine that the pair usually has; the others are "
        "those of TorchJD (the extra torchjd), scaled so that orthogonal gradients add up; "
        "all but sum need schedule=consolidated or schedule=joint",
    )
    smart: Annotated[Smart | None, section_or_null("smart", "the published values")] = Field(
        None,
        description="null: off; {}: on, with the published values; "
        "any smart.* key also turns it on",
    )
    rdrop: Rdrop = None
    lora: Annotated[
        Lora | None, section_or_null("lora", "its defaults"), NO_ADAPTERS, ADDED_LATER
    ] = Field(
        None,
        description="low-rank adapters in place of the layers' own weights; null: off; "
        "{}: on, with its defaults; any lora.* key also turns it on",
    )
    train: Train = Train()
    simcse: Annotated[SimCSE | None, section_or_null("simcse", "its defaults"), ADDED_LATER] = (
        Field(
            None,
            description="a pre-step on the tasks' own text, without labels; null: none; "
            "{}: with its defaults; any simcse.* key also turns it on",
        )
    )
    overall: Annotated[Literal["mean", "shifted"], NO_CORRELATION] = Field(
        "mean",
        description="the overall score; mean: the mean of the tasks' scores, by weight; "
        "shifted: the same, but a correlation r counts as (r + 1) / 2",
    )

    def head(self, task: TaskName) -> str:
        """The head of a task, with `auto` and `same` resolved."""
        owner = self.head_owner(task)
        chosen = self.heads.word(owner)
        return TASKS[owner].auto_heads[self.pairing] if chosen == "auto" else chosen

    def head_owner(self, task: TaskName) -> TaskName:
        """The task whose setting says which head a task has: another one where that is `same`.

        Raises ConfigError where there is no such task.
        """
        chain = [task]
        while (other := TASKS[chain[-1]].same_as) and self.heads.word(chain[-1]) == "same":
            if other in chain or other not in TASKS:
                why = f"{' and '.join(chain)} take each other's head."
                why = why if other in chain else unknown_task(other)
                raise ConfigError(
                    f"heads.{task}=same: {why} Set heads.{task}, or change head: {{as: {other}}} "
                    f"in the file of {chain[-1]}."
                )
            chain.append(other)
        return chain[-1]

    def problems(self) -> list[Problem]:
        """Settings that exclude each other, each with a remedy."""
        batch_size, resolved = self.train.batch_size, self.resolved()
        smart, heads = resolved.smart is not None, resolved.heads.written().values()
        return [
            *task_problems(self.tasks, self.freeze.scope),
            *head_problems(self.heads, self.tasks, self.pairing, self.head, self.head_owner),
            *freeze_problems(resolved.freeze, resolved.smart, self.lora),
            *loss_problems(self.losses, self.tasks, self.pairing, self.train),
            *rdrop_problems(
                self.rdrop,
                smart=smart,
                dropout=self.train.dropout,
                freeze=resolved.freeze,
                heads=heads,
            ),
            *lora_problems(self.lora, resolved.freeze.scope),
            *surgery_problems(self.surgery, self.tasks, self.schedule, batch_size),
            *simcse_problems(self.simcse, self.train.dropout, resolved.freeze, self.pooling),
            *score_problems(self.tasks),
            *weight_problems(self.task_weights.written()),
            *rule_problems(
                self.task_weights.rule, self.task_weights.written(), self.tasks, self.train.epochs
            ),
        ]

    def check(self) -> None:
        """Raise ConfigError with every problem, one per line."""
        if problems := self.problems():
            raise ConfigError("\n".join(problem.message for problem in problems))

    def resolved(self) -> Self:
        """The same run in its normal form: `auto` and `same` written out, settings without effect
        at their default.

        Two configs that compute the same resolve to the same config. Idempotent.
        """
        tasks = _in_task_order(self.tasks)
        heads = Heads.model_validate({task: self.head(task) for task in tasks})
        weights = {task: self.task_weights.of(task) for task in tasks}
        weights = {task: weight for task, weight in weights.items() if weight != 1}
        update: dict[str, Any] = {"tasks": tasks, "heads": heads}
        losses = {task: self.losses.of(task) for task in tasks}
        losses = {task: loss for task, loss in losses.items() if loss != TASKS[task].loss}
        update["losses"] = Losses.model_validate(
            {name: getattr(self.losses, name) for name in Losses.model_fields} | losses
        )
        update["task_weights"] = TaskWeights.model_validate(
            {"rule": self.task_weights.rule} | weights
        )
        if self.freeze.scope != "all":
            scope = _in_task_order(self.freeze.scope)
            update["freeze"] = self.freeze.model_copy(
                update={"scope": "all" if scope == tasks else scope}
            )
        most_parts = min(self.train.accumulate, self.train.batch_size)
        update["train"] = self.train.model_copy(update={"accumulate": most_parts})
        if self.smart is not None and self.smart.lambda_s == self.smart.mu == 0:
            update["smart"] = None
        config = self.model_copy(update=update)
        return config._reset(key for key, idle in IDLE if idle.when(config))

    def idle(self, key: str) -> str | None:
        """Why a setting has no effect in this run, with a remedy; None if it has an effect."""
        section, _, task = key.partition(".")
        if task and section in OPTIONAL and getattr(self, section) is None:
            return f"{section}=null turns {OPTIONAL[section]} off. Leave it out."
        reasons = [idle.why for name, idle in IDLE if name == key and idle.when(self)]
        owners = {owner for name in self.tasks for owner in (name, self.head_owner(name))}
        absent = section in ("losses", "task_weights") and key not in KEYS
        absent = absent and task not in self.tasks
        if absent or (section == "heads" and task not in owners):
            reasons.append(f"tasks={{tasks}} has no {task}. Add the task, or leave it out.")
        return reasons[0].format(tasks=", ".join(self.tasks)) if reasons else None

    def canonical(self) -> dict[str, Any]:
        """What identity hashes: the resolved settings, without seed, nulls and absent heads."""
        config = self.resolved()
        plain = config.model_dump(mode="json", exclude={"seed"}, exclude_none=True)
        for key in ADDED:
            section, _, name = key.rpartition(".")
            settings = getattr(config, section) if section else config
            if settings is not None and getattr(settings, name) == default_of(key):
                (plain.get(section, {}) if section else plain).pop(name, None)
        if own := differing(config.tasks):
            plain["definitions"] = {task.name: task.identity() for task in own}
        if config.surgery in NEEDS:
            plain["torchjd"] = torchjd_version()
        if config.freeze.unfrozen == "all":
            plain["freeze"] = {"unfrozen": "all"}
        # -0.0 equals 0.0 but would be written, and so hashed, as something else.
        for name in plain.keys() & {"train", "smart"}:
            plain[name] = {
                key: value + 0.0 if isinstance(value, float) else value
                for key, value in plain[name].items()
            }
        return plain

    def _reset(self, keys: Iterable[str]) -> Self:
        """The config with some settings at their defaults."""
        update: dict[str, Any] = {}
        for key in keys:
            section, _, name = key.partition(".")
            if not name:
                update[section] = default_of(key)
            elif (settings := update.get(section, getattr(self, section))) is not None:
                update[section] = settings.model_copy(update={name: default_of(key)})
        return self.model_copy(update=update)


SECTIONS: dict[str, type[Section]] = {
    "heads": Heads,
    "task_weights": TaskWeights,
    "losses": Losses,
    "freeze": Freeze,
    "smart": Smart,
    "lora": Lora,
    "simcse": SimCSE,
    "train": Train,
}


def field_of(key: str) -> FieldInfo:
    """The field of a dotted key. Those of `heads` have none."""
    section, _, name = key.rpartition(".")
    return (SECTIONS[section] if section else RunConfig).model_fields[name]


def default_of(key: str) -> Any:
    """The default of a dotted key: its neutral value. `smart.*` have the published values."""
    section, _, task = key.partition(".")
    if section in TASK_DEFAULTS and task not in SECTIONS[section].model_fields:
        return TASK_DEFAULTS[section](TASKS[task])
    return field_of(key).default


def _knobs(name: str) -> Iterable[str]:
    return SECTIONS[name].model_fields if name in SECTIONS else ()


KEYS = tuple(
    key
    for name in RunConfig.model_fields
    for key in (name, *(f"{name}.{knob}" for knob in _knobs(name)))
    if key not in (*TASK_DEFAULTS, "freeze", "train")
)
"""Every setting as a dotted key, `smart` itself among them, but for those of a task."""

ADDED = tuple(key for key in KEYS if ADDED_LATER in field_of(key).metadata)
"""Settings that identity leaves out at their default."""

IDLE = tuple(
    (key, idle) for key in KEYS for idle in field_of(key).metadata if isinstance(idle, Idle)
)
"""When settings have no effect. `resolved` sets them to their default: identity ignores them."""


def _in_task_order(names: tuple[TaskName, ...]) -> tuple[TaskName, ...]:
    return tuple(name for name in TASKS if name in names)
