"""From the design of a grid and its runs to results: the one place where arms are judged.

Nothing here trains, and the same runs give the same results. Arms are judged in groups that were
scored on the same dev rows by the same rule. In a group each score (the metric of a task, and
overall where arms share their tasks) is judged over all arms together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.ablation.claim_results import arms_of, family_of, judge_claims
from mtl.ablation.claims import Claim
from mtl.ablation.comparison import Pool, difference_of, no_verdict, prior_of_grid, verdict_of
from mtl.ablation.evidence import ArmScores, Runs
from mtl.ablation.grid_design import GridDesign
from mtl.ablation.relative import delta_of, joined_delta
from mtl.ablation.results import (
    ArmResult,
    ClaimResult,
    FactorEffect,
    Results,
    Score,
    Verdict,
    scores_of,
)
from mtl.grid.arm import Arm
from mtl.stats.best_of import BestOf, expected_best
from mtl.stats.decision import Look, decide
from mtl.stats.effects import Effect, interactions, main_effects, shapley
from mtl.stats.moderation import NO_PRIOR, Prior
from mtl.tasks.registry import TASKS
from mtl.tasks.task import CORRELATIONS, TaskName

APART = "scored on other dev rows or by another rule; compare runs on the same data"
"""Why arms of two groups have no verdict."""


def make_results(design: GridDesign, runs: Runs) -> Results:
    """Judge the arms of a design on the runs that are there."""
    groups = _groups(design, runs)
    results = [_judge_group(design, arms, runs, alone=len(groups) == 1) for arms in groups]
    return results[0] if len(results) == 1 else _joined(design, tuple(results))


def _groups(design: GridDesign, runs: Runs) -> list[list[Arm]]:
    """The arms in groups whose scores compare, the baseline's group first."""
    rows = {arm.name: _dev_rows(design, arm, runs) for arm in design.arms}
    groups: list[list[Arm]] = []
    for arm in design.arms:
        group = next((group for group in groups if _comparable(group[0], arm, rows)), None)
        if group is None:
            groups.append([arm])
        else:
            group.append(arm)
    return groups


def _dev_rows(design: GridDesign, arm: Arm, runs: Runs) -> dict[TaskName, str] | None:
    """The fingerprints of the dev rows that an arm was scored on; None where no record says."""
    for run_id in design.runs[arm.name].values():
        if fingerprints := runs.dev_fingerprints(run_id):
            return {task: fingerprints[f"dev/{task}"] for task in arm.config.tasks}
    return None


def _comparable(first: Arm, second: Arm, rows: Mapping[str, dict[TaskName, str] | None]) -> bool:
    """Whether the tasks that two arms share were scored on the same rows by the same rule."""
    shared = set(first.config.tasks) & set(second.config.tasks)
    ruled = any(TASKS[task].metric in CORRELATIONS for task in shared)
    if ruled and first.config.overall != second.config.overall:
        return False
    of_first, of_second = rows[first.name], rows[second.name]
    if of_first is None or of_second is None:
        return first.config.data == second.config.data
    return all(of_first[task] == of_second[task] for task in of_first.keys() & of_second.keys())


def _judge_group(design: GridDesign, arms: Sequence[Arm], runs: Runs, *, alone: bool) -> Results:
    """The results of arms that compare. The first of them is the baseline."""
    first = arms[0]
    pool = Pool({
        arm.name: ArmScores(arm, design.runs[arm.name], runs, first.config.overall) for arm in arms
    })  # fmt: skip
    priors = _priors(pool, first)
    looks = {arm.name: look for arm in arms if (look := design.looks_at(arm.name))}
    verdicts = _verdicts(pool, first.name, design, priors, looks)
    results = tuple(_arm_result(pool.scores[arm.name], verdicts, design) for arm in arms)
    primary = primary_score(first.config.tasks)
    best_of, effects = _effects(design, pool, first, priors.get(primary, NO_PRIOR))
    names = pool.scores.keys()
    claims = [claim for claim in design.claims if arms_of(claim, design.baseline) <= names]
    return Results(
        name=design.name,
        question=design.question,
        baseline=first.name,
        primary=primary,
        margins={score: design.margin_of(score) for score in scores_of(_tasks_of(arms))},
        looks=max(1, len(design.history.looks)),
        priors={score: prior_of_grid(prior) for score, prior in priors.items()},
        arms=results,
        best=_best_arm(results, primary, best_of),
        best_of=best_of,
        main_effects=effects["main"],
        interactions=effects["interactions"],
        shapley=effects["shapley"],
        claims=judge_claims(
            claims,
            first.name,
            pool,
            margin=design.margin_of,
            looks=looks,
            planned=design.claim_planned,
        ),
        delta=delta_of(design, pool),
        basis="" if alone else _basis(first),
    )


def _tasks_of(arms: Sequence[Arm]) -> tuple[TaskName, ...]:
    """The tasks of any arm, in the registry's order."""
    trained = {task for arm in arms for task in arm.config.tasks}
    return tuple(task for task in TASKS if task in trained)


def primary_score(tasks: Sequence[TaskName]) -> Score:
    """The score that decides: overall, or the only task."""
    return "overall" if len(tasks) > 1 else tasks[0]


def _basis(arm: Arm) -> str:
    """What a group was scored on, and by which rule where it is not the usual one."""
    rule = "(r + 1) / 2 counts for a correlation" if arm.config.overall == "shifted" else ""
    return ", ".join(filter(None, [f"data {arm.config.data}", rule]))


def _arm_result(
    scores: ArmScores, verdicts: Mapping[Score, Mapping[str, Verdict]], design: GridDesign
) -> ArmResult:
    arm = scores.arm
    summaries = scores.summaries()
    return ArmResult(
        name=arm.name,
        cell=arm.cell,
        changes=dict(arm.changes),
        tasks=arm.config.tasks,
        seeds=tuple(scores.records),
        missing=scores.missing,
        collapsed=scores.collapsed,
        floor=tuple(
            task
            for task, floor in scores.floors.items()
            if task in summaries and summaries[task].mean <= floor + design.margin_of(task)
        ),
        basis=", ".join(sorted(set(scores.bases.values()))),
        scores=summaries,
        best=scores.best,
        last=scores.last,
        verdicts={
            score: by_arm[arm.name] for score, by_arm in verdicts.items() if arm.name in by_arm
        },
        seconds=scores.seconds(),
    )


def _priors(pool: Pool, baseline: Arm) -> dict[Score, Prior]:
    """What the arms say of the variance of each score that the baseline has."""
    of_baseline = pool.scores[baseline.name]
    return {
        score: pool.prior(score, tasks)
        for score in scores_of(baseline.config.tasks)
        if (tasks := of_baseline.tasks_of(score))
    }


def _verdicts(
    pool: Pool,
    baseline: str,
    design: GridDesign,
    priors: Mapping[Score, Prior],
    looks: Mapping[str, Look],
) -> dict[Score, dict[str, Verdict]]:
    """A verdict for each other arm on every score of the baseline; a score is judged together."""
    verdicts: dict[Score, dict[str, Verdict]] = {}
    for score, prior in priors.items():
        tasks = pool.scores[baseline].tasks_of(score)
        pairs = {
            name: pool.compare(name, baseline, tasks, prior)
            for name in pool.with_score(score, tasks)
            if name != baseline
        }
        if not pairs:
            continue
        judged = decide(
            {name: estimate for name, (estimate, _) in pairs.items()},
            margin=design.margin_of(score),
            looks=looks,
            reasons={name: reason for name, (_, reason) in pairs.items()},
        )
        verdicts[score] = {
            name: verdict_of(one, design.arm_planned(name, score, one.word))
            for name, one in judged.items()
        }
    return verdicts


def _effects(
    design: GridDesign, pool: Pool, baseline: Arm, prior: Prior
) -> tuple[BestOf | None, dict[str, tuple[FactorEffect, ...]]]:
    """What the best arm is worth, and the effects of the factors, where there are several."""
    tasks = pool.scores[baseline.name].tasks_of(primary_score(baseline.config.tasks))
    scored = {
        name: arm.scores
        for name, arm in pool.scores.items()
        if arm.has_examples_of(pool.scores[baseline.name])
    }
    combinations = {levels: name for levels, name in design.combinations if name in pool.scores}
    factors = {factor: levels[0] for factor, levels in design.factors.items()}
    if not combinations:
        factors = {}
    effects: dict[str, list[Effect]] = {"main": [], "interactions": [], "shapley": []}
    if len(factors) > 1:
        effects["main"] = main_effects(combinations, factors, scored, tasks, prior)
        effects["interactions"] = interactions(combinations, factors, scored, tasks, prior)
    best_of = expected_best(scored, baseline.name, tasks) if len(scored) > 1 else None
    if best_of is not None and len(factors) > 1:
        places = [levels for levels, name in combinations.items() if name == best_of.arm]
        if places:
            effects["shapley"] = shapley(combinations, factors, places[0], scored, tasks, prior)
    return best_of, {kind: tuple(map(_factor_effect, found)) for kind, found in effects.items()}


def _factor_effect(effect: Effect) -> FactorEffect:
    return FactorEffect(
        factors=effect.factors,
        levels=effect.levels,
        matched=effect.matched,
        weights=dict(effect.weights),
        estimate=difference_of(effect.estimate),
        reason=effect.reason,
    )


def _best_arm(arms: Sequence[ArmResult], primary: Score, best_of: BestOf | None) -> str | None:
    """The other arm with the highest score of those that share the baseline's tasks."""
    if best_of is not None:
        return best_of.arm
    scored = [arm for arm in arms[1:] if arm.tasks == arms[0].tasks and primary in arm.scores]
    best = max(scored, key=lambda arm: arm.scores[primary].mean, default=None)
    return None if best is None else best.name


def _joined(design: GridDesign, groups: tuple[Results, ...]) -> Results:
    """The results of the whole grid, from those of its groups.

    Arms of other groups than the baseline's have no verdict against it.
    """
    first = groups[0]
    arms = {arm.name: arm for arm in first.arms}
    for group in groups[1:]:
        for arm in group.arms:
            verdicts = _verdicts_apart(arm, first)
            arms[arm.name] = arm.model_copy(update={"verdicts": verdicts})
    judged = [result for group in groups for result in group.claims]
    return first.model_copy(
        update={
            "arms": tuple(arms[arm.name] for arm in design.arms),
            "claims": tuple(_claim_result(claim, judged, design) for claim in design.claims),
            "delta": joined_delta(design, groups),
            "basis": "",
            "groups": groups,
        }
    )


def _verdicts_apart(arm: ArmResult, group: Results) -> dict[Score, Verdict]:
    """No verdict on every score that an arm shares with the baseline of another group."""
    same_tasks = arm.tasks == group.arms[0].tasks
    return {
        score: no_verdict(APART)
        for score in scores_of(group.arms[0].tasks)
        if (same_tasks and len(arm.tasks) > 1 if score == "overall" else score in arm.tasks)
    }


def _claim_result(claim: Claim, judged: Sequence[ClaimResult], design: GridDesign) -> ClaimResult:
    """The result of a claim; a claim about arms of two groups is undecided."""
    for result in judged:
        if result.claim == claim:
            return result
    return ClaimResult(
        claim=claim,
        verdict=no_verdict(APART),
        numbers={},
        judged="undecided",
        family=family_of(claim),
        planned=design.claim_planned(claim),
    )
