"""What sections read: the archive of a report, and the few views of it that sections share."""

from __future__ import annotations

from collections.abc import Mapping

from mtl.ablation.results import ArmResult, Results
from mtl.config.schema import RunConfig
from mtl.errors import RunError
from mtl.report.archive import Archive, ArchivedRuns, Evaluation
from mtl.report.published import published_row
from mtl.runs.record import Opening, Record
from mtl.tasks.metrics import Predictions
from mtl.tasks.task import TaskName

Sentences = Mapping[tuple[TaskName, str], tuple[str, ...]]
"""The sentences of dev rows by task and id."""


class ReportData:
    """An archive, ready for sections. `sentences` is empty where no sentence may show.

    `groups` holds the results of arms that were scored on the same rows by the same rule: numbers
    of two groups never stand in one table. `results` are those of the baseline's group.
    """

    def __init__(self, archive: Archive, sentences: Sentences | None = None) -> None:
        self.archive = archive
        self.design = archive.design
        self.groups: tuple[Results, ...] = archive.results.comparable
        self.results = self.groups[0]
        self.arms = {arm.name: arm for arm in archive.design.arms}
        self.is_single_run = archive.kind == "run"
        self._runs = ArchivedRuns(archive.runs, archive.rows)
        self._sentences = sentences or {}

    @property
    def baseline(self) -> ArmResult:
        """The arm that others are compared with."""
        return self.results.arms[0]

    @property
    def best(self) -> ArmResult | None:
        """The best other arm that shares the baseline's tasks; None where none has a score."""
        return None if self.results.best is None else self.results.arm(self.results.best)

    @property
    def focus(self) -> tuple[ArmResult, ...]:
        """The arms that get a closer look; those with a run."""
        configs = {name: arm.config for name, arm in self.arms.items()}
        return focus_arms(self.results, configs)

    def record(self, arm: str, seed: int) -> Record | None:
        """The record of a run, whatever its status; None where there is none."""
        return self._runs.record(self.run_id(arm, seed))

    def records(self, arm: ArmResult) -> list[Record]:
        """The records of an arm's runs with scores, by seed."""
        records = [self.record(arm.name, seed) for seed in arm.seeds]
        return [record for record in records if record is not None]

    def run_id(self, arm: str, seed: int) -> str:
        """The run id of an arm on a seed."""
        return self.design.runs[arm][seed]

    def openings(self, arm: str, seed: int) -> tuple[Opening, ...]:
        """The openings of test of a run, oldest first."""
        return self.archive.runs[self.run_id(arm, seed)].tests

    def history(self, arm: str, seed: int) -> tuple[Evaluation, ...]:
        """The evaluations of a run, in order."""
        return self.archive.runs[self.run_id(arm, seed)].history

    def predictions(self, arm: str, seed: int, task: TaskName) -> Predictions | None:
        """The predictions of a run for dev; None where they are unknown or without labels."""
        try:
            predictions = self._runs.predictions(self.run_id(arm, seed), task)
        except (RunError, KeyError):
            return None
        has_labels = predictions.gold is not None and len(predictions.gold) > 0
        return predictions if has_labels else None

    def whole_predictions(self, arm: str, seed: int, task: TaskName) -> Predictions | None:
        """The same, where all outputs were kept."""
        if not self._runs.has_all_outputs(self.run_id(arm, seed), task):
            return None
        return self.predictions(arm, seed, task)

    def sentences(self, task: TaskName, row: str) -> tuple[str, ...]:
        """The sentences of a dev row; none where they may not show."""
        return self._sentences.get((task, row), ())


def focus_arms(results: Results, configs: Mapping[str, RunConfig]) -> tuple[ArmResult, ...]:
    """The baseline, the first arm that is the paper's final model, and the best arm.

    Each stands once, and only if it has a run.
    """
    final = [arm.name for arm in results.arms if published_row(configs[arm.name]) == "final"]
    best = [results.best] if results.best is not None else []
    names = dict.fromkeys([results.arms[0].name, *final[:1], *best])
    return tuple(arm for arm in map(results.arm, names) if arm.seeds)
