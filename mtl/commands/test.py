"""`mtl test`: the test split, opened on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from mtl.commands.options import (
    CONTEXT,
    bad_row_option,
    check_runs_folder,
    device_option,
    json_option,
    print_json,
    runs_option,
    stdout,
)


@click.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@runs_option
@device_option
@bad_row_option
@click.option(
    "--data",
    metavar="FOLDER",
    help="Where the data lies now.  [default: where the run's config says]",
)
@json_option
def test(
    names: tuple[str, ...],
    runs: Path,
    device: str | None,
    on_bad_row: Literal["error", "skip"],
    data: str | None,
    as_json: bool,
) -> None:
    """Score chosen runs on the test split, and write down that it was opened.

    Choose runs on dev first: every opening is counted, and reports print the count.

    \b
    Example:
      mtl test 3f2a-s0 --runs runs
    """
    from mtl.inference.trained import load_trained, open_test
    from mtl.runs.find import find_run

    check_runs_folder(runs)
    folders = [find_run(runs, name) for name in names]
    openings: dict[str, dict[str, Any]] = {}
    try:
        for folder in folders:
            opening = open_test(load_trained(folder, device), on_bad_row, data)
            openings[folder.run_id] = opening.as_json() | {"opened": len(folder.openings())}
    finally:  # what was opened before an error is counted, so it is shown too
        if openings and as_json:
            print_json(openings)
        elif openings:
            print_openings(openings)


def print_openings(openings: dict[str, dict[str, Any]]) -> None:
    """The test scores as a table, one row a run."""
    from rich.table import Table

    from mtl.tasks.registry import TASKS
    from mtl.training.progress import shown

    tasks = [
        task
        for task in TASKS.values()
        if any(f"test/{task.metric_key}" in o["metrics"] for o in openings.values())
    ]
    table = Table()
    table.add_column("run", overflow="fold")
    for heading in (*(f"{task.name} {task.metric}" for task in tasks), "overall", "times opened"):
        table.add_column(heading, justify="right")
    for name, opening in openings.items():
        keys = [*(f"test/{task.metric_key}" for task in tasks), "test/overall"]
        table.add_row(
            name, *(shown(opening["metrics"].get(key)) for key in keys), str(opening["opened"])
        )
    stdout().print(table)
