"""`mtl predict`: label new text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtl.commands.options import CONTEXT, check_runs_folder, device_option, runs_option
from mtl.errors import ConfigError, DataError, RunError
from mtl.tasks.registry import TASKS
from mtl.tasks.task import Task, TaskName

if TYPE_CHECKING:
    from mtl.tasks.metrics import Predictions


@click.command(context_settings=CONTEXT)
@click.argument("run")
@click.option(
    "--task",
    "name",
    required=True,
    type=click.Choice(list(TASKS)),
    help="The task to predict.",
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
@runs_option
@device_option
def predict(
    run: str,
    name: TaskName,
    source: str,
    output: Path | None,
    as_json: bool,
    runs: Path,
    device: str | None,
) -> None:
    """Label new text with a run's model, one output line per input row.

    RUN is a run's name or a unique prefix. The input is tab-separated with a header, or JSON lines
    with the same keys: sentence for sst, sentence1 and sentence2 for quora and sts. A column id is
    optional. The output columns are id, prediction, and:

    \b
      sst    probability: of the predicted class
      quora  probability: of a paraphrase
      sts    score, from 0 to 5; the prediction is the nearest whole number

    \b
    Example:
      printf 'sentence\\nA quiet, clever film.\\n' | mtl predict 3f2a-s0 --task sst
    """
    from mtl.data.new_text import read_new_text
    from mtl.inference.trained import load_trained
    from mtl.runs.find import find_run

    check_runs_folder(runs)
    target = None if output is None else _target(output)
    folder = find_run(runs, run)
    task = TASKS[name]
    rows = read_new_text(_read(source), task, "standard input" if source == "-" else source)
    predictions = load_trained(folder, device).predict(rows)
    lines = list(json_lines(task, predictions) if as_json else table_lines(task, predictions))
    text = "".join(f"{line}\n" for line in lines)
    if target is None:
        click.echo(text, nl=False)
    else:
        _write(target, text.encode(), str(output))


def labelled(task: Task, predictions: Predictions) -> Iterator[tuple[str, int, float, list[float]]]:
    """For each row: id, prediction, probability or score, and all class probabilities, if any."""
    from mtl.tasks.metrics import probabilities

    if task.kind == "score":
        for row_id, score in zip(predictions.ids, predictions.outputs[:, 0], strict=True):
            whole = round(min(max(float(score), task.low), task.high))
            yield row_id, whole, float(score), []
        return
    for row_id, chances in zip(
        predictions.ids, probabilities(task, predictions.outputs), strict=True
    ):
        chosen = int(chances[1] > 0.5) if task.kind == "binary" else int(chances.argmax())
        yield (
            row_id,
            chosen,
            float(chances[1] if task.kind == "binary" else chances[chosen]),
            chances.tolist(),
        )


def table_lines(task: Task, predictions: Predictions) -> Iterator[str]:
    """Tab-separated lines with a header. White space in an id becomes a space: one line per row."""
    third = "score" if task.kind == "score" else "probability"
    yield f"id\tprediction\t{third}"
    for row_id, prediction, value, _ in labelled(task, predictions):
        yield f"{' '.join(row_id.split())}\t{prediction}\t{value:.6f}"


def json_lines(task: Task, predictions: Predictions) -> Iterator[str]:
    """One JSON object per row."""
    third = "score" if task.kind == "score" else "probability"
    for row_id, prediction, value, chances in labelled(task, predictions):
        row: dict[str, object] = {"id": row_id, "prediction": prediction, third: value}
        if chances:
            row["probabilities"] = chances
        yield json.dumps(row, ensure_ascii=False, allow_nan=False)


def _target(output: Path) -> Path:
    """The file behind `--output`: a link's end, or a device or pipe itself. Raises ConfigError."""
    if output.is_dir():
        raise ConfigError(f"--output {output}: a folder. Name a file.")
    if output.exists() and not output.is_file():
        return output
    try:
        target = output.resolve()
    except (OSError, RuntimeError):
        raise ConfigError(f"--output {output}: a link to itself.") from None
    if not target.parent.is_dir():
        raise ConfigError(f"--output {output}: no such folder: {target.parent}. Create it first.")
    return target


def _write(target: Path, content: bytes, named: str) -> None:
    """Replace a file atomically, or write to a device or pipe. Raises RunError."""
    from mtl.files import write_bytes

    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                file.write(content)
        else:
            write_bytes(target, content)
    except OSError as error:
        raise RunError(f"--output {named}: cannot be written: {error.strerror or error}.") from None


def _read(source: str) -> str:
    """The input as text. Raises DataError for a missing file or text that is not UTF-8."""
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return raw.decode()
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source}:{line}: expected UTF-8, got the byte 0x{raw[error.start]:02x}. Convert it."
        ) from None
