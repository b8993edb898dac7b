"""From records and predictions to verdicts: what every arm scored, by how much it differs, and how sure that is.

Nothing here trains or knows how runs came about; the same folder gives the same results. Scores are of dev. Each score (a task's
metric, and `overall` where arms share their tasks) is judged over all arms together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mtl.ablation.claims import ALONE, Claim, Judgement, judge_claim
from mtl.ablation.definition import Definition
from mtl.ablation.design import Design
from mtl.config import identity
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.stats import verdicts as stats
from mtl.stats.effects import Effect, interactions, main_effects, shapley
from mtl.tasks.registry import TASKS, TaskName

Score = Literal["sst", "quora", "sts", "overall"]


def scores_of(tasks: Sequence[TaskName]) -> tuple[Score, ...]:
    """The scores of a run on these tasks: each task's, and overall."""
    return (*tasks, "overall")


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm: the runs it has, its scores over seeds, and its verdicts against the baseline, by score.

    `missing` says of every planned seed without a score why that is. `seconds` is the cost of a run. `verdicts` is empty
    for the baseline.
    """

    name: str
    cell: str
    changes: Mapping[str, Any]
    tasks: tuple[TaskName, ...]
    seeds: tuple[int, ...]
    missing: Mapping[int, str]
    scores: Mapping[Score, stats.Summary]
    verdicts: Mapping[Score, stats.Verdict]
    seconds: stats.Summary | None


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """A claim and what becomes of it. It rests on a verdict, or for a claim about one arm on `numbers`: metric -> its value
    for each seed.
    """

    claim: Claim
    verdict: stats.Verdict | None
    numbers: Mapping[str, Sequence[float | None]]
    judged: Judgement


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a grid found. `arms` begins with the baseline; `looks` is how often its data were judged in all."""

    name: str
    question: str
    baseline: str
    margin: float
    looks: int
    arms: tuple[ArmResult, ...]
    main_effects: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    shapley: tuple[Effect, ...]
    best_of: stats.BestOf | None
    claims: tuple[ClaimResult, ...]

    def arm(self, name: str) -> ArmResult:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def primary(self) -> Score:
        """The score that decides: overall, or the only task."""
        tasks = self.arm(self.baseline).tasks
        return "overall" if len(tasks) > 1 else tasks[0]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        plain = asdict(self)
        for arm, item in zip(self.arms, plain["arms"], strict=True):
            item["verdicts"] = {
                score: _plain_verdict(verdict) for score, verdict in arm.verdicts.items()
            }
        for claim, item in zip(self.claims, plain["claims"], strict=True):
            item["verdict"] = None if claim.verdict is None else _plain_verdict(claim.verdict)
        for kind in ("main_effects", "interactions", "shapley"):
            for effect, item in zip(getattr(self, kind), plain[kind], strict=True):
                item["estimate"] = _plain_estimate(effect.estimate)
        return plain | {"primary": self.primary}


class Runs:
    """Reads each run of a folder once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._records: dict[str, Record | None | str] = {}
        self._examples: dict[tuple[str, TaskName, str], stats.Examples | None] = {}

    def record(self, run_id: str) -> tuple[Record | None, str]:
        """The record of a run with scores; else None and the reason."""
        folder = RunFolder(self._root / run_id)
        try:
            record = folder.record()
        except RunError as error:
            return None, str(error)
        if record is None:
            return None, "not run" if folder.state() != "running" else "running"
        if record.status != "done":
            lines = (record.error or "").strip().splitlines()
            return None, f"{record.status}: {lines[-1]}" if lines else record.status
        return record, ""

    def examples(self, run_id: str, task: TaskName, rule: str) -> stats.Examples | None:
        """A run's dev score on a task, example by example; None where it is undefined. Raises RunError."""
        key = run_id, task, rule
        if key not in self._examples:
            self._examples[key] = stats.examples(
                RunFolder(self._root / run_id).predictions("dev", task), rule=rule
            )
        return self._examples[key]


def make_results(
    definition: Definition,
    design: Design,
    seeds: Mapping[str, Sequence[int]],
    runs: Runs,
    *,
    looks: int = 1,
) -> Results:
    """Judge the arms of a design on the seeds planned for each, from what `runs` holds."""
    baseline = next(arm for arm in design.arms if arm.name == design.baseline)
    found = {
        arm.name: _Found(arm, seeds[arm.name], runs, baseline.config.overall) for arm in design.arms
    }
    verdicts = _verdicts(found, design.baseline, definition.margin, looks)
    arms = tuple(
        ArmResult(
            name=arm.name,
            cell=arm.cell,
            changes=arm.changes,
            tasks=arm.config.tasks,
            seeds=tuple(found[arm.name].records),
            missing=found[arm.name].missing,
            scores=found[arm.name].summaries(),
            verdicts={
                score: given[arm.name] for score, given in verdicts.items() if arm.name in given
            },
            seconds=stats.summarise(
                [
                    record.seconds
                    for record in found[arm.name].records.values()
                    if record.seconds is not None
                ]
            ),
        )
        for arm in design.arms
    )
    tasks = baseline.config.tasks
    scored = {
        name: one.scores for name, one in found.items() if one.same_examples(found[design.baseline])
    }
    factors = {factor: levels[0] for factor, levels in design.factors.items()}
    effects: dict[str, list[Effect]] = {"main": [], "two": [], "shapley": []}
    if len(factors) > 1:
        effects["main"] = main_effects(design.combinations, factors, scored, tasks)
        effects["two"] = interactions(design.combinations, factors, scored, tasks)
    best_of = stats.expected_best(scored, design.baseline, tasks) if len(scored) > 1 else None
    if best_of is not None and len(factors) > 1:
        places = [levels for levels, name in design.combinations.items() if name == best_of.arm]
        effects["shapley"] = (
            shapley(design.combinations, factors, places[0], scored, tasks) if places else []
        )
    return Results(
        name=definition.name,
        question=definition.question,
        baseline=design.baseline,
        margin=definition.margin,
        looks=looks,
        arms=arms,
        main_effects=tuple(effects["main"]),
        interactions=tuple(effects["two"]),
        shapley=tuple(effects["shapley"]),
        best_of=best_of,
        claims=_judge_claims(definition, design.baseline, found, looks),
    )


class _Found:
    """What the disk holds of one arm."""

    def __init__(self, arm: Arm, seeds: Sequence[int], runs: Runs, rule: str) -> None:
        self.arm = arm
        self.records: dict[int, Record] = {}
        self.missing: dict[int, str] = {}
        self.scores: dict[TaskName, dict[int, stats.Examples]] = {
            task: {} for task in arm.config.tasks
        }
        for seed in seeds:
            run_id = identity.run_id(arm.cell, seed)
            record, reason = runs.record(run_id)
            if record is None:
                self.missing[seed] = reason
                continue
            try:
                found = {task: runs.examples(run_id, task, rule) for task in arm.config.tasks}
            except RunError as error:
                self.missing[seed] = str(error)
                continue
            self.records[seed] = record
            for task, one in found.items():
                if one is None:
                    key = f"dev/{TASKS[task].metric_key}"
                    self.missing[seed] = (
                        f"{key} is undefined: {record.undefined.get(key, 'no reason recorded')}"
                    )
                else:
                    # Ids and labels may be those of other sentences; the data's fingerprint is of all that a row has.
                    self.scores[task][seed] = replace(
                        one, order=record.data.parts.get(f"dev/{task}", one.order)
                    )

    def tasks_of(self, score: Score) -> tuple[TaskName, ...]:
        """The tasks whose mean is the score; empty where the arm has no such score."""
        if score == "overall":
            return self.arm.config.tasks if len(self.arm.config.tasks) > 1 else ()
        return (score,) if score in self.arm.config.tasks else ()

    def same_examples(self, other: _Found) -> bool:
        """Whether both were scored on the same tasks and rows, so that their scores can be subtracted."""
        orders = [
            {task: {one.order for one in runs.values()} for task, runs in found.scores.items()}
            for found in (self, other)
        ]
        mine, others = orders
        return mine.keys() == others.keys() and all(
            len(mine[task] | others[task]) <= 1 for task in mine
        )

    def summaries(self) -> dict[Score, stats.Summary]:
        """Every score over seeds. A seed on which one task is undefined has no overall."""
        summaries: dict[Score, stats.Summary] = {}
        for score in scores_of(self.arm.config.tasks):
            tasks = self.tasks_of(score)
            per_task = [self.scores[task] for task in tasks]
            shared = (
                [seed for seed in self.records if all(seed in runs for runs in per_task)]
                if tasks
                else []
            )
            means = [sum(runs[seed].score for runs in per_task) / len(tasks) for seed in shared]
            if summary := stats.summarise(means):
                summaries[score] = summary
        return summaries


def _verdicts(
    found: Mapping[str, _Found], baseline: str, margin: float, looks: int
) -> dict[Score, dict[str, stats.Verdict]]:
    """For every score of the baseline, a verdict for each other arm that has it, judged together."""
    verdicts: dict[Score, dict[str, stats.Verdict]] = {}
    for score in scores_of(found[baseline].arm.config.tasks):
        tasks = found[baseline].tasks_of(score)
        others = [
            name
            for name, one in found.items()
            if name != baseline and tasks and one.tasks_of(score) == tasks
        ]
        pairs = {name: _compare(found[name], found[baseline], tasks) for name in others}
        if pairs:
            verdicts[score] = stats.judge(
                {name: estimate for name, (estimate, _) in pairs.items()},
                margin=margin,
                looks=looks,
                reasons={name: reason for name, (_, reason) in pairs.items()},
            )
    return verdicts


def _compare(
    one: _Found, other: _Found, tasks: Sequence[TaskName]
) -> tuple[stats.Estimate | None, str]:
    """The difference of two arms on some tasks, or None and why there is none."""
    arms = {one.arm.name: one.scores, other.arm.name: other.scores}
    weights = {one.arm.name: 1.0, other.arm.name: -1.0}
    if reason := stats.obstacle(arms, weights, tasks):
        return None, reason
    try:
        return stats.contrast(arms, weights, tasks), ""
    except ValueError as error:  # scored on different examples
        return None, str(error)


def _judge_claims(
    definition: Definition, baseline: str, found: Mapping[str, _Found], looks: int
) -> tuple[ClaimResult, ...]:
    """Each claim on its own comparison, Holm-corrected over the claims that are comparisons."""
    estimates: dict[str, stats.Estimate | None] = {}
    reasons: dict[str, str] = {}
    for number, claim in enumerate(definition.claims):
        if claim.expect in ALONE:
            continue
        one, other = found[claim.arm], found[claim.than or baseline]
        tasks = one.tasks_of(claim.task)
        if tasks and tasks == other.tasks_of(claim.task):
            estimates[str(number)], reasons[str(number)] = _compare(one, other, tasks)
        else:
            estimates[str(number)], reasons[str(number)] = (
                None,
                "the two arms do not share the tasks",
            )
    verdicts = stats.judge(estimates, margin=definition.margin, looks=looks, reasons=reasons)
    results = []
    for number, claim in enumerate(definition.claims):
        verdict, numbers = verdicts.get(str(number)), {}
        if claim.expect in ALONE:
            numbers = _numbers(claim, found[claim.arm])
            judged = judge_claim(
                claim, list(zip(*numbers.values(), strict=True)), margin=definition.margin
            )
        else:
            assert verdict is not None
            if claim.expect == "no difference" and verdict.within(definition.margin):
                # An effect can be sure and still smaller than counts.
                reason = f"the interval is inside the margin of {definition.margin:g}"
                verdict = replace(verdict, word="no difference", reason=reason, more_seeds=None)
            judged = judge_claim(claim, None if verdict.word == "no verdict" else verdict.word)
        results.append(ClaimResult(claim=claim, verdict=verdict, numbers=numbers, judged=judged))
    return tuple(results)


def _numbers(claim: Claim, one: _Found) -> dict[str, list[float | None]]:
    """What a claim about one arm rests on, seed by seed: recalls by class, or train and dev."""
    if claim.expect == "worst class":
        keys = [f"dev/sst/recall/{label}" for label in range(TASKS["sst"].outputs)]
    else:
        key = "overall" if claim.task == "overall" else TASKS[claim.task].metric_key
        keys = [f"train/{key}", f"dev/{key}"]
    return {key: [record.metrics.get(key) for record in one.records.values()] for key in keys}


def _plain_verdict(verdict: stats.Verdict) -> dict[str, Any]:
    return {
        "word": verdict.word,
        "text": verdict.text,
        "reason": verdict.reason,
        "adjusted_p": verdict.adjusted_p,
        "more_seeds": verdict.more_seeds,
        "level": verdict.level,
        "estimate": _plain_estimate(verdict.estimate),
    }


def _plain_estimate(estimate: stats.Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    low, high = estimate.interval(0.95)
    return {
        "value": estimate.value,
        "low": low,
        "high": high,
        "p": estimate.p,
        "seeds": list(estimate.seeds),
    }
