"""What the commands do, as functions for notebooks and scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.ablation.definition import Definition, find_definition, with_words
from mtl.ablation.engine import Ablation, run_grid
from mtl.grid.view import make_view
from mtl.report.study_files import write_report as write_study_report
from mtl.study.definition import Study, find_study
from mtl.study.definition import with_words as study_with_words
from mtl.study.engine import Optimized
from mtl.study.engine import optimize as run_study

if TYPE_CHECKING:
    from mtl.config.schema import RunConfig
    from mtl.runs.record import Record


def ablate(
    grid: str | Definition,
    *words: str,
    runs: str | Path = "runs",
    quiet: bool = False,
    **options: Any,
) -> Ablation:
    """Train what is missing of a grid in worker processes, and judge its arms: `mtl ablate --grid` as a function.

    `grid` is a definition, its name or its path; `words` are `key=value` over its settings. `options` are those of
    `mtl.ablation.engine.run_grid`: workers, device, wandb, on_bad_row, retry, fail_fast, until_decided with max_seeds, cache_bytes. The
    result's `results` hold arms, verdicts, effects and claims; `mtl.load_runs(runs)` has every run as a row. Raises
    ConfigError, DataError or EncoderError before anything is trained.
    """
    definition = find_definition(grid) if isinstance(grid, str) else grid
    if words:
        definition = with_words(definition, list(words))
    return run_grid(
        definition, train=train_lazily, runs=Path(runs), view=make_view(quiet), **options
    )


def optimize(
    study: str | Study,
    *words: str,
    runs: str | Path = "runs",
    name: str | None = None,
    trials: int | None = None,
    hours: float | None = None,
    quiet: bool = False,
    **options: Any,
) -> Optimized:
    """Search a space until its budget is spent: `mtl study optimize` as a function.

    `study` is a definition, its name or its path; `words` are `key=value` over its settings; `trials` and `hours` replace its
    budget, which counts over all calls. `options` are those of `mtl.study.engine.optimize`: storage, workers, device, wandb,
    on_bad_row, retry, cache_bytes. Raises ConfigError, DataError or EncoderError before anything is trained.
    """
    definition = find_study(study) if isinstance(study, str) else study
    definition = study_with_words(definition, list(words), name=name)
    if trials is not None or hours is not None:
        definition = replace(definition, trials=trials, hours=hours)
    done = run_study(
        definition, train=train_lazily, runs=Path(runs), view=make_view(quiet), **options
    )
    write_study_report(done.results, done.folder)
    return done


def train_lazily(config: RunConfig, **options: Any) -> Record:
    """`mtl.train`, imported where a run is trained and not where runs are planned."""
    from mtl.training.loop import train

    return train(config, **options)
