"""`mtl predict`: label new text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from mtl.commands.options import (
    CONTEXT,
    bad_row_option,
    check_runs_folder,
    device_option,
    runs_option,
)
from mtl.commands.output import Output, writing
from mtl.errors import ConfigError, DataError, suggestion
from mtl.tasks.task import Task, TaskName

if TYPE_CHECKING:
    from mtl.runs.folder import RunFolder
    from mtl.tasks.metrics import Predictions

BAD_ROW_ADVICE = "Fix these rows, or leave them out with --on-bad-row skip."


@click.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--task",
    "task_name",
    required=True,
    metavar="TASK",
    help="The task to predict, one of each run's.",
)
@click.option(
    "--input",
    "source",
    metavar="PATH",
    default="-",
    show_default=True,
    help="The file to read, or - for standard input.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write.  [default: standard output]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, with all probabilities.")
@bad_row_option
@runs_option
@device_option
def predict(
    names: tuple[str, ...],
    task_name: TaskName,
    source: str,
    output: Path | None,
    as_json: bool,
    on_bad_row: Literal["error", "skip"],
    runs: Path,
    device: str | None,
) -> None:
    """Label new text with a run's model, one output line per input row.

    RUN is a run's name or a unique prefix. Several runs are an ensemble: the prediction is that of
    the mean of all runs' probabilities, for a regression the mean of their scores. The runs must
    define the task alike, with the same labels or range. All their models are in memory at once.

    The input is tab-separated with a header, or JSON lines with the same keys: the task's columns
    of text, as `mtl tasks show TASK` names them. A column id is optional. Rows are labelled in
    batches, so a text may have any length. The output columns are id, prediction, and:

    \b
      probability  of the predicted class; of the second class where there are two
      score        of a regression; the prediction is the same number

    A prediction is a label as the task's data writes it; --json gives the name of its class too,
    and for several runs their number as members.

    `mtl submit` writes the prediction files that the course's grader takes.

    \b
    Example:
      printf 'sentence\\nA quiet, clever film.\\n' | mtl predict 3f2a-s0 --task sst
      mtl predict 3f2a-s0 3f2a-s1 3f2a-s2 --task sst --input reviews.tsv
    """
    from mtl.data.new_text import BadRows, new_rows
    from mtl.data.text_lines import text_lines
    from mtl.inference.ensemble import check_members, ensemble, load_members
    from mtl.runs.find import find_run

    check_runs_folder(runs)
    target = None if output is None else Output(output)
    folders = [find_run(runs, name) for name in names]
    task = task_of(folders[0], task_name)
    check_members(folders, task_name)
    form = partial(json_lines, members=len(folders)) if as_json else table_lines
    source_name = "standard input" if source == "-" else source
    bad = BadRows()
    with _reading(source) as stream:
        batches = new_rows(text_lines(stream, source_name), task, source_name, bad)
        first = next(batches, None)

        def check_rows() -> None:
            if bad.count and (on_bad_row == "error" or first is None):
                for _ in batches:  # one error counts the bad rows of the whole text
                    pass
                raise bad.error(BAD_ROW_ADVICE)

        check_rows()
        members = load_members(folders, device)
        with writing(target) as write:
            if not as_json:
                write(table_header(task))
            for rows in chain([first] if first else [], batches):
                check_rows()
                write("".join(f"{line}\n" for line in form(task, ensemble(members, rows))))
            check_rows()
    for message in bad.first:
        click.echo(f"left out: {message}", err=True)
    if bad.count > len(bad.first):
        click.echo(f"left out: {bad.count - len(bad.first)} more rows", err=True)


def labelled(
    task: Task, predictions: Predictions
) -> Iterator[tuple[str, int | None, float, list[float]]]:
    """For each row: id, class, probability or score, and all class probabilities.

    A regression has no class and no probabilities.
    """
    from mtl.tasks.metrics import probabilities

    if task.kind == "score":
        for row_id, score in zip(predictions.ids, predictions.outputs[:, 0], strict=True):
            yield row_id, None, float(score), []
        return
    two = len(task.class_names) == 2
    for row_id, chances in zip(
        predictions.ids, probabilities(task, predictions.outputs), strict=True
    ):
        chosen = int(chances[1] > 0.5) if two else int(chances.argmax())
        yield row_id, chosen, float(chances[1] if two else chances[chosen]), chances.tolist()


def table_header(task: Task) -> str:
    """The first line of a table."""
    third = "score" if task.kind == "score" else "probability"
    return f"id\tprediction\t{third}\n"


def table_lines(task: Task, predictions: Predictions) -> Iterator[str]:
    """Tab-separated lines. White space in an id or a label becomes a space: one line per row."""

    def cell(word: str) -> str:
        return " ".join(word.split())

    for row_id, chosen, value, _ in labelled(task, predictions):
        prediction = f"{value:.6f}" if chosen is None else cell(task.label_words[chosen])
        yield f"{cell(row_id)}\t{prediction}\t{value:.6f}"


def json_lines(task: Task, predictions: Predictions, members: int = 1) -> Iterator[str]:
    """One JSON object per row, with the number of runs where there are several.

    Labels that are whole numbers in the data are numbers.
    """
    third = "score" if task.kind == "score" else "probability"
    labels = [int(word) if word.isdecimal() else word for word in task.label_words]
    for row_id, chosen, value, chances in labelled(task, predictions):
        prediction = value if chosen is None else labels[chosen]
        row: dict[str, object] = {"id": row_id, "prediction": prediction, third: value}
        if chosen is not None and task.class_names != task.label_words:
            row["name"] = task.class_names[chosen]
        if chances:
            row["probabilities"] = chances
        if members > 1:
            row["members"] = members
        yield json.dumps(row, ensure_ascii=False, allow_nan=False)


def task_of(folder: RunFolder, name: TaskName) -> Task:
    """The task of that name as the run knows it. Raises ConfigError for another run's task."""
    from mtl.tasks.registry import TASKS

    record = folder.record()
    if record is None:
        return TASKS.find(name)  # `load_trained` says why the run has no model
    TASKS.learn(record.definitions())
    trained = record.config["tasks"]
    if name not in trained:
        near = suggestion(name, trained)
        raise ConfigError(
            f"--task {name}: {folder.run_id} was trained on {', '.join(trained)}.{near}"
        )
    return TASKS[name]


@contextmanager
def _reading(source: str) -> Iterator[BufferedIOBase]:
    """The input. Raises DataError where it cannot be opened."""
    if source == "-":
        if sys.stdin is None:
            raise DataError("standard input is closed. Name a file with --input.")
        yield cast("BufferedIOBase", sys.stdin.buffer)
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - errors of the body are not those of opening
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}.") from None
    with file:
        yield file
