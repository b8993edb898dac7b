"""`mtl test`: scores on the test split."""

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
    runs_option,
)
from mtl.commands.printing import make_table, print_json, stdout

OPTIMISTIC = (
    "Dev scores are optimistic where dev chose the runs or their checkpoints, one by one and "
    "together. Test scores are not, as long as no opening of test chose a run."
)


@click.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@runs_option
@device_option
@bad_row_option
@click.option(
    "--data",
    metavar="FOLDER",
    help="The folder of the data, if it has moved since training.  [default: the run's own]",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Score the mean of the runs too: of their probabilities, or of their scores.",
)
@json_option
def test(
    names: tuple[str, ...],
    runs: Path,
    device: str | None,
    on_bad_row: Literal["error", "skip"],
    data: str | None,
    ensemble: bool,
    as_json: bool,
) -> None:
    """Score chosen runs on the test split.

    RUN is a run's name or a unique prefix. Choose runs on dev first: every opening of the test
    split is counted, and reports print the count. --ensemble scores the runs together as well, from
    the test predictions that they keep; an ensemble opens nothing of its own. The runs must have
    the same tasks, scored alike.

    \b
    Example:
      mtl test 3f2a-s0 --runs runs
      mtl test 3f2a-s0 3f2a-s1 3f2a-s2 --ensemble
    """
    from mtl.inference.ensemble import check_together, score_together
    from mtl.inference.trained import load_trained, open_test
    from mtl.runs.find import find_run

    check_runs_folder(runs)
    folders = [find_run(runs, name) for name in names]
    if ensemble:
        check_together(folders)
    openings: dict[str, dict[str, Any]] = {}
    try:
        for folder in folders:
            opening = open_test(load_trained(folder, device), on_bad_row, data)
            openings[folder.run_id] = opening.as_json() | {"opened": len(folder.openings())}
        if ensemble:
            openings["ensemble"] = score_together(folders)
    finally:  # openings before an error count, so they are printed too
        if openings and as_json:
            print_json(openings)
        elif openings:
            print_openings(openings)
            if "ensemble" in openings:
                click.echo(OPTIMISTIC)


def print_openings(openings: dict[str, dict[str, Any]]) -> None:
    """Print the test scores, one row per run."""
    from mtl.tasks.registry import TASKS
    from mtl.training.progress import shown

    scored = {key for opening in openings.values() for key in opening["metrics"]}
    tasks = [task for task in TASKS.readable() if f"test/{task.metric_key}" in scored]
    keys = [*(f"test/{task.metric_key}" for task in tasks), "test/overall"]
    names = [*(f"{task.name} {task.metric}" for task in tasks), "overall"]
    columns = ["run", *names, "times opened"]
    rows = [
        [
            run_id,
            *(shown(opening["metrics"].get(key)) for key in keys),
            str(opening.get("opened", "")),
        ]
        for run_id, opening in openings.items()
    ]
    stdout().print(make_table(columns, rows, numbers=range(1, len(columns))))
