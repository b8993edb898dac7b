"""What verdicts rest on: the records of runs, and their dev scores example by example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from mtl.ablation.grid_design import GridDesign
from mtl.ablation.results import Score, metric_key, scores_of
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.runs.examples import collapsed, examples, floor
from mtl.runs.folder import RunFolder
from mtl.runs.record import Metrics, Opening, Record
from mtl.stats.examples import Examples
from mtl.stats.summary import Summary, summarise
from mtl.tasks.metrics import Predictions, counted, shares_of
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName

Basis = Literal["cross-fitted", "last epoch", "best on dev"]
"""Which predictions of a run are judged."""


class Judged(NamedTuple):
    """The dev score of a run on a task that verdicts use, and which one it is.

    `examples` is None where the score is undefined. `collapsed` says how the outputs are constant,
    "" if they are not; `floor` is what constant outputs score at best.
    """

    examples: Examples | None
    basis: Basis
    collapsed: str
    floor: float


class Runs(ABC):
    """Runs by run id. Predictions are read, and dev scores computed, once."""

    def __init__(self) -> None:
        self._judged: dict[tuple[str, TaskName, str], Judged] = {}
        self._last: dict[str, Metrics] = {}

    @abstractmethod
    def record(self, run_id: str) -> Record | None:
        """The record, whatever its status; None where there is none.

        Raises RunError where it is damaged.
        """

    @abstractmethod
    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        """The predictions of a run for dev. Raises RunError where they are missing or damaged."""

    @abstractmethod
    def cross_fitted(self, run_id: str, task: TaskName) -> Predictions:
        """The cross-fitted ones (`mtl.runs.halves`). Raises RunError as `predictions` does."""

    @abstractmethod
    def evaluations(self, run_id: str) -> list[Metrics]:
        """The metrics of every evaluation of a run, in order. Raises RunError as `predictions`."""

    @abstractmethod
    def why_unscored(self, run_id: str) -> str:
        """Why a run has no scores; empty for a run that is done and whose openings are known."""

    def readable_record(self, run_id: str) -> Record | None:
        """The same, and None for a damaged one."""
        try:
            return self.record(run_id)
        except RunError:
            return None

    def dev_fingerprints(self, run_id: str) -> dict[str, str]:
        """The fingerprints of the parts of the data, by `dev/sst`; empty where no record says."""
        record = self.readable_record(run_id)
        return {} if record is None else record.data.parts

    def last(self, run_id: str) -> Metrics:
        """The dev metrics of the last evaluation; empty where they are not known.

        Raises RunError where they were only in a log that is damaged.
        """
        if run_id not in self._last:
            record = self.record(run_id)
            if record is not None and record.last is not None:
                self._last[run_id] = record.last
            else:
                evaluations = self.evaluations(run_id)
                self._last[run_id] = evaluations[-1] if evaluations else {}
        return self._last[run_id]

    def judged(self, run_id: str, task: TaskName, rule: str) -> Judged:
        """The dev score of a run that verdicts use, example by example.

        It is cross-fitted: the evaluation of each half of dev was chosen on the other half. A run
        that kept no such predictions is judged at its last evaluation, which was not chosen; its
        examples are then those of the best evaluation, and serve for their variance only. Raises
        RunError where predictions are missing or damaged.
        """
        key = run_id, task, rule
        if key not in self._judged:
            record = self.record(run_id)
            crossed = record is not None and record.cross_fitted is not None
            predictions = (self.cross_fitted if crossed else self.predictions)(run_id, task)
            if predictions.gold is None:
                raise RunError(f"{run_id}: its predictions for {task} have no labels.")
            found = examples(predictions, rule=rule)
            basis: Basis = "cross-fitted"
            if not crossed:
                found, basis = self._at_last(run_id, task, rule, found)
            self._judged[key] = Judged(
                examples=found,
                basis=basis,
                collapsed=collapsed(predictions),
                floor=floor(predictions, rule=rule),
            )
        return self._judged[key]

    def _at_last(
        self, run_id: str, task: TaskName, rule: str, best: Examples | None
    ) -> tuple[Examples | None, Basis]:
        """The score of the last evaluation, with the examples of the best one."""
        name = f"dev/{TASKS[task].metric_key}"
        record, last = self.record(run_id), self.last(run_id)
        if record is not None and record.config.get("train", {}).get("select") == "last":
            return best, "last epoch"
        if best is None or name not in last:
            return best, "best on dev"
        return replace(best, score=counted(last[name] or 0.0, task, rule)), "last epoch"


def parts_of(score: Score, tasks: Sequence[TaskName]) -> dict[str, tuple[TaskName, float]]:
    """The scores whose plain mean is a score: their keys in `ArmScores.scores`, task and factor.

    Where the weights of overall's tasks differ, its parts are multiples of the tasks' scores. Empty
    for a score that these tasks do not have.
    """
    if score != "overall":
        return {score: (score, 1.0)} if score in tasks else {}
    shares = shares_of(tasks) if len(tasks) > 1 else {}
    return {
        task if factor == 1 else f"{factor:g} {task}": (task, factor)
        for task, factor in shares.items()
    }


def seeds_with_scores(design: GridDesign, runs: Runs) -> dict[str, tuple[int, ...]]:
    """The seeds of each arm that have scores now; arms without any are left out."""
    found = {
        arm: tuple(seed for seed, run_id in by_seed.items() if not runs.why_unscored(run_id))
        for arm, by_seed in design.runs.items()
    }
    return {arm: seeds for arm, seeds in found.items() if seeds}


class FolderRuns(Runs):
    """The runs below a folder. Each record is read once."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self._records: dict[str, Record | None | RunError] = {}
        self._opened: dict[str, tuple[list[Opening], str]] = {}

    def record(self, run_id: str) -> Record | None:
        if run_id not in self._records:
            try:
                self._records[run_id] = RunFolder(self.root / run_id).record()
            except RunError as error:
                self._records[run_id] = error
        record = self._records[run_id]
        if isinstance(record, RunError):
            raise record
        return record

    def readable_openings(self, run_id: str) -> list[Opening]:
        """The openings of test; none where they are damaged."""
        return self._openings(run_id)[0]

    def _openings(self, run_id: str) -> tuple[list[Opening], str]:
        """The openings of test, and why they cannot be read."""
        if run_id not in self._opened:
            try:
                self._opened[run_id] = RunFolder(self.root / run_id).openings(), ""
            except RunError as error:
                self._opened[run_id] = [], str(error)
        return self._opened[run_id]

    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        return RunFolder(self.root / run_id).predictions("dev", task)

    def cross_fitted(self, run_id: str, task: TaskName) -> Predictions:
        return RunFolder(self.root / run_id).cross_fitted(task)

    def evaluations(self, run_id: str) -> list[Metrics]:
        lines = RunFolder(self.root / run_id).history()
        return [line["metrics"] for line in lines if "metrics" in line]

    def why_unscored(self, run_id: str) -> str:
        try:
            record = self.record(run_id)
        except RunError as error:
            return str(error)
        if record is None:
            state = RunFolder(self.root / run_id).state()
            return state if state == "running" else "not run"
        if record.status == "done":
            return self._openings(run_id)[1]
        lines = (record.error or "").strip().splitlines()
        return f"{record.status}: {lines[-1]}" if lines else record.status


class ArmScores:
    """The scores of one arm, by task and seed, and the reasons of those that are missing.

    `scores` are those that are judged, `bases` says for each seed which (`Runs.judged`). `best` and
    `last` are the summaries of the best evaluation on dev and of the last. `collapsed` says for
    which seeds, and how, the outputs are constant; `floors` what such an output scores on each
    task. `rule` is the rule of the overall score, which says how sts counts.
    """

    def __init__(self, arm: Arm, seeds: Mapping[int, str], runs: Runs, rule: str) -> None:
        self.arm, self.rule, self._runs = arm, rule, runs
        self.records: dict[int, Record] = {}
        self.missing: dict[int, str] = {}
        self.collapsed: dict[int, str] = {}
        self.bases: dict[int, Basis] = {}
        self.floors: dict[TaskName, float] = {}
        self.scores: dict[str, dict[int, Examples]] = {task: {} for task in arm.config.tasks}
        for seed, run_id in seeds.items():
            if reason := runs.why_unscored(run_id):
                self.missing[seed] = reason
                continue
            try:
                judged = {task: runs.judged(run_id, task, rule) for task in arm.config.tasks}
                runs.last(run_id)  # raises where it is asked for first
            except RunError as error:
                self.missing[seed] = str(error)
                continue
            record = runs.record(run_id)
            assert record is not None
            self.records[seed] = record
            for task, one in judged.items():
                self.bases[seed], self.floors[task] = one.basis, one.floor
                self._add(task, seed, one.examples, record)
            if constant := ", ".join(one.collapsed for one in judged.values() if one.collapsed):
                self.collapsed[seed] = constant

    def _add(self, task: TaskName, seed: int, score: Examples | None, record: Record) -> None:
        if score is None:
            key = f"dev/{TASKS[task].metric_key}"
            reason = record.undefined.get(key, "no reason recorded")
            self.missing[seed] = f"{key} is undefined: {reason}"
            return
        # Equal ids and labels may be those of other sentences. The fingerprint of the data is of
        # all that a row has.
        order = record.data.parts.get(f"dev/{task}", score.order)
        score = replace(score, order=order)
        self.scores[task][seed] = score
        for key, (part, factor) in parts_of("overall", self.arm.config.tasks).items():
            if part == task and factor != 1:
                values = None if score.values is None else factor * score.values
                scaled = replace(score, score=factor * score.score, values=values)
                self.scores.setdefault(key, {})[seed] = scaled

    def tasks_of(self, score: Score) -> tuple[TaskName, ...]:
        """The keys of `scores` whose mean is the score; empty where the arm has no such score."""
        return tuple(parts_of(score, self.arm.config.tasks))

    def has_examples_of(self, reference: ArmScores) -> bool:
        """Whether both arms have scores of the same tasks on the same rows."""
        mine, theirs = self._orders(), reference._orders()
        return mine.keys() == theirs.keys() and all(
            len(mine[task] | theirs[task]) <= 1 for task in mine
        )

    def _orders(self) -> dict[str, set[str]]:
        return {
            task: {score.order for score in by_seed.values()}
            for task, by_seed in self.scores.items()
        }

    def summaries(self) -> dict[Score, Summary]:
        """Every score over seeds. A seed on which one task is undefined has no overall."""
        summaries: dict[Score, Summary] = {}
        for score in scores_of(self.arm.config.tasks):
            by_task = [self.scores[task] for task in self.tasks_of(score)]
            if not by_task:
                continue
            shared = [seed for seed in self.records if all(seed in scores for scores in by_task)]
            means = [
                sum(scores[seed].score for scores in by_task) / len(by_task) for seed in shared
            ]
            if summary := summarise(means):
                summaries[score] = summary
        return summaries

    @property
    def best(self) -> dict[Score, Summary]:
        """Every score of the best evaluation on dev, over seeds."""
        return self._reported({seed: record.metrics for seed, record in self.records.items()})

    @property
    def last(self) -> dict[Score, Summary]:
        """Every score of the last evaluation, over seeds."""
        return self._reported({
            seed: self._runs.last(record.run_id) for seed, record in self.records.items()
        })  # fmt: skip

    def _reported(self, metrics: Mapping[int, Metrics]) -> dict[Score, Summary]:
        """Summaries of metrics that runs recorded. Undefined ones are left out."""
        summaries: dict[Score, Summary] = {}
        for score in scores_of(self.arm.config.tasks):
            if not self.tasks_of(score):
                continue
            key = f"dev/{metric_key(score)}"
            found = (of_seed.get(key) for of_seed in metrics.values())
            values = [value for value in found if value is not None]
            if score != "overall":
                values = [counted(value, score, self.rule) for value in values]
            if summary := summarise(values):
                summaries[score] = summary
        return summaries

    def seconds(self) -> Summary | None:
        """The time of a run over seeds, in seconds."""
        seconds = [record.seconds for record in self.records.values()]
        return summarise([value for value in seconds if value is not None])

    def metrics(self, keys: Sequence[str]) -> dict[str, tuple[float | None, ...]]:
        """Metrics of the records by path, each with its value for every seed that has scores."""
        return {
            key: tuple(record.metrics.get(key) for record in self.records.values()) for key in keys
        }
