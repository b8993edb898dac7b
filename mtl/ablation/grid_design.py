"""The design of a grid, as `grid.json` keeps it: what judging needs besides the runs.

It holds resolved configs and the names of runs, so that a later version of mtl reads an old grid as
it was, whatever its defaults are by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from mtl.ablation.claims import Claim
from mtl.ablation.definition import Definition
from mtl.ablation.design import Design
from mtl.config import identity
from mtl.grid.arm import Arm

SCHEMA = 2
"""Schema 1 named the runs only; `mtl.ablation.grid_files` reads it."""


class GridDesign(BaseModel):
    """The question and the plan of a grid.

    `arms` begins with the baseline. `factors` gives the levels of each factor, the reference level
    first; `combinations` names the arm of each combination of levels. `runs` gives for each arm the
    run id of every seed. `looks` is how often the data are judged at most.
    """

    schema_number: Literal[2] = Field(default=2, alias="schema")
    name: str
    question: str
    base: str = "baseline"
    margin: float = 0.01
    looks: int = Field(default=1, ge=1)
    baseline: str
    arms: tuple[Arm, ...] = Field(min_length=1)
    factors: dict[str, tuple[str, ...]] = {}
    combinations: tuple[tuple[tuple[str, ...], str], ...] = ()
    claims: tuple[Claim, ...] = ()
    runs: dict[str, dict[int, str]]

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

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

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `grid.json` holds it."""
        return self.model_dump(mode="json", by_alias=True)


def grid_design(
    definition: Definition, design: Design, seeds: Mapping[str, Sequence[int]], *, looks: int = 1
) -> GridDesign:
    """The design of a definition that was expanded, with the seeds of each arm."""
    cells = {arm.name: arm.cell for arm in design.arms}
    return GridDesign(
        name=definition.name,
        question=definition.question,
        base=definition.base,
        margin=definition.margin,
        looks=looks,
        baseline=design.baseline,
        arms=design.arms,
        factors=design.factors,
        combinations=tuple(design.combinations.items()),
        claims=definition.claims,
        runs={
            name: {seed: identity.run_id(cells[name], seed) for seed in chosen}
            for name, chosen in seeds.items()
        },
    )
