"""`mtl runs`: list, show, compare and verify runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtl.commands.options import CONTEXT, check_runs_folder, json_option, runs_option
from mtl.commands.printing import make_table, print_json, print_table, stdout
from mtl.documents.yaml_file import dump_yaml
from mtl.errors import MtlError, RunError

if TYPE_CHECKING:
    from mtl.runs.folder import RunFolder
    from mtl.runs.record import Record


@click.group(context_settings=CONTEXT)
def runs() -> None:
    """List, show, compare and verify runs."""


@runs.command("list", context_settings=CONTEXT)
@runs_option
@json_option
def list_runs(runs: Path, as_json: bool) -> None:
    """List all runs with status, dev scores and time.

    \b
    Example:
      mtl runs list --runs runs
    """
    from mtl.runs.find import run_folders
    from mtl.training.progress import tell

    check_runs_folder(runs)
    lines = [_row(folder) for folder in run_folders(runs)]
    rows = [row for row, _ in lines]
    if damaged := sum(row["status"] == "damaged" for row in rows):
        tell(f"Damaged: {damaged} of {len(rows)} runs. `mtl runs verify --runs {runs}` says why.")
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"No runs in {runs}. `mtl train` makes one.")
        return
    cells = [
        (
            row["run_id"],
            row["status"],
            dev,
            "-" if row["seconds"] is None else f"{row['seconds']:.0f}",
            "?" if row["test_openings"] is None else str(row["test_openings"]),
        )
        for row, dev in lines
    ]
    columns = ["run", "status", "dev", "s", "test opened"]
    print_table(columns, cells, numbers=(3, 4))


@runs.command(context_settings=CONTEXT)
@click.argument("run")
@runs_option
@json_option
def show(run: str, runs: Path, as_json: bool) -> None:
    """Show one run: scores, settings and cost.

    RUN is a run's name or a unique prefix.

    \b
    Example:
      mtl runs show 3f2a-s0 --runs runs
    """
    from mtl.commands.train import print_record
    from mtl.runs.find import find_run
    from mtl.tasks.registry import TASKS

    check_runs_folder(runs)
    folder = find_run(runs, run)
    record = _record_of(folder)
    stored = record.as_json()
    if as_json:
        print_json(stored | {"test": [opening.as_json() for opening in folder.openings()]})
        return
    with TASKS.using(record.definitions()):
        print_record(record, folder.path)
    console = stdout()
    if record.error:
        console.print(record.error)
    for opening in folder.openings():
        scores = {
            key: round(value, 4) for key, value in opening.metrics.items() if value is not None
        }
        console.print(f"test opened {opening.at}: {scores}", soft_wrap=True)
    sections = {key: stored[key] for key in ("config", "diagnostics", "data")}
    console.print(dump_yaml(sections), soft_wrap=True)


@runs.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@runs_option
@json_option
def diff(names: tuple[str, ...], runs: Path, as_json: bool) -> None:
    """Show the settings and dev scores in which runs differ.

    RUN is a run's name or a unique prefix.

    \b
    Example:
      mtl runs diff 3f2a-s0 81c0-s0 --runs runs
    """
    from mtl.runs.find import find_run
    from mtl.runs.frame import differences
    from mtl.tasks.registry import TASKS

    check_runs_folder(runs)
    if len(names) < 2:
        raise click.UsageError("name at least two runs.")
    folders = [find_run(runs, name) for name in names]
    records = [_record_of(folder) for folder in folders]
    settings = differences(records)
    keys: dict[str, None] = {}
    for record in records:
        with TASKS.using(record.definitions()):
            keys |= {f"dev/{TASKS[name].metric_key}": None for name in record.config["tasks"]}
    keys |= {"dev/overall": None}
    scores = {key: [record.metrics.get(key) for record in records] for key in keys}
    scores = {
        key: values for key, values in scores.items() if any(value is not None for value in values)
    }
    if as_json:
        print_json(
            {"runs": [folder.run_id for folder in folders], "config": settings, "metrics": scores}
        )
        return
    table = make_table(["", *(folder.run_id for folder in folders)])
    for key, values in settings.items():
        table.add_row(key, *map(str, values))
    table.add_section()
    for key, values in scores.items():
        table.add_row(key, *("-" if value is None else f"{value:.4f}" for value in values))
    stdout().print(table)


@runs.command("verify", context_settings=CONTEXT)
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_option
@json_option
def verify_runs(names: tuple[str, ...], runs: Path, as_json: bool) -> None:
    """Verify runs against their files: metrics from predictions, checkpoint hash, W&B copy.

    RUN is a run's name or a unique prefix. Without RUN, verify all runs. The exit code is 1
    if any run is wrong.

    \b
    Example:
      mtl runs verify --runs runs
    """
    from mtl.runs.find import find_run, run_folders
    from mtl.runs.verify import verify

    check_runs_folder(runs)
    folders = [find_run(runs, name) for name in names] if names else run_folders(runs)
    problems_of = {folder.run_id: verify(folder) for folder in folders}
    waiting = {folder.run_id: _waiting(folder) for folder in folders}
    if as_json:
        print_json(problems_of)
    else:
        for name, problems in problems_of.items():
            click.echo("; ".join([f"{name}: {'wrong' if problems else 'ok'}", *waiting[name]]))
            for problem in problems:
                click.echo(f"  {problem}")
        if not problems_of:
            click.echo(f"No runs in {runs}.")
    if any(problems_of.values()):
        click.get_current_context().exit(1)


def _row(folder: RunFolder) -> tuple[dict[str, Any], str]:
    """A run's row of the list, and its dev scores in words, by the metrics of its own record.

    Without readable openings their number is None.
    """
    from mtl.tasks.registry import TASKS
    from mtl.training.progress import dev_line

    dev = ""
    row: dict[str, Any] = {"run_id": folder.run_id, "status": "damaged"}
    row |= {"metrics": {}, "seconds": None, "test_openings": None}
    try:
        record = folder.record()
        if record is not None:
            row |= {"metrics": record.metrics, "seconds": record.seconds}
            with TASKS.using(record.definitions()):
                dev = dev_line(record.metrics)
        row["test_openings"] = len(folder.openings())
        row["status"] = folder.state() if record is None else record.status
    except RunError:
        pass
    return row, dev


def _waiting(folder: RunFolder) -> list[str]:
    """What is left to do for a run, whether it is right or wrong."""
    from mtl.runs.verify import left_over

    unsent = "W&B: not sent yet, see mtl sync" if _is_unsent(folder) else ""
    return [words for words in (unsent, left_over(folder)) if words]


def _record_of(folder: RunFolder) -> Record:
    """A run's record. Raises RunError if the run has none yet."""
    record = folder.record()
    if record is None:
        raise RunError(f"{folder.path}: {folder.state()}: no record yet.")
    return record


def _is_unsent(folder: RunFolder) -> bool:
    """Whether a run is meant for W&B online, and its copy has not been sent."""
    from mtl.tracking.wandb_copy import unsent

    try:
        record = folder.record()
        tracked = None if record is None else record.wandb
        return tracked is not None and tracked.mode == "online" and unsent(folder.path)
    except (MtlError, OSError):
        return False
