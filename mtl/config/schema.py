"""Every toggle: its default, its unit, its source.

A `RunConfig` holds all that can change a result and nothing else; device, folders, workers and W&B are options of the
commands. It is frozen, refuses unknown keys, and is built in layers: defaults < preset < YAML < `key=value`
(`mtl.config.settings`). `canonical()` is the form that run identity hashes. No torch here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from mtl.errors import ConfigError
from mtl.tasks.registry import TASKS, TaskName

Pairing = Literal["siamese", "concat"]
Pooling = Literal["pooler", "cls", "mean", "max"]
SstHead = Literal["mlp", "linear"]
QuoraHead = Literal["auto", "dot", "features", "linear", "mlp"]
StsHead = Literal["auto", "same", "cosine", "dot", "features", "linear", "mlp"]
Schedule = Literal["pooled", "consolidated", "round_robin", "sqrt", "annealed"]
Surgery = Literal["sum", "dominant", "pcgrad"]
Precision = Literal["fp32", "bf16"]
States = Literal["fp32", "fp16"]

PAIR_HEADS: dict[Pairing, tuple[str, ...]] = {
    "siamese": ("dot", "cosine", "features"),
    "concat": ("linear", "mlp"),
}
"""Heads that can take each pairing's features: two sentence vectors, or one."""

AUTO_HEADS: dict[Pairing, dict[str, str]] = {
    "siamese": {"quora": "dot", "sts": "cosine"},
    "concat": {"quora": "linear", "sts": "linear"},
}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _in_task_order(value: tuple[TaskName, ...]) -> tuple[TaskName, ...]:
    return tuple(name for name in TASKS if name in value)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and does not guess types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


TaskNames = Annotated[tuple[TaskName, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Heads(Section):
    """One head a task (Gorti & Thiesmeyer 2023, sections 3.1 and 3.4)."""

    sst: SstHead = "mlp"
    quora: QuoraHead = Field(
        "auto", description="auto: dot for siamese pairs, linear for concatenated ones"
    )
    sts: StsHead = Field(
        "same", description="auto: cosine for siamese pairs, linear for concatenated; same: quora's"
    )


class Freeze(Section):
    """Which part of the encoder trains."""

    unfrozen: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        "all",
        description="the last k layers and the pooler train; `all` is ordinary fine-tuning, 0 pooler and heads",
    )
    scope: Literal["all"] | TaskNames = Field(
        "all", description="the tasks whose steps leave the frozen part alone"
    )
    dropout: bool = Field(
        False,
        description="dropout inside the frozen part; off makes it a fixed function of the text",
    )
    states: States = Field(
        "fp32",
        description="how the frozen part's outputs are kept; fp16 rounds them and halves the disk they take; for scope=all, dropout=false, no SMART",
    )


def _twice(value: Any) -> Any:
    return (
        (value, value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else _as_tuple(value)
    )


Beta = Annotated[float, Field(ge=0, le=1)]


class Smart(Section):
    """Smoothness-inducing regularisation (Jiang et al. 2020): loss + lambda_s R_s + mu D_Breg, for each task."""

    lambda_s: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="weight of R_s, the change of the output under a perturbation of the embeddings; published 1, 3, 5",
    )
    mu: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="weight of D_Breg, the distance to an averaged teacher; 0: no teacher is kept",
    )
    epsilon: Annotated[float, Field(gt=0)] = Field(
        1e-5,
        description="projection clip: the largest change of an element of the embedding layer's output",
    )
    sigma: Annotated[float, Field(gt=0)] = Field(
        1e-5,
        description="standard deviation of the noise that the ascent starts from, in units of the embedding output",
    )
    eta: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="length of a step of the ascent: the largest move of an element in a sequence",
    )
    steps: Annotated[int, Field(ge=0)] = Field(
        1, description="steps of the ascent; 0 leaves the noise random"
    )
    projection: Literal["clip", "normalise"] = Field(
        "clip",
        description="clip: noise within epsilon (the paper); normalise: noise divided by its largest element, a sequence "
        "at a time, and so about 1e5 times the published epsilon (what the reference code does)",
    )
    dropout: bool = Field(
        False,
        description="masks of its own for the perturbed pass; off: the clean pass's, so that R_s has no floor",
    )
    beta: Annotated[tuple[Beta, Beta], BeforeValidator(_twice)] = Field(
        (0.99, 0.999),
        description="how much of the teacher stays at a step: in the first tenth of all steps, and after; one number is both",
    )


def _mapping_or_null(value: Any) -> Any:
    if value is None or isinstance(value, dict | Smart):
        return value
    raise PydanticCustomError(
        "smart",
        "expected null, which is off, or settings; smart={} turns SMART on with the published values",
    )


class Train(Section):
    """The optimiser and its schedule. AdamW's betas are (0.9, 0.999) and its epsilon 1e-6, as BERT was published."""

    epochs: Annotated[int, Field(ge=1)] = Field(3, description="passes over the training data")
    max_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop after this many optimiser steps"
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="examples a step")
    lr: Annotated[float, Field(gt=0)] = Field(1e-5, description="peak learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="AdamW's, not on biases and norms"
    )
    warmup: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of all steps with a rising rate"
    )
    decay: Literal["none", "linear", "cosine"] = Field(
        "none", description="fall of the rate to 0 after the warm-up"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="probability, in encoder and heads"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="clip the whole gradient to this norm"
    )
    precision: Precision = Field(
        "fp32", description="bf16: matrix products in bfloat16 (autocast), weights in float32"
    )
    select: Literal["best", "last"] = Field(
        "best", description="the weights kept: best dev/overall, or the last"
    )


class RunConfig(Section):
    """One run. The defaults are the paper's baseline, on the built-in data."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    encoder: Annotated[str, Field(min_length=1)] = Field(
        "minilm-l6", description="minilm-l6, a hub name, or a folder"
    )
    data: Annotated[str, Field(min_length=1)] = Field(
        "sample", description="sample, hub, or a folder of course files"
    )
    tasks: Annotated[TaskNames, Field()] = ("sst", "quora", "sts")
    limit: Annotated[int, Field(ge=1)] | None = Field(
        None, description="training rows a task; dev stays whole"
    )
    max_length: Annotated[int, Field(ge=8, le=512)] = Field(
        128, description="tokens a sequence, specials included"
    )
    pairing: Pairing = "siamese"
    pooling: Pooling = "pooler"
    heads: Heads = Heads()
    schedule: Schedule = "pooled"
    freeze: Freeze = Freeze()
    surgery: Surgery = "sum"
    smart: Annotated[Smart | None, BeforeValidator(_mapping_or_null)] = Field(
        None,
        description="null: off; {} or {lambda_s: 3, ...}: on, with these numbers in place of the published ones",
    )
    train: Train = Train()
    overall: Literal["mean", "shifted"] = Field(
        "mean", description="shifted: (r + 1) / 2 stands for sts' Pearson r"
    )

    def head(self, task: TaskName) -> str:
        """The name of the head a task gets, with `auto` and `same` resolved."""
        chosen = getattr(self.heads, task)
        if task == "sts" and chosen == "same":
            return self.head("quora")
        return AUTO_HEADS[self.pairing][task] if chosen == "auto" else chosen

    def problems(self) -> list[Problem]:
        """Settings that exclude each other, each with the way out."""
        found = []
        chosen = {
            task: "quora" if task == "sts" and self.heads.sts == "same" else task
            for task in self.tasks
        }
        for key in dict.fromkeys(chosen.values()):  # sts as `same` is quora's mistake, told once
            head = self.head(key)
            if TASKS[key].pair and head not in PAIR_HEADS[self.pairing]:
                too = (
                    " (and heads.sts=same takes it too)"
                    if key == "quora" and "sts" in chosen and chosen["sts"] == key
                    else ""
                )
                can = [
                    name for name in PAIR_HEADS[self.pairing] if key == "sts" or name != "cosine"
                ]
                found.append(
                    Problem(
                        uses=("tasks", "pairing", f"heads.{key}"),
                        message=f"heads.{key}={getattr(self.heads, key)!r}{too} cannot take {self.pairing} pairs. "
                        f"Heads that can: {', '.join(can)}; or let heads.{key}=auto choose.",
                    )
                )
        if len(set(self.tasks)) != len(self.tasks):
            found.append(
                Problem(
                    uses=("tasks",), message=f"tasks={list(self.tasks)}: a task is named twice."
                )
            )
        if self.freeze.scope != "all":
            absent = [name for name in self.freeze.scope if name not in self.tasks]
            if absent:
                found.append(Problem(
                    uses=("tasks", "freeze.scope"),
                    message=f"freeze.scope names {', '.join(absent)}, not among tasks={list(self.tasks)}. "
                    "Add the task or leave it out of the scope.",
                ))  # fmt: skip
        if self.freeze.states == "fp16":
            found += self._states_not_fixed()
        if self.surgery != "sum":
            found += self._surgery_alone()
        return found

    def _states_not_fixed(self) -> list[Problem]:
        """Why there are no fixed outputs of frozen layers to be rounded."""
        resolved = self.resolved()
        if resolved.freeze.states == "fp32":  # nothing is frozen
            return []
        reasons = {
            "freeze.scope": (resolved.freeze.scope != "all", "with a freeze.scope they move"),
            "freeze.dropout": (resolved.freeze.dropout, "with freeze.dropout=true they are random"),
            "smart": (resolved.smart is not None, "SMART perturbs what goes into them"),
        }
        needs = "freeze.states='fp16' rounds the outputs of frozen layers"
        return [
            Problem(
                uses=("freeze.states", key),
                message=f"{needs}; {why}. Use freeze.states=fp32, or change {key}.",
            )
            for key, (on, why) in reasons.items()
            if on
        ]

    def _surgery_alone(self) -> list[Problem]:
        """Why surgery would never have two tasks in one step."""
        needs = f"surgery={self.surgery!r} needs several tasks in one step"
        if len(set(self.tasks)) == 1:
            way = f"tasks={list(self.tasks)} is one. Add a task, or use surgery=sum."
            return [Problem(uses=("tasks", "surgery"), message=f"{needs}; {way}")]
        found = []
        if self.schedule != "consolidated":
            way = (
                f"schedule={self.schedule!r} gives one. Use schedule=consolidated, or surgery=sum."
            )
            found.append(Problem(uses=("schedule", "surgery"), message=f"{needs}; {way}"))
        if self.train.batch_size == 1:
            way = "train.batch_size=1 gives one. Use a larger batch or surgery=sum."
            found.append(Problem(uses=("surgery", "train.batch_size"), message=f"{needs}; {way}"))
        return found

    def check(self) -> None:
        """Raises ConfigError with all that `problems` finds."""
        if found := self.problems():
            raise ConfigError("\n".join(problem.message for problem in found))

    def resolved(self) -> Self:
        """The same run with every `auto` and `same` written out and every knob of a method that is off at its default.

        Two configs that compute the same thing resolve to the same one. Idempotent.
        """
        heads = {
            task: self.head(task) if task in self.tasks else Heads.model_fields[task].default
            for task in TASKS
        }
        tasks = _in_task_order(self.tasks)
        freeze = self.freeze
        if freeze.unfrozen == "all":
            freeze = Freeze()
        elif freeze.scope != "all":
            scope = _in_task_order(freeze.scope)
            freeze = freeze.model_copy(update={"scope": "all" if scope == tasks else scope})
        update: dict[str, Any] = {
            "tasks": tasks,
            "heads": Heads.model_validate(heads),
            "freeze": freeze,
        }
        update["smart"] = _resolved_smart(self.smart, self.train)
        if not any(TASKS[task].pair for task in tasks):
            update["pairing"] = "siamese"
        if self.train.dropout == 0:
            update["freeze"] = freeze.model_copy(update={"dropout": False})
        if len(tasks) == 1:
            update["schedule"] = "pooled"  # one task alone gives every schedule the same batches
        if "sts" not in tasks:
            update["overall"] = "mean"
        return self.model_copy(update=update)

    def canonical(self) -> dict[str, Any]:
        """What identity hashes: the resolved settings as plain data, without the seed, nulls and absent tasks' heads."""
        config = self.resolved()
        plain = config.model_dump(mode="json", exclude={"seed"}, exclude_none=True)
        if config.freeze.states == "fp32":
            del plain["freeze"]["states"]  # cells from before there was a choice keep their names
        plain["heads"] = {task: plain["heads"][task] for task in config.tasks}
        if config.freeze.unfrozen == "all":
            plain["freeze"] = {"unfrozen": "all"}
        # -0.0 equals 0.0 but would be written, and so hashed, as something else.
        for name in ("train", "smart"):
            if name in plain:
                section = plain[name].items()
                plain[name] = {
                    key: value + 0.0 if isinstance(value, float) else value
                    for key, value in section
                }
        return plain


def _resolved_smart(smart: Smart | None, train: Train) -> Smart | None:
    """None where neither term has a weight; else the knobs of a term that is off at their defaults."""
    if smart is None or smart.lambda_s == smart.mu == 0:
        return None
    unused: set[str] = set()
    if smart.lambda_s == 0:
        unused |= {"epsilon", "sigma", "eta", "steps", "projection", "dropout"}
    if smart.mu == 0:
        unused.add("beta")
    if smart.projection == "normalise":
        unused.add("epsilon")
    if smart.steps == 0:
        unused.add("eta")
    if train.dropout == 0:
        unused.add("dropout")
    return smart.model_copy(update={name: Smart.model_fields[name].default for name in unused})


class Problem(BaseModel):
    """A message about settings that exclude each other, and the keys it rests on."""

    uses: tuple[str, ...]
    message: str


PRESETS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "final": {
        "heads": {"sts": "auto"},
        "freeze": {"unfrozen": 3},
        "train": {"lr": 1e-4, "epochs": 9},
    },
}
PRESETS["concat"] = PRESETS["final"] | {"pairing": "concat"}
"""The paper's three configurations (Gorti & Thiesmeyer, Stanford CS224N 2023), as differences from the defaults."""
