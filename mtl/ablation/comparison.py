"""Comparisons of arms that were scored on the same rows, with every number printed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mtl.ablation.evidence import ArmScores
from mtl.ablation.results import Difference, PriorOfGrid, Score, Spread, Verdict
from mtl.stats import decision
from mtl.stats.contrast import difference, obstacle
from mtl.stats.estimate import Estimate
from mtl.stats.moderation import NO_PRIOR, Prior, fit
from mtl.tasks.task import TaskName

NO_SHARED_TASKS = "the two arms do not share the tasks"


@dataclass(frozen=True)
class Pool:
    """Arms that compare. All of them inform the variance of each comparison."""

    scores: Mapping[str, ArmScores]
    _priors: dict[tuple[Score, tuple[TaskName, ...]], Prior] = field(default_factory=dict)

    def compare(
        self, arm: str, reference: str, tasks: Sequence[TaskName], prior: Prior
    ) -> tuple[Estimate | None, str]:
        """The difference of two arms on some tasks, or None and why there is none."""
        arms = {name: self.scores[name].scores for name in (arm, reference)}
        if reason := obstacle(arms, {arm: 1.0, reference: -1.0}, tasks):
            return None, reason
        try:
            return difference(arms, arm, reference, tasks, prior), ""
        except ValueError as error:  # scored on different examples
            return None, str(error)

    def with_score(self, score: Score, tasks: Sequence[TaskName]) -> list[str]:
        """The arms whose score is the mean over exactly these tasks."""
        return [name for name, arm in self.scores.items() if arm.tasks_of(score) == tuple(tasks)]

    def prior(self, score: Score, tasks: Sequence[TaskName]) -> Prior:
        """What all arms with a score say of the variance of their differences. Computed once."""
        key = score, tuple(tasks)
        if key not in self._priors:
            arms = {name: self.scores[name].scores for name in self.with_score(score, tasks)}
            try:
                self._priors[key] = fit(arms, tasks)
            except ValueError:  # not all of them compare; each comparison then stands alone
                self._priors[key] = NO_PRIOR
        return self._priors[key]


def prior_of_grid(prior: Prior) -> PriorOfGrid:
    """The numbers of a prior that are printed."""
    return PriorOfGrid(df=prior.df, scale=prior.scale)


def difference_of(estimate: Estimate | None, level: float = 0.95) -> Difference | None:
    """The numbers of an estimate."""
    if estimate is None:
        return None
    low, high = estimate.interval(level)
    return Difference(
        value=estimate.value,
        low=low,
        high=high,
        level=level,
        p=estimate.p,
        seeds=estimate.seeds,
    )


def verdict_of(verdict: decision.Verdict, planned: bool | None = None) -> Verdict:
    """The numbers of a verdict."""
    estimate = verdict.estimate
    if estimate is None or verdict.low is None or verdict.high is None:
        return no_verdict(verdict.reason)
    return Verdict(
        word=verdict.word,
        text=verdict.text,
        reason=verdict.reason,
        adjusted_p=verdict.adjusted_p,
        more_seeds=verdict.more_seeds,
        chance=verdict.chance,
        equivalence=(verdict.low, verdict.high),
        bound=verdict.bound,
        detectable=verdict.detectable,
        probability=estimate.probability,
        per_seed_sd=estimate.per_seed_sd,
        flags=estimate.flags,
        planned=planned,
        estimate=difference_of(estimate, verdict.level),
        spread=Spread(
            own=estimate.own_variance,
            moderated=estimate.seed_variance,
            df=estimate.df,
            prior_df=estimate.prior_df,
            scale=estimate.scale,
        ),
    )


def no_verdict(reason: str) -> Verdict:
    """The verdict on arms that cannot be compared."""
    return Verdict(word="no verdict", text=f"no verdict: {reason}", reason=reason)
