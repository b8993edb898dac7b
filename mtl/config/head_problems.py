"""Heads that a run cannot have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mtl.config.sections import Heads, Pairing
from mtl.documents.validation import Problem
from mtl.errors import short, suggestion
from mtl.tasks.registry import TASKS, unknown_task
from mtl.tasks.task import TaskName


def head_problems(
    heads: Heads,
    tasks: Sequence[TaskName],
    pairing: Pairing,
    head_of: Callable[[TaskName], str],
    owner_of: Callable[[TaskName], TaskName],
) -> list[Problem]:
    """Heads of unknown tasks, words that are no heads, and heads that do not fit the pairing.

    `head_of` and `owner_of` are `RunConfig.head` and `RunConfig.head_owner`.
    """
    problems: dict[str, Problem] = {}
    for task, word in heads.written().items():
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
    for task in tasks:
        owner = owner_of(task)
        key = f"heads.{owner}"
        fitting = TASKS[task].heads[pairing]
        if key in problems or head_of(task) in fitting:
            continue
        if owner != task and head_of(owner) in TASKS[owner].heads[pairing]:
            key = f"heads.{task}"  # the head fits its owner, so the taker has to choose
            message = (
                f"{key}=same is {owner}'s {head_of(task)}, which {task} cannot have with "
                f"pairing={pairing}. Heads that it can: {', '.join(fitting)}."
            )
            problems[key] = Problem(uses=("tasks", "pairing", key), message=message)
            continue
        takers = [name for name in tasks if owner_of(name) == owner != name]
        too = "".join(f" (heads.{name}=same takes it too)" for name in takers)
        message = (
            f"{key}={heads.word(owner)!r}{too} cannot take {pairing} pairs. "
            f"Heads that can: {', '.join(fitting)}; or let {key}=auto choose."
        )
        problems[key] = Problem(uses=("tasks", "pairing", key), message=message)
    return list(problems.values())
