"""`mtl submit`: the prediction files of the CS224N default project."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from mtl.commands.options import (
    CONTEXT,
    bad_row_option,
    check_not_a_file,
    check_runs_folder,
    device_option,
    runs_option,
)
from mtl.commands.printing import make_table, stdout


@click.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--data",
    metavar="FOLDER",
    help="The folder of the data, if it has moved since training.  [default: the run's own]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("predictions"),
    show_default=True,
    help="The folder to write. A zip of its files is written beside it.",
)
@bad_row_option
@runs_option
@device_option
def submit(
    names: tuple[str, ...],
    data: str | None,
    output: Path,
    on_bad_row: Literal["error", "skip"],
    runs: Path,
    device: str | None,
) -> None:
    """Write the six prediction files that the course's grader takes, and a zip of them.

    RUN is a run's name or a unique prefix. Several runs are an ensemble: the mean of their
    probabilities, for sts of their scores. Test sentences are those of *-test-student.csv in the
    data's folder, else of *-test.csv; test labels are not read.

    \b
    Example:
      mtl submit 3f2a-s0
    """
    from mtl.inference.ensemble import ensemble
    from mtl.inference.submission import (
        PLACES,
        file_name,
        file_text,
        submission_rows,
        write_submission,
    )
    from mtl.inference.trained import load_trained
    from mtl.runs.find import find_run
    from mtl.tasks.metrics import score
    from mtl.tasks.registry import course_tasks
    from mtl.training.progress import shown

    check_runs_folder(runs)
    check_not_a_file(output, "--output")
    folders = list(dict.fromkeys(find_run(runs, name) for name in names))
    trained = [load_trained(folder, device) for folder in folders]
    rows = submission_rows(trained, data, on_bad_row)
    texts: dict[str, str] = {}
    table = []
    for task in course_tasks():
        name = task.name
        parts = {split: ensemble(trained, rows[name, split]) for split in PLACES}
        texts |= {file_name(name, split): file_text(task, part) for split, part in parts.items()}
        sizes = [str(len(part.ids)) for part in parts.values()]
        members = sum(name in run.tasks for run in trained)
        dev = shown(score(parts["dev"]).metrics[task.metric_key])
        table.append([name, task.metric, dev, *sizes, str(members)])
    archive = write_submission(output.absolute(), texts)
    columns = ["task", "metric", "dev", "dev rows", "test rows", "runs"]
    stdout().print(make_table(columns, table, numbers=range(2, 6)))
    click.echo(f"{len(texts)} files in {output}, and {archive.name} beside it.")
