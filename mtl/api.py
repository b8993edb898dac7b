"""What the commands do, as functions for notebooks and scripts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from mtl.ablation.definition import Definition, find_definition, with_words
from mtl.ablation.engine import Ablation, run_grid
from mtl.ablation.margins import Margin
from mtl.grid.view import make_view
from mtl.report.studies.files import write_report as write_study_report
from mtl.runs.options import PoolKeywords, PoolOptions
from mtl.study.definition import Study, find_study
from mtl.study.definition import with_words as study_with_words
from mtl.study.engine import StudyOutcome
from mtl.study.engine import optimize as run_study

if TYPE_CHECKING:
    from mtl.config.schema import RunConfig
    from mtl.runs.options import RunOptions
    from mtl.runs.record import Record


def ablate(
    grid: str | Definition,
    *words: str,
    options: PoolOptions | None = None,
    fail_fast: bool = False,
    until_decided: bool = False,
    max_seeds: int | None = None,
    margin: Margin | None = None,
    quiet: bool = False,
    **keywords: Unpack[PoolKeywords],
) -> Ablation:
    """Train the missing runs of a grid in worker processes and judge its arms.

    The same as `mtl ablate --grid`. A second call trains only what is missing.

    Args:
        grid: A definition, its name or its path.
        *words: `key=value` words that go over the definition's settings.
        options: Where and how runs are trained; see `mtl.runs.options.PoolOptions`.
        fail_fast: Stop at the first run that fails for good.
        until_decided: Add seeds to undecided arms, up to `max_seeds` each.
        max_seeds: The most seeds of an arm; goes with `until_decided`.
        margin: The largest difference that does not matter: one, or one for each score; replaces
            the definition's own.
        quiet: No progress on stderr.
        **keywords: Fields of `PoolOptions`, which go over `options`.

    Returns:
        The results (arms, verdicts, effects, claims), the plan, and why runs failed.
        `mtl.load_runs(runs)` has every run as a row.

    Raises:
        ConfigError, DataError, EncoderError: Before anything is trained.

    Example:
        >>> from mtl import ablate
        >>> done = ablate("quickstart", runs="runs", workers=2)  # doctest: +SKIP
        >>> done.results.arms[1].verdicts["overall"].word  # doctest: +SKIP
        'helps'
    """
    definition = find_definition(grid) if isinstance(grid, str) else grid
    if words:
        definition = with_words(definition, list(words))
    if margin is not None:
        definition = replace(definition, margin=margin)
    return run_grid(
        definition,
        train=train_lazily,
        options=(options or PoolOptions()).replace(**keywords),
        fail_fast=fail_fast,
        until_decided=until_decided,
        max_seeds=max_seeds,
        view=make_view(quiet),
    )


def optimize(
    study: str | Study,
    *words: str,
    name: str | None = None,
    trials: int | None = None,
    hours: float | None = None,
    storage: str | None = None,
    options: PoolOptions | None = None,
    quiet: bool = False,
    **keywords: Unpack[PoolKeywords],
) -> StudyOutcome:
    """Search a space until its budget is spent, then run the best on fresh seeds.

    The same as `mtl study optimize`. A second call resumes the search.

    Args:
        study: A definition, its name or its path.
        *words: `key=value` words that go over the study's settings.
        name: Another name for the study, as for other data.
        trials: Trials in all, earlier calls included; replaces the study's own budget.
        hours: Hours of searching in all; replaces the study's own budget.
        storage: URL of an Optuna storage. Default: SQLite beside the runs.
        options: Where and how runs are trained; see `mtl.runs.options.PoolOptions`.
        quiet: No progress on stderr.
        **keywords: Fields of `PoolOptions`, which go over `options`.

    Returns:
        The results (trials, best, importances, fresh scores), why runs failed, and why the search
        stopped early.

    Raises:
        ConfigError, DataError, EncoderError: Before anything is trained.
        RunInUse: Another process optimises on the same SQLite file.

    Example:
        >>> from mtl import optimize
        >>> done = optimize("quick", runs="runs", trials=8)  # doctest: +SKIP
        >>> done.results.best.point  # doctest: +SKIP
        {'pairing': 'concat', 'train.lr': 0.0001}
    """
    definition = find_study(study) if isinstance(study, str) else study
    definition = study_with_words(definition, list(words), name=name)
    if trials is not None or hours is not None:
        definition = replace(definition, trials=trials, hours=hours)
    done = run_study(
        definition,
        train=train_lazily,
        options=(options or PoolOptions()).replace(**keywords),
        storage=storage,
        view=make_view(quiet),
    )
    write_study_report(done.results, done.folder)
    return done


def train_lazily(config: RunConfig, options: RunOptions, **more: Any) -> Record:
    """`mtl.train`, imported where a run is trained and not where runs are planned."""
    from mtl.training.loop import train

    return train(config, options, **more)
