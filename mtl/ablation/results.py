"""The results of a grid, as `results.json` keeps them: every number that is printed.

`mtl.ablation.judging` computes them once, from a design and its runs. The terminal, W&B and reports
print what stands here and compute nothing. All scores are of dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtl.ablation.claims import Claim, Judgement
from mtl.stats.verdicts import BestOf, Summary, Word
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Score = Literal["sst", "quora", "sts", "overall"]


def scores_of(tasks: Sequence[TaskName]) -> tuple[Score, ...]:
    """The scores of a run on these tasks: one for each task, then overall."""
    return (*tasks, "overall")


def metric_key(score: Score) -> str:
    """The path of a score below its split: `sst/accuracy`, `overall`."""
    return "overall" if score == "overall" else TASKS[score].metric_key


class Part(BaseModel):
    """A part of the results: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Difference(Part):
    """A difference or weighted sum of scores, with its 95 % interval, p value and seeds."""

    value: float
    low: float
    high: float
    p: float
    seeds: tuple[int, ...]


class Verdict(Part):
    """What a comparison says. `text` is the verdict in words, `reason` says why.

    `level` is the level of the interval that decides, `interval` that interval, `detectable` the
    smallest true difference that this many seeds find four times in five. `adjusted_p` is Holm's.
    `more_seeds` is set for `undecided` only; None there means that no number of seeds is enough.
    """

    word: Word
    text: str
    reason: str
    adjusted_p: float | None
    more_seeds: int | None
    level: float
    interval: tuple[float, float] | None
    detectable: float | None
    estimate: Difference | None


class ArmResult(Part):
    """One arm: its scores over seeds, and its verdicts against the baseline by score.

    `missing` gives a reason for every planned seed without all scores. `seconds` is the time of a
    run. `verdicts` is empty for the baseline.
    """

    name: str
    cell: str
    changes: dict[str, Any]
    tasks: tuple[TaskName, ...]
    seeds: tuple[int, ...]
    missing: dict[int, str]
    scores: dict[Score, Summary]
    verdicts: dict[Score, Verdict]
    seconds: Summary | None


class FactorEffect(Part):
    """The effect of levels of factors, over `matched` sets of arms.

    `reason` says why there is no estimate.
    """

    factors: tuple[str, ...]
    levels: tuple[str, ...]
    matched: int
    weights: dict[str, float]
    estimate: Difference | None
    reason: str = ""


class ClaimResult(Part):
    """A claim and how it was judged.

    It rests on `verdict`, or for a claim about one arm on `numbers`: metric -> value by seed.
    """

    claim: Claim
    verdict: Verdict | None
    numbers: dict[str, tuple[float | None, ...]]
    judged: Judgement


class Results(Part):
    """The results of a grid. `arms` begins with the baseline.

    `looks` is how often the data are judged in all; `level` is the level of the intervals that
    decide, which allows for it. `best` is the arm with the best score among those that share the
    baseline's tasks.

    Arms that were scored on other dev rows, or by another rule, than the baseline have no verdict
    against it. Then `groups` holds the results of each group of comparable arms, the baseline's
    first; `basis` says what a group was scored on.
    """

    SCHEMA: ClassVar[int] = 2
    """Version 0.1.0 wrote neither a schema number nor groups."""

    schema_number: Literal[2] = Field(default=2, alias="schema")
    name: str
    question: str
    baseline: str
    primary: Score
    """The score that decides: overall, or the only task."""
    margin: float
    looks: int
    level: float
    arms: tuple[ArmResult, ...]
    best: str | None
    best_of: BestOf | None
    main_effects: tuple[FactorEffect, ...]
    interactions: tuple[FactorEffect, ...]
    shapley: tuple[FactorEffect, ...]
    claims: tuple[ClaimResult, ...]
    basis: str = ""
    groups: tuple[Results, ...] = ()

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
    )

    def arm(self, name: str) -> ArmResult:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def comparable(self) -> tuple[Results, ...]:
        """The groups of arms whose scores compare, the baseline's first."""
        return self.groups or (self,)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, as `results.json` holds it."""
        return self.model_dump(mode="json", by_alias=True)
