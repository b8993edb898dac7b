"""The results of a grid, as `results.json` keeps them: every number that is printed.

`mtl.ablation.judging` computes them once, from a design and its runs. The terminal, W&B and reports
print what stands here and compute nothing. All scores are of dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mtl.ablation.claims import Claim, Judgement
from mtl.stats.best_of import BestOf
from mtl.stats.decision import Word
from mtl.stats.summary import Summary
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Score = str
"""A task's name, or `overall`."""


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
    """A difference or weighted sum of scores, with its interval at `level`, p value and seeds."""

    value: float
    low: float
    high: float
    level: float
    p: float
    seeds: tuple[int, ...]


class Spread(Part):
    """How much a difference varies, and how much of that is borrowed from the grid.

    `own` is the variance of one seed's difference from its own seeds, `moderated` that with
    `prior_df` degrees of freedom of the grid. `scale` is lambda, how many times the variance of the
    flips the grid expects.
    """

    own: float
    moderated: float
    df: float
    prior_df: float
    scale: float


class Verdict(Part):
    """What a comparison says. `text` is the verdict in words, `reason` says why.

    `estimate` has the interval that decides on helps and hurts, at the level of this look.
    `equivalence` is the interval that decides on `no difference`, `bound` its larger end: no
    difference is larger. `adjusted_p` is Holm's. `detectable` is the smallest true difference that
    these seeds find four times in five. `more_seeds` is set for verdicts that are open: the fewest
    further seeds that decide with a chance of 80 %, 101 for any above 100; there None means that no
    number is enough. `chance` is the probability of a decision at the most seeds that are planned.
    `probability` is that of an effect above 0; `per_seed_sd` the difference in standard deviations
    of a score over seeds. `flags` say what is odd about the seeds. `planned` is False where the
    comparison was chosen after its runs were there, None where that is not known.
    """

    word: Word
    text: str
    reason: str
    adjusted_p: float | None = None
    more_seeds: int | None = None
    chance: float | None = None
    equivalence: tuple[float, float] | None = None
    bound: float | None = None
    detectable: float | None = None
    probability: float | None = None
    per_seed_sd: float | None = None
    flags: tuple[str, ...] = ()
    planned: bool | None = None
    estimate: Difference | None = None
    spread: Spread | None = None


class ArmResult(Part):
    """One arm: its scores over seeds, and its verdicts against the baseline by score.

    `scores` are those that are judged; `basis` says which: `cross-fitted`, or `last epoch` for runs
    of versions that kept no others. `best` are the scores of the best evaluation on dev, `last`
    those of the last. `missing` gives a reason for every planned seed without all scores,
    `collapsed` for every seed whose outputs are constant. `floor` names the scores that are no
    better than a constant output. `seconds` is the time of a run. `verdicts` is empty for the
    baseline.
    """

    name: str
    cell: str
    changes: dict[str, Any]
    tasks: tuple[TaskName, ...]
    seeds: tuple[int, ...]
    missing: dict[int, str]
    collapsed: dict[int, str] = {}
    floor: tuple[Score, ...] = ()
    basis: str = ""
    scores: dict[Score, Summary]
    best: dict[Score, Summary] = {}
    last: dict[Score, Summary] = {}
    verdicts: dict[Score, Verdict]
    seconds: Summary | None

    @property
    def untrained(self) -> list[int]:
        """The planned seeds without a run that is done. Scores of a done run may be undefined."""
        return [seed for seed in self.missing if seed not in self.seeds]


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


class RelativeGain(Part):
    """What an arm gains over the arms that train one task alone, as a share of their scores.

    `tasks` has the gain on each task: 0.03 is 3 % of the single-task score. `estimate` is their
    mean; `reason` says why there is none. `planned` is as in `Verdict`.
    """

    arm: str
    tasks: dict[TaskName, float] = {}
    estimate: Difference | None = None
    reason: str = ""
    planned: bool | None = None


class Delta(Part):
    """The relative gains of the arms (delta-m). `singles` are the arms that train a task alone."""

    singles: dict[TaskName, str]
    gains: tuple[RelativeGain, ...]


class ClaimResult(Part):
    """A claim and how it was judged.

    It rests on `verdict`, or for a claim about one arm on `numbers`: metric -> value by seed.
    Claims are corrected within their `family`; `survives` says whether a decided one also holds
    with a correction over all claims, and is None for others.
    """

    claim: Claim
    verdict: Verdict | None
    numbers: dict[str, tuple[float | None, ...]]
    judged: Judgement
    family: str = ""
    survives: bool | None = None
    planned: bool | None = None


class PriorOfGrid(Part):
    """What all arms say of the variance of a difference: d0 and lambda of a score."""

    df: float
    scale: float


class Results(Part):
    """The results of a grid. `arms` begins with the baseline.

    `margins` gives the margin of each score. `looks` is how often verdicts of this grid were made
    with other seeds, this time included. `best` is the arm with the best score among those that
    share the baseline's tasks. `delta` is None where the definition does not ask for it.

    Arms that were scored on other dev rows, or by another rule, than the baseline have no verdict
    against it. Then `groups` holds the results of each group of comparable arms, the baseline's
    first; `basis` says what a group was scored on.
    """

    SCHEMA: ClassVar[int] = 3
    """Version 0.1.0 wrote no schema number; schema 2 had one margin and no cross-fitted scores."""

    schema_number: Literal[3] = Field(default=3, alias="schema")
    name: str
    question: str
    baseline: str
    primary: Score
    """The score that decides: overall, or the only task."""
    margins: dict[Score, float]
    looks: int
    priors: dict[Score, PriorOfGrid] = {}
    arms: tuple[ArmResult, ...]
    best: str | None
    best_of: BestOf | None
    main_effects: tuple[FactorEffect, ...]
    interactions: tuple[FactorEffect, ...]
    shapley: tuple[FactorEffect, ...]
    claims: tuple[ClaimResult, ...]
    delta: Delta | None = Field(default=None, exclude_if=lambda delta: delta is None)
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
