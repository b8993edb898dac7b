"""What verdicts rest on: the records of runs, and their dev scores example by example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mtl.ablation.results import Score, scores_of
from mtl.errors import RunError
from mtl.grid.arm import Arm
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record
from mtl.stats.examples import Examples, examples
from mtl.stats.verdicts import Summary, summarise
from mtl.tasks.metrics import Predictions
from mtl.tasks.registry import TASKS
from mtl.tasks.task import TaskName


class Runs(ABC):
    """Runs by run id. Dev scores are computed once."""

    def __init__(self) -> None:
        self._examples: dict[tuple[str, TaskName, str], Examples | None] = {}

    @abstractmethod
    def record(self, run_id: str) -> Record | None:
        """The record, whatever its status; None where there is none.

        Raises RunError where it is damaged.
        """

    @abstractmethod
    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        """The predictions of a run for dev. Raises RunError where they are missing or damaged."""

    @abstractmethod
    def why_unscored(self, run_id: str) -> str:
        """Why a run has no scores; empty for a run that is done."""

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

    def examples(self, run_id: str, task: TaskName, rule: str) -> Examples | None:
        """The dev score of a run on a task, example by example; None where it is undefined.

        Raises RunError where the predictions are missing or damaged.
        """
        key = run_id, task, rule
        if key not in self._examples:
            self._examples[key] = examples(self.predictions(run_id, task), rule=rule)
        return self._examples[key]


class FolderRuns(Runs):
    """The runs below a folder. Each record is read once."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self._records: dict[str, Record | None | RunError] = {}

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

    def predictions(self, run_id: str, task: TaskName) -> Predictions:
        return RunFolder(self.root / run_id).predictions("dev", task)

    def why_unscored(self, run_id: str) -> str:
        try:
            record = self.record(run_id)
        except RunError as error:
            return str(error)
        if record is None:
            state = RunFolder(self.root / run_id).state()
            return state if state == "running" else "not run"
        if record.status == "done":
            return ""
        lines = (record.error or "").strip().splitlines()
        return f"{record.status}: {lines[-1]}" if lines else record.status


class ArmScores:
    """The scores of one arm, by task and seed, and the reasons of those that are missing.

    `rule` is the rule of the overall score, which says how sts counts.
    """

    def __init__(self, arm: Arm, seeds: Mapping[int, str], runs: Runs, rule: str) -> None:
        self.arm = arm
        self.records: dict[int, Record] = {}
        self.missing: dict[int, str] = {}
        self.scores: dict[TaskName, dict[int, Examples]] = {task: {} for task in arm.config.tasks}
        for seed, run_id in seeds.items():
            if reason := runs.why_unscored(run_id):
                self.missing[seed] = reason
                continue
            try:
                scores = {task: runs.examples(run_id, task, rule) for task in arm.config.tasks}
            except RunError as error:
                self.missing[seed] = str(error)
                continue
            record = runs.record(run_id)
            assert record is not None
            self.records[seed] = record
            for task, score in scores.items():
                self._add(task, seed, score, record)

    def _add(self, task: TaskName, seed: int, score: Examples | None, record: Record) -> None:
        if score is None:
            key = f"dev/{TASKS[task].metric_key}"
            reason = record.undefined.get(key, "no reason recorded")
            self.missing[seed] = f"{key} is undefined: {reason}"
            return
        # Equal ids and labels may be those of other sentences. The fingerprint of the data is of
        # all that a row has.
        order = record.data.parts.get(f"dev/{task}", score.order)
        self.scores[task][seed] = replace(score, order=order)

    def tasks_of(self, score: Score) -> tuple[TaskName, ...]:
        """The tasks whose mean is the score; empty where the arm has no such score."""
        tasks = self.arm.config.tasks
        if score == "overall":
            return tasks if len(tasks) > 1 else ()
        return (score,) if score in tasks else ()

    def has_examples_of(self, reference: ArmScores) -> bool:
        """Whether both arms have scores of the same tasks on the same rows."""
        mine, theirs = self._orders(), reference._orders()
        return mine.keys() == theirs.keys() and all(
            len(mine[task] | theirs[task]) <= 1 for task in mine
        )

    def _orders(self) -> dict[TaskName, set[str]]:
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

    def seconds(self) -> Summary | None:
        """The time of a run over seeds, in seconds."""
        seconds = [record.seconds for record in self.records.values()]
        return summarise([value for value in seconds if value is not None])

    def metrics(self, keys: Sequence[str]) -> dict[str, tuple[float | None, ...]]:
        """Metrics of the records by path, each with its value for every seed that has scores."""
        return {
            key: tuple(record.metrics.get(key) for record in self.records.values()) for key in keys
        }
