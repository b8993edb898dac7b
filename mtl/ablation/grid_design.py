"""The design of a grid, as `grid.json` keeps it: what judging needs besides the runs.

It holds resolved configs and the names of runs, so that a later version of mtl reads an old grid as
it was, whatever its defaults are by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mtl.ablation.claims import Claim
from mtl.ablation.definition import Definition
from mtl.ablation.design import Design
from mtl.ablation.history import BY_MARGIN, History, all_planned
from mtl.ablation.margins import DEFAULT_MARGIN, Margin, margin_of
from mtl.config import identity
from mtl.errors import ConfigError
from mtl.grid.arm import Arm
from mtl.runs.definitions import definitions_of, tasks_in
from mtl.stats.decision import Look
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

SCHEMA = 3
"""Schema 1 named the runs only, schema 2 had no history; `mtl.ablation.grid_files` reads them."""


class GridDesign(BaseModel):
    """The question and the plan of a grid.

    `arms` begins with the baseline. `factors` gives the levels of each factor, the reference level
    first; `combinations` names the arm of each combination of levels. `delta` names the arm that
    trains each task alone. `runs` gives for each arm the run id of every seed. `history` is what
    happened to the grid before.
    """

    schema_number: Literal[3] = Field(default=3, alias="schema")
    name: str
    question: str
    base: str = "baseline"
    margin: Margin = DEFAULT_MARGIN
    baseline: str
    arms: tuple[Arm, ...] = Field(min_length=1)
    factors: dict[str, tuple[str, ...]] = {}
    combinations: tuple[tuple[tuple[str, ...], str], ...] = ()
    delta: dict[TaskName, str] = Field(default={}, exclude_if=lambda delta: not delta)
    claims: tuple[Claim, ...] = ()
    history: History = History()
    runs: dict[str, dict[int, str]]
    tasks: dict[str, Any] = Field(default={}, exclude_if=lambda tasks: not tasks)
    """The tasks of the arms that are not as shipped."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

    @model_validator(mode="before")
    @classmethod
    def _know_tasks(cls, value: Any) -> Any:
        """Make the tasks known before the settings of arms name them."""
        if isinstance(value, dict) and value.get("tasks"):
            try:
                TASKS.know(tasks_in(value["tasks"], "tasks"))
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("runs")
    @classmethod
    def _runs_of_every_arm(
        cls, runs: dict[str, dict[int, str]], info: ValidationInfo
    ) -> dict[str, dict[int, str]]:
        names = {arm.name for arm in info.data.get("arms", ())}
        if names and names != set(runs):
            raise ValueError(f"expected runs of {', '.join(sorted(names))}")
        return runs

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def seeds(self, arm: str) -> tuple[int, ...]:
        """The seeds of an arm."""
        return tuple(self.runs[arm])

    def margin_of(self, score: str) -> float:
        """The largest difference of a score that does not matter."""
        return margin_of(self.margin, score)

    def looks_at(self, arm: str) -> Look | None:
        """All looks at an arm; None where it is judged for the first and only time."""
        return self.history.look(arm, self.baseline)

    def arm_planned(self, arm: str, score: str, word: str) -> bool | None:
        """Whether a verdict was planned: its arm, and its margin where the word depends on it."""
        cells = {name: self.arm(name).cell for name in (arm, self.baseline)}
        known = [self.history.arm_planned(arm, cells[arm], self.baseline, cells[self.baseline])]
        if word in BY_MARGIN:
            known.append(self.history.margin_planned(score, self.margin_of(score)))
        return all_planned(known)

    def claim_planned(self, claim: Claim) -> bool | None:
        """Whether a claim was planned, and the margin of its score."""
        known = [
            self.history.claim_planned(claim, self.baseline),
            self.history.margin_planned(claim.task, self.margin_of(claim.task)),
        ]
        return all_planned(known)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `grid.json` holds it."""
        return self.model_dump(mode="json", by_alias=True)


def grid_design(
    definition: Definition,
    design: Design,
    seeds: Mapping[str, Sequence[int]],
    history: History = History(),  # noqa: B008 - it is frozen
) -> GridDesign:
    """The design of a definition that was expanded, with the seeds of each arm."""
    cells = {arm.name: arm.cell for arm in design.arms}
    return GridDesign(
        name=definition.name,
        question=definition.question,
        base=definition.base,
        margin=definition.margin,
        history=history,
        baseline=design.baseline,
        arms=design.arms,
        factors=design.factors,
        combinations=tuple(design.combinations.items()),
        delta={
            task: arm.name
            for task, name in definition.delta.items()
            if (arm := design.find(name)) is not None
        },
        claims=definition.claims,
        tasks=definitions_of(
            dict.fromkeys(task for arm in design.arms for task in arm.config.tasks)
        ),
        runs={
            name: {seed: identity.run_id(cells[name], seed) for seed in chosen}
            for name, chosen in seeds.items()
        },
    )
