"""A definition at work: expand it, run what is missing, judge what is there.

    runs/<run_id>/                    every cell on every seed, as `mtl train` leaves it
    runs/grids/<name>/definition.yaml the question as it was asked
                      grid.json       the design: its arms, and their runs by seed
                      results.json    scores, verdicts and effects
                      worker-*.log    what workers printed

The engine receives `train` and never imports it, so that planning and judging load no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl.ablation.definition import Definition
from mtl.ablation.design import Design, expand
from mtl.ablation.evidence import FolderRuns, seeds_with_scores
from mtl.ablation.grid_design import GridDesign, grid_design
from mtl.ablation.grid_files import (
    RESULTS_FILE,
    read_history,
    with_look,
    write_grid_design,
    write_results,
)
from mtl.ablation.history import plan_of
from mtl.ablation.judging import make_results
from mtl.ablation.outlook import Outlook, outlooks
from mtl.ablation.results import Results
from mtl.ablation.sentences import comparison, tracked_numbers
from mtl.data.course.files import OnBadRow
from mtl.errors import ConfigError
from mtl.files import write_bytes
from mtl.grid.executor import Execution
from mtl.grid.plan import Plan, Planner
from mtl.grid.pool import LocalPool, slots
from mtl.grid.view import View
from mtl.grid.wording import duration, plural
from mtl.grid.worker import Setup, Train
from mtl.runs.folder import GRIDS
from mtl.runs.options import PoolOptions
from mtl.runs.prepare import Sources
from mtl.stats.decision import OPEN
from mtl.stats.projection import SMALL_CHANCE
from mtl.tracking.outcome import WandbMode
from mtl.tracking.summary import send_summary
from mtl.tracking.tracker import Table
from mtl.training.interrupt import Interruption

FEWEST_TO_SET_ASIDE = 3
"""With fewer seeds an arm is not set aside: two of them say nothing of a chance."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The outcome of a grid: its results, the runs trained now, and failures (run -> reason)."""

    results: Results
    plan: Plan
    trained: int
    failures: Mapping[str, str]
    folder: Path


class Grid:
    """A definition on a folder of runs.

    Raises ConfigError, DataError or EncoderError before anything is computed.
    """

    def __init__(
        self, definition: Definition, *, runs: Path, on_bad_row: OnBadRow = "error"
    ) -> None:
        self.definition, self.runs = definition, runs
        self.folder = runs / GRIDS / definition.name
        sources = Sources(on_bad_row)
        self.design: Design = expand(definition, sources.cell)
        self.planner = Planner(runs, sources)
        self.seeds: dict[str, tuple[int, ...]] = {
            arm.name: definition.seeds for arm in self.design.arms
        }
        self.history = read_history(self.folder)

    def plan(self, workers: int) -> Plan:
        """The runs of all arms on their seeds."""
        return self.planner.plan(self.design.arms, self.seeds, workers)

    def outlooks(self) -> tuple[Outlook, ...]:
        """What the grid can find, by score: from runs that are there, else usual variances."""
        rows = self.planner.dev_rows(self.design.arms[0])
        return outlooks(self.planned(), FolderRuns(self.runs), rows)

    def results(self) -> Results:
        """What the runs on disk say now. This is a look at the data, and is kept as one."""
        runs = FolderRuns(self.runs)
        self.history = read_history(self.folder)  # another command may have looked meanwhile
        design = with_look(self.planned(), runs)
        self.history = design.history
        self.write()
        return make_results(design, runs)

    def planned(self) -> GridDesign:
        """The design with the seeds planned so far."""
        return grid_design(self.definition, self.design, self.seeds, self.history)

    def fix_plan(self, max_seeds: int | None) -> None:
        """Put what is asked, and how it will be judged, beside the runs, before they are there."""
        before = not self.history.plans and (self.folder / RESULTS_FILE).exists()
        runs = FolderRuns(self.runs)
        design = self.planned()
        with_runs = seeds_with_scores(design, runs)
        plan = plan_of(
            arms={arm.name: arm.cell for arm in self.design.arms},
            baseline=self.design.baseline,
            margin=self.definition.margin,
            claims=self.definition.claims,
            delta=design.delta,
            seeds=self.definition.seeds,
            max_seeds=max_seeds,
            done=with_runs,
            looks=len(self.history.looks),
            before=before,
        )
        self.history = self.history.with_plan(plan)
        self.write()

    def add_seeds(self, results: Results, most: int) -> tuple[bool, list[str]]:
        """Plan one more seed for every open arm, except those that are set aside.

        The largest difference comes first. The baseline gets the seed too, where it lacks it. No
        arm gets more than `most` seeds. An arm is set aside if it has at least three seeds and the
        chance that `most` seeds decide it is small. Returns whether anything was added, and the
        arms that are set aside, with that chance in words.
        """
        undecided, aside = [], []
        for arm in results.arms:
            verdict = arm.verdicts.get(results.primary)
            if verdict is None or verdict.word not in OPEN or verdict.estimate is None:
                continue
            if len(self.seeds[arm.name]) >= most:
                continue
            if (
                verdict.chance is not None
                and verdict.chance < SMALL_CHANCE
                and len(verdict.estimate.seeds) >= FEWEST_TO_SET_ASIDE
            ):
                aside.append(f"{arm.name} ({100 * verdict.chance:.0f} %)")
            else:
                undecided.append((-abs(verdict.estimate.value), arm.name))
        names = [name for _, name in sorted(undecided)]
        for name in names:
            self.seeds[name] = _with_next(self.seeds[name], self.seeds[results.baseline])
        if names:
            longest = max((self.seeds[name] for name in names), key=len)
            if len(longest) > len(self.seeds[results.baseline]):
                self.seeds[results.baseline] = longest
        order = [
            results.baseline,
            *names,
            *(name for name in self.seeds if name not in (results.baseline, *names)),
        ]
        self.seeds = {name: self.seeds[name] for name in order}
        return bool(names), aside

    def write(self) -> None:
        """Put the question, the names of its runs and its history beside the runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / "definition.yaml", self.definition.to_yaml().encode())
        write_grid_design(self.planned(), self.folder)


def _with_next(seeds: tuple[int, ...], baseline: tuple[int, ...]) -> tuple[int, ...]:
    """One more seed: the baseline's next where it is ahead, so that the two are paired."""
    ahead = [seed for seed in baseline if seed not in seeds]
    return (*seeds, ahead[0] if ahead else max(seeds) + 1)


def run_grid(
    definition: Definition,
    *,
    train: Train,
    options: PoolOptions,
    fail_fast: bool = False,
    until_decided: bool = False,
    max_seeds: int | None = None,
    view: View | None = None,
) -> Ablation:
    """Train what is missing of a grid, in worker processes, and judge its arms.

    Calling it again trains only what is missing. A run whose worker dies or raises is tried
    `options.retry` more times. With `until_decided`, arms that are undecided get further seeds, up
    to `max_seeds` each; each look at the data then has a level of its own. Raises
    Interrupted after SIGINT or SIGTERM, once runs under way have saved themselves.
    """
    options = options.replace(wandb=options.wandb_mode, group=options.group or definition.name)
    view = view or View()
    check_seeds(definition, until_decided, max_seeds)
    grid = Grid(definition, runs=options.runs, on_bad_row=options.on_bad_row)
    chosen = slots(options.workers, options.device, len(definition.seeds) * len(grid.design.arms))
    grid.fix_plan(max_seeds)
    pool = LocalPool(
        Setup(train=train, options=options), chosen, grid.folder, silence=60 * options.lost_after
    )
    execution = Execution(options.runs, pool, view, retry=options.retry, fail_fast=fail_fast)
    try:
        with Interruption() as interruption:
            while True:
                plan = grid.plan(len(chosen))
                if plan.pending:
                    view.note(opening(plan, len(chosen), chosen[0].threads))
                    view.begin(plan, grid.planner.costs)
                    execution.run(plan.runs, interruption)
                results = grid.results()
                if max_seeds is None or (fail_fast and execution.failures):
                    break
                added, aside = grid.add_seeds(results, max_seeds)
                if aside:
                    view.note(
                        f"Set aside for now, as {max_seeds} seeds are not likely to decide them: "
                        f"{', '.join(aside)}."
                    )
                if not added:
                    break
                view.note("Some arms are undecided: one more seed for each.")
                grid.write()
    finally:
        view.end()
        pool.close()
    if write_results(results, grid.folder):
        _send(results, grid.folder, options.wandb_mode)
    return Ablation(
        results=results,
        plan=plan,
        trained=len(execution.trained),
        failures=dict(execution.failures),
        folder=grid.folder,
    )


def _send(results: Results, folder: Path, mode: WandbMode) -> None:
    """Log the results in W&B: the comparison table, and the scores of every arm."""
    columns, rows = comparison(results)
    send_summary(
        results.name,
        cells=[arm.cell for arm in results.arms],
        config={
            "question": results.question,
            "baseline": results.baseline,
            "margins": dict(results.margins),
        },
        summary=tracked_numbers(results),
        table=Table(name="comparison", columns=columns, rows=rows),
        folder=folder,
        mode=mode,
    )


def check_seeds(definition: Definition, until_decided: bool, max_seeds: int | None) -> None:
    """Raise ConfigError for a limit of seeds that makes no sense."""
    if until_decided != (max_seeds is not None):
        raise ConfigError(
            "--until-decided and --max-seeds K need each other: the first says how, the second "
            "how far."
        )
    if max_seeds is not None and max_seeds <= len(definition.seeds):
        raise ConfigError(
            f"--max-seeds {max_seeds}: the grid has {len(definition.seeds)} seeds already; ask "
            "for more."
        )


def opening(plan: Plan, workers: int, threads: int) -> str:
    """What is about to happen, in a line."""
    pending, total = len(plan.pending), len(plan.runs)
    there = f", {total - pending} there already" if pending < total else ""
    eta = "" if plan.seconds is None else f", about {duration(plan.seconds)}"
    return (
        f"{plural(total, 'run')}{there}; {pending} to train with {plural(workers, 'worker')} of "
        f"{plural(threads, 'thread')}{eta}"
    )
