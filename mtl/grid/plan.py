"""From arms and seeds to runs: done or missing, by what is on disk, with an estimate of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl.config import identity
from mtl.config.schema import RunConfig
from mtl.data.budget import expected_examples
from mtl.grid.arm import Arm
from mtl.grid.costs import Costs
from mtl.runs.find import run_folders
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Sources
from mtl.tasks.task import TaskName

ENDED = ("done", "diverged")
"""States in which a run is not trained again."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One arm on one seed.

    `state` is the folder's state, or `missing`. `examples` is the number of training examples.
    `seconds` is the estimated time left, None if unknown. `data` and `encoder` are fingerprints of
    what the run id was made from.
    """

    arm: str
    config: RunConfig
    run_id: str
    state: str
    examples: int
    seconds: float | None
    data: str = ""
    encoder: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train."""
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All runs of a grid, seed by seed: every arm runs once before any arm runs twice."""

    runs: tuple[PlannedRun, ...]
    workers: int

    @property
    def pending(self) -> list[PlannedRun]:
        """The runs to train."""
        return [run for run in self.runs if not run.ended]

    @property
    def seconds(self) -> float | None:
        """Estimated wall time of the pending runs on the plan's workers; None if unknown."""
        known = [run.seconds for run in self.pending if run.seconds is not None]
        pending = len(self.pending)
        if not pending:
            return 0.0
        return sum(known) / len(known) * pending / min(self.workers, pending) if known else None


class Planner:
    """Makes plans over one folder of runs. Learns the costs of runs from their records."""

    def __init__(self, runs: Path, sources: Sources) -> None:
        self._root, self._sources = runs, sources
        self.costs = Costs()
        for folder in run_folders(runs):
            spent = folder.spent()  # a damaged record of another grid's run says nothing
            if spent is not None:
                self.costs.learn(spent)

    def plan(self, arms: Sequence[Arm], seeds: Mapping[str, Sequence[int]], workers: int) -> Plan:
        """The runs of every arm on its seeds; among runs of one seed, in the order of `seeds`."""
        work = {
            arm.name: expected_examples(arm.config, self._sources.trained_rows(arm.config))
            for arm in arms
        }
        order = sorted({seed for chosen in seeds.values() for seed in chosen})
        named = {arm.name: arm for arm in arms}
        runs = [
            self._run(named[name], seed, work[name])
            for seed in order
            for name in seeds
            if seed in seeds[name]
        ]
        return Plan(runs=tuple(runs), workers=workers)

    def dev_rows(self, arm: Arm) -> dict[TaskName, int]:
        """The dev rows of each of an arm's tasks."""
        return self._sources.dev_rows(arm.config)

    def runs_of(
        self, name: str, config: RunConfig, cell: str, seeds: Sequence[int]
    ) -> tuple[PlannedRun, ...]:
        """The runs of one config, one per seed, as they stand on disk."""
        arm = Arm(name=name, config=config.resolved(), cell=cell)
        return self.plan([arm], {name: seeds}, workers=1).runs

    def _run(self, arm: Arm, seed: int, work: int) -> PlannedRun:
        run_id = identity.run_id(arm.cell, seed)
        folder = RunFolder(self._root / run_id)
        state = folder.state() if folder.path.is_dir() else "missing"
        seconds = 0.0 if state in ENDED else self.costs.seconds(arm.config, work)
        config = arm.config.model_copy(update={"seed": seed})
        data = self._sources.fingerprint(config)
        encoder = self._sources.pretrained(config).fingerprint
        return PlannedRun(
            arm=arm.name,
            config=config,
            run_id=run_id,
            state=state,
            examples=work,
            seconds=seconds,
            data=data,
            encoder=encoder,
        )
