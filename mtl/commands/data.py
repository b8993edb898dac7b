"""`mtl data check` and `mtl data fetch`: check data, and download it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from mtl.commands.options import CONTEXT, bad_row_option, json_option
from mtl.commands.printing import make_table, print_json, stdout
from mtl.errors import ConfigError, escaped, suggestion
from mtl.tasks.registry import TASKS, course_names
from mtl.tasks.task import SPLITS, CourseData, Split, TaskName

if TYPE_CHECKING:
    from mtl.data.course.files import OnBadRow
    from mtl.data.rows import Rows

Name = TypeVar("Name", bound=str)
_MAX_LISTED = 20


@click.group(name="data", context_settings=CONTEXT)
def data() -> None:
    """Check data, or download it."""


@data.command(context_settings=CONTEXT)
@click.argument("source", metavar="[DATA]", default="sample")
@click.option(
    "--tasks",
    metavar="TASKS",
    default=",".join(course_names()),
    show_default=True,
    help="The tasks, separated by commas.",
)
@click.option(
    "--splits",
    metavar="SPLITS",
    default=",".join(SPLITS),
    show_default=True,
    help="The splits, separated by commas. Without the option, test files may be absent.",
)
@bad_row_option
@json_option
def check(source: str, tasks: str, splits: str, on_bad_row: str, as_json: bool) -> None:
    """Count sizes, labels, duplicates, contradictions and leaks in DATA.

    DATA is `sample` (built in), `hub`, or a folder of course files. All problems of all files are
    listed at once.

    \b
    Example:
      mtl data check sample --tasks sst,sts
    """
    from mtl.data.check import check_rows
    from mtl.data.load import load_rows

    chosen = _names("--tasks", tasks, tuple(TASKS))
    parts = _names("--splits", splits, SPLITS)
    source_of = click.get_current_context().get_parameter_source("splits")
    optional: tuple[Split, ...] = ("test",)
    if source_of is not click.core.ParameterSource.DEFAULT:
        optional = ()
    rows = load_rows(
        source,
        chosen,
        parts,
        on_bad_row=cast("OnBadRow", on_bad_row),
        optional=optional,
    )
    report = {"source": source_words(source, chosen), **check_rows(rows)}
    if as_json:
        print_json(report)
    else:
        print_check(report)
    list_left_out(rows)
    course = [task for task in chosen if task in course_names()]
    absent = [TASKS[task].file_name("test") for task in course if (task, "test") not in rows]
    if absent and "test" in parts:
        click.echo(
            f"{source}: no {', '.join(absent)}. Only `mtl test` needs test labels; training, dev "
            "scores and `mtl submit` do not. --splits train,dev checks the others without this "
            "note.",
            err=True,
        )


@data.command(context_settings=CONTEXT)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to write.  [default: hub in the cache folder]",
)
@click.option(
    "--mirror",
    type=click.Path(path_type=Path),
    help="A local copy of the hub's files; read without network.",
)
@click.option(
    "--tasks",
    metavar="TASKS",
    default=",".join(course_names()),
    show_default=True,
    help="The tasks, separated by commas.",
)
@json_option
def fetch(output: Path | None, mirror: Path | None, tasks: str, as_json: bool) -> None:
    """Download SST-5, QQP and STS-B from the Hugging Face hub into course files.

    data=hub reads these files from the cache folder, which is $MTL_CACHE, else
    $XDG_CACHE_HOME/mtl, else ~/.cache/mtl. Without network, name a local copy of the hub's
    repositories with --mirror or $MTL_HUB_MIRROR: a folder with files such as
    SetFit/sst5/train.jsonl.

    \b
    Example:
      mtl data fetch --tasks sst --output data/hub
    """
    from mtl.cache import cache_folder
    from mtl.data.hub import MANIFEST, fetch_hub

    chosen = _names("--tasks", tasks, course_names())
    folder = (output or cache_folder() / "hub").expanduser()
    paths = fetch_hub(folder, chosen, mirror=mirror, say=lambda line: click.echo(line, err=True))
    entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    files = {path.name: entries[path.name] for path in paths}
    if as_json:
        print_json({"folder": str(folder), "files": files})
    else:
        _print_fetched(folder, files)


def source_words(source: str, tasks: Sequence[TaskName]) -> str:
    """Where the rows of these tasks come from: `source` only has those of the course."""
    course = any(isinstance(TASKS[name].data, CourseData) for name in tasks)
    return source if course else "the tasks' own"


def _names(option: str, text: str, known: Sequence[Name]) -> list[Name]:
    """The names in a comma list, each once, in the order given."""
    names = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for name in names:
        if name not in known:
            choices = ", ".join(known)
            raise ConfigError(
                f"{option}: expected some of {choices}, got {name!r}.{suggestion(name, known)}"
            )
    if not names:
        raise ConfigError(
            f"{option}: expected some of {', '.join(known)}, got nothing. Omit the option for all."
        )
    return [cast(Name, name) for name in names]


def list_left_out(rows: Mapping[tuple[TaskName, Split], Rows]) -> None:
    """List on stderr the rows that were left out."""
    messages = [message for part in rows.values() for message in part.skipped]
    for message in messages[:_MAX_LISTED]:
        click.echo(f"left out: {message}", err=True)
    if len(messages) > _MAX_LISTED:
        click.echo(f"left out: {len(messages) - _MAX_LISTED} more rows", err=True)


def print_check(report: Mapping[str, Any]) -> None:
    """Print a summary of data as tables."""
    console = stdout(100)
    sizes = ["rows", "left out", "words", "most words", "repeats", "conflicts"]
    rows = make_table(
        ["task", "split", *sizes, "fingerprint"],
        title="Rows (words: the median per sentence)",
        numbers=range(2, 9),
    )
    labels = make_table(
        ["task", "split", "label: rows", "mean", "sd"], title="Labels", numbers=(3, 4)
    )
    shares = ["same row", "share", "same sentence", "share"]
    leaks = make_table(["task", "from", "into", *shares], title="Leaks", numbers=range(3, 7))
    for name, task in report["tasks"].items():
        for split, part in task["splits"].items():
            words = part["words"] or {"median": None, "max": None}
            numbers = [
                part["rows"],
                part["left_out"],
                words["median"],
                words["max"],
                part["duplicates"],
            ]
            rows.add_row(
                name, split, *map(_number, [*numbers, part["conflicts"]]), part["fingerprint"]
            )
            labels.add_row(name, split, *_label_cells(part["labels"]))
        for pair, leak in task["leaks"].items():
            source, target = pair.split("/")
            cells = [str(leak["rows"]), _percent(leak["rows_share"])]
            cells += [str(leak["sentences"]), _percent(leak["sentences_share"])]
            leaks.add_row(name, source, target, *cells)
    console.print(f"Data: {report['source']}, fingerprint {report['fingerprint']}\n")
    for table in (rows, labels, leaks):
        if table.row_count:
            console.print(table)
            console.print()
    console.print(report["meaning"])


def _label_cells(labels: Mapping[str, Any] | None) -> list[str]:
    if labels is None:
        return ["hidden", "-", "-"]
    counts = "  ".join(f"{escaped(label)}: {count}" for label, count in labels["counts"].items())
    return [counts, _number(labels.get("mean"), 2), _number(labels.get("sd"), 2)]


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _print_fetched(folder: Path, files: Mapping[str, Any]) -> None:
    console = stdout(100)
    rows = [
        (name, entry["source"], str(entry["rows"]), str(entry["left_out"]), entry["fingerprint"])
        for name, entry in files.items()
    ]
    columns = ["file", "from", "rows", "left out", "fingerprint"]
    title = f"Written to {folder}"
    console.print(make_table(columns, rows, numbers=(2, 3, 4), title=title))
    console.print("\nUse it with data=hub if this is the cache folder, else with data=FOLDER.")
