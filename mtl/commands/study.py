"""`mtl study`: a search over the toggles, and what it found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtl.commands.options import (
    CONTEXT,
    check_runs_folder,
    json_option,
    pool_options,
    print_json,
    quiet_option,
    resumable,
    runs_option,
    stdout,
)
from mtl.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from mtl.runs.options import PoolOptions
    from mtl.study.definition import Study
    from mtl.study.results import StudyResults

PORT = 8080

storage_option = click.option(
    "--storage",
    metavar="URL",
    help="Where trials are kept: an Optuna storage.  [default: SQLite beside the runs]",
)
trial_option = click.option(
    "--trial", type=click.IntRange(0), metavar="NUMBER", help="Another trial than the best."
)


@click.group(context_settings=CONTEXT)
def study() -> None:
    """Search the toggles with Optuna, see what mattered, and take the winner apart.

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
    help="Trials in all, those of earlier calls included.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    metavar="H",
    help="Hours of searching in all.",
)
@click.option("--name", metavar="NAME", help="Another name for the study, as for other data.")
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
    """Search a space of studies/ until the budget is spent; then run the best on seeds that had no part in choosing it.

    KEY=VALUE words go over the study's settings; seed=0,1 chooses the seeds of a trial, whose mean is what counts. The
    same command goes on after any interruption, and a larger budget continues the search.

    \b
    Example:
      mtl study optimize quick --trials 8 train.epochs=2 --name quicker
    """
    from mtl.api import optimize as run_study

    named = [word for word in words if "=" not in word]
    if len(named) > 1:
        raise click.UsageError(f"one study at a time; came {', '.join(named)}.")
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
        trained = (
            f"{done.trained} runs trained"
            if done.trained
            else "nothing to train: all runs were there"
        )
        click.echo(f"{trained}; report: {done.folder / 'report.md'}")
    if done.failures or not done.results.front:
        click.get_current_context().exit(1)


@study.command(context_settings=CONTEXT, short_help="What a study has found so far.")
@click.argument("name", default="quick")
@storage_option
@runs_option
@json_option
def show(name: str, storage: str | None, runs: Path, as_json: bool) -> None:
    """What a study has found so far: the best, what mattered, every trial, time spent.

    \b
    Example:
      mtl study show quick
    """
    results = results_of(name, storage, runs)[1]
    if as_json:
        print_json(results.as_json())
    else:
        print_results(results, history=True)


@study.command(context_settings=CONTEXT, short_help="The best settings, as a file for mtl train.")
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
    """The best trial's settings, as a file that `mtl train FILE` takes.

    \b
    Example:
      mtl study best quick --output best.yaml
    """
    from mtl.files import write_bytes
    from mtl.study.export import best_yaml

    definition, results = results_of(name, storage, runs)
    text = best_yaml(definition, results, trial)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_bytes(output, text.encode())
        click.echo(f"{output}: mtl train {output}")


@study.command(context_settings=CONTEXT, short_help="Take the best apart, with verdicts.")
@click.argument("name", default="quick")
@click.option(
    "--seeds",
    type=click.IntRange(2, 1000),
    default=3,
    show_default=True,
    help="How many fresh seeds.",
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
    """Take the best apart: without each of its changes, on seeds that no trial has seen, with verdicts.

    \b
    Example:
      mtl study ablate quick --seeds 3
    """
    from mtl.api import ablate as run_grid
    from mtl.commands.ablate import print_results as print_verdicts
    from mtl.study.export import best_trial
    from mtl.study.leave_one_out import leave_one_out

    definition, results = results_of(name, storage, options.runs)
    start = max(definition.seeds) + 1
    grid = leave_one_out(definition, best_trial(results, trial).point, range(start, start + seeds))
    with resumable():
        done = run_grid(grid, options=options, quiet=quiet)
    if as_json:
        print_json(done.results.as_json() | {"failures": dict(done.failures)})
    else:
        print_verdicts(done)
    if any(arm.missing for arm in done.results.arms):
        click.get_current_context().exit(1)


@study.command(context_settings=CONTEXT, short_help="Look at a study in a browser, on loopback.")
@click.argument("name", default="quick")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@storage_option
@runs_option
def dashboard(name: str, port: int, storage: str | None, runs: Path) -> None:
    """Look at a study in a browser: starts optuna-dashboard on this machine's loopback, until it is interrupted.

    \b
    Example:
      mtl study dashboard quick --port 8080
    """
    from importlib.util import find_spec

    from mtl.study.storage import serve_dashboard, without_password

    if find_spec("optuna_dashboard") is None:
        raise ConfigError("optuna-dashboard is not installed: pip install 'mtl-ablate[dashboard]'")
    url = existing(name, storage, runs)
    click.echo(f"http://127.0.0.1:{port} shows {without_password(url)}; Ctrl-C ends it.", err=True)
    serve_dashboard(url, port)


def existing(name: str, storage: str | None, runs: Path) -> str:
    """The storage of a study that is there. Raises ConfigError with the nearest."""
    from mtl.study.definition import studies
    from mtl.study.storage import known_studies, storage_url

    if storage is None:
        check_runs_folder(runs)
        known = known_studies(runs)
        if name not in known:
            spaces = studies()
            begin = (
                f"`mtl study optimize {name}` begins it."
                if name in spaces
                else f"Spaces to search: {', '.join(spaces)}."
            )
            near = suggestion(name, [*known, *spaces]) if name not in spaces else ""
            raise ConfigError(
                f"no study {name!r} in {runs}; there are {', '.join(known) or 'none'}.{near} {begin}"
            )
    return storage_url(runs, name, storage)


def results_of(name: str, storage: str | None, runs: Path) -> tuple[Study, StudyResults]:
    """A study that is there, and what it has found so far. Raises ConfigError."""
    from mtl.study.results import make_results
    from mtl.study.storage import definition_in, load_study, open_storage

    found = load_study(open_storage(existing(name, storage, runs)), name)
    definition = definition_in(found)
    return definition, make_results(definition, found, runs)


def print_results(results: StudyResults, *, history: bool = False) -> None:
    """The winner with its two scores, what mattered, and what it cost; with `history` every trial."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from mtl.study.sentences import effort, importance_table, trial_table, winner

    console = stdout(140)

    def show_table(columns: list[str], rows: list[list[str]], texts: tuple[int, ...]) -> None:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for number, title in enumerate(columns):
            table.add_column(title, overflow="fold", justify="left" if number in texts else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)

    console.print(f"{results.name}: {results.question}", soft_wrap=True)
    if history:
        columns, rows = trial_table(results)
        show_table(columns, rows, (len(columns) - 3, len(columns) - 1))
    for line in winner(results):
        console.print(line, soft_wrap=True)
    for objective in results.objectives:
        columns, rows, notes = importance_table(results, objective.key)
        if rows:
            console.print(
                f"What mattered for {objective.key} (shares; two evaluators, which may disagree):"
            )
            show_table(columns, rows, (0,))
        for note in notes:
            console.print(note, soft_wrap=True)
    console.print(effort(results), soft_wrap=True)
