"""`mtl study`: search the toggles with Optuna, and judge the best trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtl.commands.options import (
    CONTEXT,
    check_runs_folder,
    json_option,
    pool_options,
    quiet_option,
    resumable,
    runs_option,
)
from mtl.commands.printing import make_table, print_json, stdout
from mtl.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from mtl.runs.options import PoolOptions
    from mtl.study.definition import Study
    from mtl.study.results import StudyResults

PORT = 8080

storage_option = click.option(
    "--storage",
    metavar="URL",
    help="The database of the trials, as Optuna takes it.  [default: an SQLite file below --runs]",
)
trial_option = click.option(
    "--trial", type=click.IntRange(0), metavar="NUMBER", help="Take this trial, not the best."
)


@click.group(context_settings=CONTEXT)
def study() -> None:
    """Search the toggles with Optuna, show what mattered, and ablate the best trial.

    \b
    Example:
      mtl study optimize quick --trials 16
      mtl study show quick
      mtl study ablate quick
    """


@study.command(context_settings=CONTEXT, short_help="Search a space until the budget is spent.")
@click.argument("words", nargs=-1, metavar="[NAME|PATH] [KEY=VALUE]...")
@click.option(
    "--trials",
    type=click.IntRange(1),
    metavar="N",
    help="The most trials, those of earlier calls included.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="The most hours of search, those of earlier calls included.",
)
@click.option(
    "--name", metavar="NAME", help="Another name for the study, for example with other data."
)
@storage_option
@pool_options
@quiet_option
@json_option
def optimize(
    words: tuple[str, ...],
    trials: int | None,
    hours: float | None,
    name: str | None,
    storage: str | None,
    options: PoolOptions,
    quiet: bool,
    as_json: bool,
) -> None:
    """Search a space until the budget is spent, then run the best trial on fresh seeds.

    A study is a YAML file: by name from studies/ (of this folder, or those that ship with mtl), or
    by path. A trial is one choice of settings from its space. KEY=VALUE overrides a setting of
    every trial; seed=0,1 chooses the seeds, and a trial's score is the mean over them. The same
    command resumes after an interruption; a larger budget continues the search.

    \b
    Example:
      mtl study optimize quick --trials 8 train.epochs=2 --name quicker
    """
    from mtl.api import optimize as run_study
    from mtl.commands.grid_output import trained_runs

    named = [word for word in words if "=" not in word]
    if len(named) > 1:
        raise click.UsageError(f"one study at a time; got {', '.join(named)}.")
    with resumable():
        done = run_study(
            (named or ["quick"])[0],
            *(word for word in words if "=" in word),
            name=name,
            trials=trials,
            hours=hours,
            storage=storage,
            options=options,
            quiet=quiet,
        )
    if as_json:
        print_json(
            done.results.as_json() | {"failures": dict(done.failures), "trained": done.trained}
        )
    else:
        print_results(done.results)
        if done.stopped:
            click.echo(f"Stopped before the budget was spent: {done.stopped}.")
        click.echo(f"{trained_runs(done.trained)}; report: {done.folder / 'report.md'}")
    if done.failures or not done.results.front:
        click.get_current_context().exit(1)


@study.command(context_settings=CONTEXT, short_help="Show the results so far.")
@click.argument("name", default="quick")
@storage_option
@runs_option
@json_option
def show(name: str, storage: str | None, runs: Path, as_json: bool) -> None:
    """Show the results so far: the best trial, what mattered, every trial, the time spent.

    \b
    Example:
      mtl study show quick
    """
    results = results_of(name, storage, runs)[1]
    if as_json:
        print_json(results.as_json())
    else:
        print_results(results, history=True)


@study.command(context_settings=CONTEXT, short_help="Write the best settings for mtl train.")
@click.argument("name", default="quick")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="A YAML file for `mtl train`.  [default: stdout]",
)
@trial_option
@storage_option
@runs_option
def best(
    name: str, output: Path | None, trial: int | None, storage: str | None, runs: Path
) -> None:
    """Write the best trial's settings as a YAML file for `mtl train`.

    \b
    Example:
      mtl study best quick --output best.yaml
    """
    from mtl.commands.output import Output, writing
    from mtl.study.export import best_yaml

    target = None if output is None else Output(output)
    definition, results = results_of(name, storage, runs)
    with writing(target) as write:
        write(best_yaml(definition, results, trial))
    if target is not None and not target.stream:
        click.echo(f"{output}: mtl train {output}")


@study.command(context_settings=CONTEXT, short_help="Ablate the best trial, with verdicts.")
@click.argument("name", default="quick")
@click.option(
    "--seeds",
    type=click.IntRange(2, 1000),
    metavar="N",
    default=3,
    show_default=True,
    help="The number of fresh seeds: seeds that the search did not use.",
)
@trial_option
@storage_option
@pool_options
@quiet_option
@json_option
def ablate(
    name: str,
    seeds: int,
    trial: int | None,
    storage: str | None,
    options: PoolOptions,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train the best trial without each of its changes, on fresh seeds, and print verdicts.

    \b
    Example:
      mtl study ablate quick --seeds 3
    """
    from mtl.api import ablate as run_grid
    from mtl.commands.ablate import finish
    from mtl.study.export import best_trial
    from mtl.study.leave_one_out import leave_one_out

    definition, results = results_of(name, storage, options.runs)
    start = max(definition.seeds) + 1
    grid = leave_one_out(definition, best_trial(results, trial).point, range(start, start + seeds))
    with resumable():
        done = run_grid(grid, options=options, quiet=quiet)
    finish(done, as_json)


@study.command(context_settings=CONTEXT, short_help="Show a study in a browser.")
@click.argument("name", default="quick")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    default=PORT,
    show_default=True,
    help="The port to listen on.",
)
@storage_option
@runs_option
def dashboard(name: str, port: int, storage: str | None, runs: Path) -> None:
    """Show a study in a browser: serve optuna-dashboard on 127.0.0.1 until Ctrl-C.

    \b
    Example:
      mtl study dashboard quick --port 8080
    """
    from importlib.util import find_spec

    from mtl.errors import masked
    from mtl.study.storage import serve_dashboard

    if find_spec("optuna_dashboard") is None:
        raise ConfigError("optuna-dashboard is not installed: pip install 'mtl-ablate[dashboard]'")
    url = url_of(name, storage, runs)
    click.echo(f"http://127.0.0.1:{port} shows {masked(url)}; Ctrl-C ends it.", err=True)
    serve_dashboard(url, port)


def url_of(name: str, storage: str | None, runs: Path) -> str:
    """The storage URL of an existing study. Raises ConfigError with the nearest name."""
    from mtl.study.definition import studies
    from mtl.study.storage import known_studies, storage_url

    if storage is None:
        check_runs_folder(runs)
        known, spaces = known_studies(runs), studies()
        if name not in known:
            message = f"no study {name!r} in {runs}. Studies there: {', '.join(known) or 'none'}."
            if name in spaces:
                raise ConfigError(f"{message} `mtl study optimize {name}` starts it.")
            near = suggestion(name, [*known, *spaces])
            raise ConfigError(f"{message}{near} Spaces to search: {', '.join(spaces)}.")
    return storage_url(runs, name, storage)


def results_of(name: str, storage: str | None, runs: Path) -> tuple[Study, StudyResults]:
    """An existing study and its results so far. Raises ConfigError."""
    from mtl.study.results import make_results
    from mtl.study.storage import definition_in, load_study, open_storage, storage_errors

    url = url_of(name, storage, runs)
    with storage_errors(url):
        loaded = load_study(open_storage(url), name)
        definition = definition_in(loaded)
        return definition, make_results(definition, loaded, runs)


def print_results(results: StudyResults, *, history: bool = False) -> None:
    """Print the best trial, what mattered and the effort; with `history` every trial."""
    from mtl.study.sentences import effort, importance_table, trial_table, winner

    console = stdout(140)
    console.print(f"{results.name}: {results.question}", soft_wrap=True)
    if history:
        columns, rows = trial_table(results)
        words = (len(columns) - 3, len(columns) - 1)
        numbers = [index for index in range(len(columns)) if index not in words]
        console.print(make_table(columns, rows, numbers=numbers))
    for line in winner(results):
        console.print(line, soft_wrap=True)
    for objective in results.objectives:
        columns, rows, notes = importance_table(results, objective.key)
        if rows:
            console.print(f"What mattered for {objective.key} (shares by two evaluators):")
            console.print(make_table(columns, rows, numbers=range(1, len(columns))))
        for note in notes:
            console.print(note, soft_wrap=True)
    console.print(effort(results), soft_wrap=True)
