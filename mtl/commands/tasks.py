"""`mtl tasks`: list, show, check and begin tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mtl.commands.data import list_left_out, print_check, source_words
from mtl.commands.options import CONTEXT, bad_row_option, json_option
from mtl.commands.printing import make_table, print_json, stdout
from mtl.documents.yaml_file import dump_yaml
from mtl.errors import ConfigError, DataError
from mtl.tasks.registry import TASKS, course_names
from mtl.tasks.task import SPLITS, Split, TableData, Task, TaskName

if TYPE_CHECKING:
    from mtl.data.course.files import OnBadRow

OPTIONAL: tuple[Split, ...] = ("test",)
"""Splits that a task need not have."""
MOST_LABELS = 5
"""Labels that the list names; the others are counted."""


@click.group(name="tasks", context_settings=CONTEXT)
def tasks() -> None:
    """List, show, check and begin tasks.

    A task is a YAML file: tasks/NAME.yaml in the working folder, a file that ships with mtl, or a
    path. Train it with tasks=[NAME].
    """


@tasks.command(name="list", context_settings=CONTEXT)
@json_option
def list_(as_json: bool) -> None:
    """List the known tasks: those here, and those that ship with mtl.

    \b
    Example:
      mtl tasks list
    """
    from mtl.tasks.definition import LIBRARY

    own, problems = LIBRARY.own_paths(), []
    lines = []
    for name in TASKS:
        try:
            task = TASKS[name]
        except ConfigError as error:
            problems.append(str(error))
            continue
        lines.append({
            "task": name,
            "type": "classification" if task.class_names else "regression",
            "text": ", ".join(task.sentence_columns),
            "labels": _labels(task),
            "metric": task.metric,
            "weight": task.weight,
            "where": str(own.get(name, "shipped")),
        })  # fmt: skip
    if as_json:
        print_json(lines)
    else:
        rows = [[str(value) for value in line.values()] for line in lines]
        stdout(100).print(make_table(list(lines[0]), rows, numbers=()))
    if problems:
        raise ConfigError("\n".join(problems))


def _labels(task: Task) -> str:
    if not task.class_names:
        return f"{task.low:g} to {task.high:g}" if task.bounded else "any number"
    shown = ", ".join(task.class_names[:MOST_LABELS])
    more = len(task.class_names) - MOST_LABELS
    return f"{shown} and {more} more" if more > 0 else shown


@tasks.command(context_settings=CONTEXT)
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print a task's YAML with all defaults written out. NAME is a name or a path.

    \b
    Example:
      mtl tasks show sst
    """
    from mtl.tasks.written import written

    plain = written(TASKS.find(name))
    if as_json:
        print_json(plain)
    else:
        click.echo(dump_yaml(plain), nl=False)


@tasks.command(context_settings=CONTEXT)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--data",
    "source",
    metavar="DATA",
    default="sample",
    show_default=True,
    help="Where the data of the course's tasks is.",
)
@bad_row_option
@json_option
def check(names: Sequence[str], source: str, on_bad_row: str, as_json: bool) -> None:
    """Check tasks and their data: columns, labels, ids, splits, duplicates and leaks.

    A NAME is a name or a path. All problems are listed at once; without any, the sizes, the labels
    and the leaks are printed.

    \b
    Example:
      mtl tasks check nli
    """
    from mtl.data.check import check_rows
    from mtl.data.load import load_rows

    chosen, problems = _found(names)
    rows = {}
    try:
        rows = load_rows(
            source, chosen, SPLITS, on_bad_row=cast("OnBadRow", on_bad_row), optional=OPTIONAL
        )
    except DataError as error:
        problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    report: dict[str, Any] = {"source": source_words(source, chosen), **check_rows(rows)}
    if as_json:
        print_json(report)
    else:
        print_check(report)
    list_left_out(rows)


def _found(words: Sequence[str]) -> tuple[tuple[TaskName, ...], list[str]]:
    """The tasks of names and paths, and the problems of the files that are wrong."""
    tasks: dict[TaskName, tuple[str, Task]] = {}
    problems = []
    for word in dict.fromkeys(words):
        try:
            task = TASKS.find(word)
        except ConfigError as error:
            problems.append(str(error))
            continue
        other, same = tasks.setdefault(task.name, (word, task))
        if same != task:
            problems.append(
                f"{word}: the task {task.name} is another in {other}. Rename one, or check them "
                "one at a time."
            )
    return tuple(tasks), problems


@tasks.command(context_settings=CONTEXT)
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    help="The file of training rows: .csv, .tsv, .jsonl or .parquet.",
)
@click.option("--dev", type=click.Path(path_type=Path), help="The file of dev rows.")
@click.option("--test", type=click.Path(path_type=Path), help="The file of test rows.")
@click.option(
    "--text",
    multiple=True,
    metavar="COLUMN",
    help="The column of text; twice for pairs.  [default: guessed]",
)
@click.option("--label", metavar="COLUMN", help="The column of labels.  [default: guessed]")
@bad_row_option
def new(
    name: str,
    source: Path,
    dev: Path | None,
    test: Path | None,
    text: tuple[str, ...],
    label: str | None,
    on_bad_row: str,
) -> None:
    """Write tasks/NAME.yaml for the rows of a file, to be read and corrected.

    Columns and labels are guessed from the rows. Without --dev, a tenth of the rows is cut off for
    dev. The rows are checked as `mtl tasks check` does; where they cannot be used, nothing is
    written.

    \b
    Example:
      mtl tasks new topics --from topics.csv
    """
    from mtl.data.tables.guess import first_task
    from mtl.data.tables.read import read_own_rows
    from mtl.documents.yaml_file import parse_yaml
    from mtl.tasks.definition import task_from

    path = Path("tasks") / f"{name}.yaml"
    if path.exists() or name in course_names():
        where = path if path.exists() else f"task {name}"
        raise ConfigError(f"{where}: is there already. Choose another name, or remove the file.")
    named: dict[Split, Path | None] = {"train": source, "dev": dev, "test": test}
    files = {split: file for split, file in named.items() if file}
    bad_rows = cast("OnBadRow", on_bad_row)
    if len(text) > 2:
        raise click.UsageError(f"--text: expected one column, or two for pairs, got {len(text)}.")
    try:
        yaml = first_task(name, files, path.parent, text=text, label=label, on_bad_row=bad_rows)
        task = task_from(parse_yaml(yaml, str(path)), path.parent)
        assert isinstance(task.data, TableData)
        read_own_rows(task, task.data, SPLITS, on_bad_row=bad_rows)
    except DataError as error:
        raise DataError(f"{error}\n{path} is not written.") from None
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(yaml)
    click.echo(f"{path} written. Read it, then: mtl tasks check {name}")
