"""When a setting has no effect, and marks of fields in the schema. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Marks a field that has no effect in a run where `when` holds.

    `when` takes a RunConfig. `why` is the reason and the remedy, for the error; `{tasks}` is filled
    in.
    """

    when: Callable[[Any], bool]
    why: str


class AddedLater:
    """Marks a field that is newer than the first runs.

    Identity leaves it out at its default, so that old cells keep their names.
    """


ADDED_LATER = AddedLater()


def _smart_has(name: str, value: object) -> Callable[[Any], bool]:
    return lambda run: run.smart is not None and getattr(run.smart, name) == value


NO_PAIRS = Idle(
    when=lambda run: not any(TASKS[task].pair for task in run.tasks),
    why="tasks={tasks} has no task of pairs. Add one, or leave it out.",
)
ONE_TASK = Idle(
    when=lambda run: len(set(run.tasks)) == 1,
    why="tasks={tasks} is one task, and every schedule gives it the same batches. Leave it out.",
)
ONE_WEIGHT = Idle(
    when=lambda run: len(set(run.tasks)) == 1,
    why="tasks={tasks} is one task: there is no other to weigh it against. Leave it out.",
)
NO_LEARNED_WEIGHTS = Idle(
    when=lambda run: run.task_weights.rule != "uncertainty",
    why="only task_weights=uncertainty learns weights. Add that, or leave it out.",
)
NO_CORRELATION = Idle(
    when=lambda run: not any(TASKS[task].metric in CORRELATIONS for task in run.tasks),
    why="tasks={tasks} has no task that is scored by a correlation. Add one, or leave it out.",
)
NOTHING_FROZEN = Idle(
    when=lambda run: run.freeze.unfrozen == "all",
    why="freeze.unfrozen=all freezes nothing. Add freeze.unfrozen=3, or leave it out.",
)
NO_THAW = Idle(
    when=lambda run: run.train.epochs <= (run.freeze.thaw or 1),
    why="train.epochs is not above freeze.thaw, so the run ends before a layer thaws. "
    "Lower freeze.thaw, raise train.epochs, or leave it out.",
)
SAME_RATE = Idle(
    when=lambda run: run.train.head_lr == run.train.lr,
    why="train.head_lr is the learning rate of all. Leave it out.",
)
NO_LAYERS = Idle(
    when=lambda run: (
        run.freeze.unfrozen == 0
        and (run.freeze.thaw is None or NO_THAW.when(run))
        and (run.freeze.scope == "all" or set(run.tasks) <= set(run.freeze.scope))
    ),
    why="freeze.unfrozen=0 trains no layer. Raise freeze.unfrozen, or leave it out.",
)
NO_DROPOUT = Idle(
    when=lambda run: run.train.dropout == 0,
    why="train.dropout=0 turns all dropout off. Leave it out.",
)
NO_PERTURBATION = Idle(
    when=_smart_has("lambda_s", 0),
    why="smart.lambda_s=0 turns R_s off. Raise smart.lambda_s, or leave it out.",
)
NO_TEACHER = Idle(
    when=_smart_has("mu", 0), why="smart.mu=0 keeps no teacher. Raise smart.mu, or leave it out."
)
NO_BOUND = Idle(
    when=_smart_has("projection", "normalise"),
    why="smart.projection=normalise does not use it. Leave it out.",
)
ONE_ROW = Idle(
    when=lambda run: run.train.batch_size == 1, why="train.batch_size=1 is whole. Leave it out."
)
NO_ASCENT = Idle(
    when=_smart_has("steps", 0), why="smart.steps=0 makes no ascent step. Leave it out."
)
