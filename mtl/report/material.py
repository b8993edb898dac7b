"""What sections are made from: the records of a report, judged once, and the few looks at them that sections share.

Arms that were scored on other rows, or by another rule, than the baseline are groups of their own: their numbers never stand
in one table with the baseline's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from mtl.ablation.claims import ALONE, Claim, read_claims
from mtl.ablation.definition import Definition
from mtl.ablation.design import Design
from mtl.ablation.results import ArmResult, Results, Score, make_results
from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.config.yaml_file import YamlDocument
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.report.archive import Archive, ArchivedRuns
from mtl.report.published import published_row
from mtl.runs.record import Record
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS, TaskName

Texts = Mapping[tuple[TaskName, str], tuple[str, ...]]
"""The sentences of dev rows by task and id."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Arms that were scored on the same rows by the same rule, judged together; `what` says which rows and rule."""

    results: Results
    what: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one run at one moment: `dev/sst/accuracy` -> value."""

    step: int
    epoch: float | None
    metrics: Mapping[str, float | None]


class Material:
    """An archive, ready for sections. `texts` is empty where no sentence may show."""

    def __init__(self, archive: Archive, texts: Texts | None = None) -> None:
        self.archive, self.texts = archive, texts or {}
        self.kind: str = archive["kind"]
        self.name: str = archive["name"]
        self.question: str = archive["question"]
        self.runs = ArchivedRuns(archive)
        plain = archive["design"]
        self.arms: dict[str, Arm] = {
            arm["name"]: Arm(
                name=arm["name"],
                config=RunConfig.model_validate(arm["config"]),
                cell=arm["cell"],
                changes=arm["changes"],
                levels=arm["levels"],
                merged=tuple(arm["merged"]),
            )
            for arm in plain["arms"]
        }
        self.seeds: dict[str, tuple[int, ...]] = {
            name: tuple(seeds) for name, seeds in archive["seeds"].items()
        }
        self.claims: tuple[Claim, ...] = read_claims(
            YamlDocument(source=self.name, value=archive["claims"])
        )[0]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The baseline's group first."""
        members: list[list[Arm]] = []
        for arm in self.arms.values():
            same = next((group for group in members if self._comparable(group[0], arm)), None)
            members.append([arm]) if same is None else same.append(arm)
        return tuple(self._judged(group) for group in members)

    @property
    def results(self) -> Results:
        """The verdicts on the baseline and what can be compared with it."""
        return self.groups[0].results

    @property
    def baseline(self) -> ArmResult:
        """The arm that others are compared with."""
        return self.results.arms[0]

    @cached_property
    def best(self) -> ArmResult | None:
        """The best other arm that shares the baseline's tasks; None where there is none with a score."""
        return best_arm(self.results)

    @cached_property
    def focus(self) -> tuple[ArmResult, ...]:
        """The arms that closer looks are at: the baseline, the paper's final model, and the best; those with a run."""
        configs = {name: arm.config for name, arm in self.arms.items()}
        chosen = [self.results.arm(name) for name in chosen_arms(self.results, configs)]
        return tuple(arm for arm in chosen if arm.seeds)

    @property
    def level(self) -> float:
        """The level of the intervals that verdicts are decided by: 0.95, or higher where data are judged several times."""
        return 1 - 0.05 / self.results.looks

    def record(self, arm: str, seed: int) -> Record | None:
        """The record of a run, whatever its status; None where there is none."""
        return self.runs.stored(self.run_id(arm, seed))

    def records(self, arm: ArmResult) -> list[Record]:
        """The records of an arm's runs with scores, by seed."""
        found = [self.record(arm.name, seed) for seed in arm.seeds]
        return [record for record in found if record is not None]

    def run_id(self, arm: str, seed: int) -> str:
        """The name of an arm's run."""
        return identity.run_id(self.arms[arm].cell, seed)

    def openings(self, arm: str, seed: int) -> list[dict[str, object]]:
        """The openings of test of a run."""
        found: list[dict[str, object]] = self.archive["runs"][self.run_id(arm, seed)]["tests"]
        return found

    def history(self, arm: str, seed: int) -> list[Evaluation]:
        """The evaluations of a run, in order."""
        lines = self.archive["runs"][self.run_id(arm, seed)]["history"]
        return [
            Evaluation(step=line["step"], epoch=line["epoch"], metrics=line["metrics"])
            for line in lines
        ]

    def predictions(self, arm: str, seed: int, task: TaskName) -> Predictions | None:
        """What a run put out for dev; None where that is not known or not labelled."""
        try:
            found = self.runs.predictions(self.run_id(arm, seed), task)
        except (RunError, KeyError):
            return None
        return found if found.gold is not None and len(found.gold) else None

    def whole_predictions(self, arm: str, seed: int, task: TaskName) -> Predictions | None:
        """The same, where all outputs were kept."""
        found = self.predictions(arm, seed, task)
        return (
            found if found is not None and self.runs.whole(self.run_id(arm, seed), task) else None
        )

    def sentences(self, task: TaskName, row: str) -> tuple[str, ...]:
        """The sentences of a dev row; none where they may not show."""
        return self.texts.get((task, row), ())

    def _comparable(self, one: Arm, other: Arm) -> bool:
        """Whether two arms were scored on the same dev rows by the same rule, as far as they share tasks."""
        if (
            "sts" in one.config.tasks
            and "sts" in other.config.tasks
            and one.config.overall != other.config.overall
        ):
            return False
        rows, others = self._dev_rows(one), self._dev_rows(other)
        if rows is None or others is None:
            return one.config.data == other.config.data
        return all(rows[task] == others[task] for task in rows.keys() & others.keys())

    def _dev_rows(self, arm: Arm) -> dict[TaskName, str] | None:
        """The fingerprints of the dev rows that an arm was scored on; None where it has no record that says."""
        for seed in self.seeds[arm.name]:
            record = self.record(arm.name, seed)
            if record is not None and record.data.parts:
                return {task: record.data.parts[f"dev/{task}"] for task in arm.config.tasks}
        return None

    def _judged(self, arms: Sequence[Arm]) -> Group:
        first, names = arms[0], {arm.name for arm in arms}
        whole = len(arms) == len(self.arms)
        plain = self.archive["design"]
        combinations = {
            tuple(levels): name for levels, name in plain["combinations"] if name in names
        }
        factors = {factor: tuple(levels) for factor, levels in plain["factors"].items()}
        design = Design(
            arms=tuple(arms),
            baseline=first.name,
            factors=factors if combinations else {},
            combinations=combinations,
        )
        claims = tuple(
            claim for claim in self.claims if _arms_of(claim, plain["baseline"]) <= names
        )
        definition = Definition(
            name=self.name, question=self.question, margin=self.archive["margin"], claims=claims
        )  # fmt: skip
        seeds = {arm.name: self.seeds[arm.name] for arm in arms}
        results = make_results(definition, design, seeds, self.runs, looks=self.archive["looks"])
        rule = (
            "(r + 1) / 2 of sts counts towards overall" if first.config.overall == "shifted" else ""
        )
        what = "" if whole else ", ".join(filter(None, [f"data {first.config.data}", rule]))
        return Group(results=replace(results, baseline=first.name), what=what)


def _arms_of(claim: Claim, baseline: str) -> set[str]:
    """The arms that a claim rests on."""
    return {claim.arm} if claim.expect in ALONE else {claim.arm, claim.than or baseline}


def best_arm(results: Results) -> ArmResult | None:
    """The other arm with the highest score of those that share the baseline's tasks."""
    if results.best_of is not None:
        return results.arm(results.best_of.arm)
    tasks = results.arms[0].tasks
    scored = [
        arm for arm in results.arms[1:] if arm.tasks == tasks and results.primary in arm.scores
    ]
    return max(scored, key=lambda arm: arm.scores[results.primary].mean, default=None)


def chosen_arms(results: Results, configs: Mapping[str, RunConfig]) -> list[str]:
    """The names of the baseline, of the first arm that is the paper's final model, and of the best arm; each once."""
    final = [arm.name for arm in results.arms if published_row(configs[arm.name]) == "final"]
    best = best_arm(results)
    return list(dict.fromkeys([results.arms[0].name, *final[:1], *([best.name] if best else [])]))


def metric_key(score: Score) -> str:
    """The path of a score below its split: `sst/accuracy`, `overall`."""
    return "overall" if score == "overall" else TASKS[score].metric_key
