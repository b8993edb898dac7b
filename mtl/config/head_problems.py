"""Heads that a run cannot have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl.documents.validation import Problem
from mtl.errors import short, suggestion
from mtl.tasks.registry import TASKS, unknown_task

if TYPE_CHECKING:
    from mtl.config.schema import RunConfig


def head_problems(config: RunConfig) -> list[Problem]:
    """Heads of unknown tasks, words that are no heads, and heads that do not fit the pairing."""
    problems: dict[str, Problem] = {}
    for task, word in config.heads.written().items():
        key = f"heads.{task}"
        if task not in TASKS:
            message = f"{key}: unknown key: {unknown_task(task)}"
        elif word not in TASKS[task].head_words:
            words = TASKS[task].head_words
            message = f"{key}: expected one of {', '.join(words)}, got {short(word)}."
            message += suggestion(word, words)
        else:
            continue
        problems[key] = Problem(uses=(key,), message=message)
    for task in config.tasks:
        owner = config.head_owner(task)
        key = f"heads.{owner}"
        fitting = TASKS[task].heads[config.pairing]
        if key in problems or config.head(task) in fitting:
            continue
        if owner != task and config.head(owner) in TASKS[owner].heads[config.pairing]:
            key = f"heads.{task}"  # the head fits its owner, so the taker has to choose
            message = (
                f"{key}=same is {owner}'s {config.head(task)}, which {task} cannot have with "
                f"pairing={config.pairing}. Heads that it can: {', '.join(fitting)}."
            )
            problems[key] = Problem(uses=("tasks", "pairing", key), message=message)
            continue
        takers = [name for name in config.tasks if config.head_owner(name) == owner != name]
        too = "".join(f" (heads.{name}=same takes it too)" for name in takers)
        message = (
            f"{key}={config.heads.word(owner)!r}{too} cannot take {config.pairing} pairs. "
            f"Heads that can: {', '.join(fitting)}; or let {key}=auto choose."
        )
        problems[key] = Problem(uses=("tasks", "pairing", key), message=message)
    return list(problems.values())
