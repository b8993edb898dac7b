"""Settings that exclude each other: each problem with a remedy and the keys that it concerns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mtl.config.surgeries import EXTRA, missing_for
from mtl.documents.validation import Problem
from mtl.errors import short
from mtl.tasks.registry import TASKS, unknown_task
from mtl.tasks.task import TaskName


def task_problems(
    tasks: Sequence[TaskName], scope: Literal["all"] | Sequence[TaskName]
) -> list[Problem]:
    """Tasks that are named twice, and a scope of freezing with tasks that do not train."""
    problems = []
    if len(set(tasks)) != len(tasks):
        problems.append(
            Problem(uses=("tasks",), message=f"tasks={short(list(tasks))}: a task is named twice.")
        )
    named = () if scope == "all" else scope
    if absent := [name for name in named if name not in tasks]:
        message = (
            f"freeze.scope names {', '.join(absent[:9])}, not among tasks={short(list(tasks))}. "
            "Add the task, or remove it from the scope."
        )
        problems.append(Problem(uses=("tasks", "freeze.scope"), message=message))
    return problems


def score_problems(tasks: Sequence[TaskName]) -> list[Problem]:
    """Tasks none of which counts in overall."""
    if any(TASKS[task].weight > 0 for task in tasks):
        return []
    message = (
        f"tasks={short(list(tasks))}: none of them counts in overall: their weight is 0. "
        "Add a task, or raise the weight in the task's file."
    )
    return [Problem(uses=("tasks",), message=message)]


def weight_problems(weights: Mapping[TaskName, Any]) -> list[Problem]:
    """Weights of unknown tasks, and weights that are no positive numbers."""
    problems = []
    for task, weight in weights.items():
        key = f"task_weights.{task}"
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if task not in TASKS:
            message = f"{key}: unknown key: {unknown_task(task)}"
        elif not number or not 0 < weight < math.inf:
            message = f"{key}: expected a number above 0, got {short(weight)}."
        else:
            continue
        problems.append(Problem(uses=(key,), message=message))
    return problems


def rule_problems(
    rule: str, weights: Mapping[TaskName, Any], tasks: Sequence[TaskName], epochs: int
) -> list[Problem]:
    """Weights that a rule would overwrite, and a rule that begins after the run's end."""
    if rule == "fixed":
        return []
    problems = []
    if keys := [f"task_weights.{task}" for task, weight in weights.items() if weight != 1]:
        message = (
            f"task_weights.rule={rule} finds the weights, so {', '.join(keys[:9])} would have no "
            "effect. Leave them out, or use task_weights.rule=fixed."
        )
        problems.append(Problem(uses=("task_weights.rule", *keys), message=message))
    if rule == "dwa" and epochs < 3 and len(set(tasks)) > 1:
        message = (
            f"task_weights.rule=dwa compares the losses of two whole epochs and weighs from the "
            f"third on; train.epochs={epochs}. Use train.epochs=3 or more, or "
            "task_weights=uncertainty."
        )
        problems.append(Problem(uses=("task_weights.rule", "train.epochs"), message=message))
    return problems


def surgery_problems(
    surgery: str, tasks: Sequence[TaskName], schedule: str, batch_size: int
) -> list[Problem]:
    """Surgery where no step has several tasks."""
    if surgery == "sum":
        return []
    reasons: dict[str, str] = {}
    if len(set(tasks)) == 1:
        reasons["tasks"] = f"tasks={short(list(tasks))} is one. Add a task, or use surgery=sum."
    else:
        if schedule not in ("consolidated", "joint"):
            reasons["schedule"] = (
                f"schedule={schedule!r} gives one. Use schedule=consolidated or schedule=joint, or "
                "surgery=sum."
            )
        if batch_size == 1 and schedule != "joint":
            reasons["train.batch_size"] = (
                "train.batch_size=1 gives one. Use a larger batch or schedule=joint, or "
                "surgery=sum."
            )
    needs = f"surgery={surgery!r} needs several tasks in one step"
    problems = [
        Problem(uses=(key, "surgery"), message=f"{needs}; {why}") for key, why in reasons.items()
    ]
    if missing := missing_for(surgery):
        message = f"surgery={surgery!r} needs {' and '.join(missing)}. Install them: {EXTRA}."
        problems.append(Problem(uses=("surgery",), message=message))
    return problems
