"""`mtl train`: one run."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtl.commands.options import CONTEXT, RESUME, json_option, quiet_option, run_options
from mtl.commands.printing import make_table, print_json, stdout

if TYPE_CHECKING:
    from mtl.runs.options import RunOptions
    from mtl.runs.record import Record


@click.command(context_settings=CONTEXT)
@click.argument("words", nargs=-1, metavar="[PRESET] [FILE.yaml] [KEY=VALUE]...")
@run_options
@click.option("--fresh", is_flag=True, help="Delete what this run has so far, and start again.")
@quiet_option
@json_option
def train(
    words: tuple[str, ...], options: RunOptions, fresh: bool, quiet: bool, as_json: bool
) -> None:
    """Train one run and print its dev scores.

    PRESET is baseline (the default), final or concat: the paper's configurations. A YAML file
    overrides the preset, and KEY=VALUE overrides the file. `mtl config` prints all settings.

    A run's name is a hash of its settings, data and encoder, and the seed. The same command
    resumes an interrupted run, and trains nothing if the run is done. Ctrl-C and SIGTERM stop a
    run between two steps.

    \b
    Example:
      mtl train final data=sample train.epochs=1 freeze.unfrozen=2
    """
    from mtl.methods.toggles import typed_config

    config = typed_config(words)

    from mtl.training.loop import train as run
    from mtl.training.progress import make_progress, tell

    record = run(config, options, fresh=fresh, progress=make_progress(quiet))
    if as_json:
        print_json(record.as_json())
    else:
        print_record(record, options.runs / record.run_id)
    context = click.get_current_context()
    if record.status == "interrupted":
        tell(RESUME)
        context.exit(128 + signal.Signals[record.error or ""])
    if record.status != "done":
        tell(f"The run {record.status}: {record.error}")
        context.exit(1)


def print_record(record: Record, folder: Path) -> None:
    """Print the scores of a run as a table, and its cost."""
    from mtl.tasks.registry import TASKS
    from mtl.training.progress import shown

    metrics, chosen = record.metrics, record.config["train"]["select"]
    console = stdout()
    if metrics:
        console.print(f"{record.run_id}: the {chosen} checkpoint, of step {record.best_step}")
        tasks = [TASKS[name] for name in record.config["tasks"]]
        names = [(task.title, task.metric, task.metric_key) for task in tasks]
        names.append(("overall", record.config["overall"], "overall"))
        rows = [
            (title, metric, shown(metrics[f"dev/{key}"]), shown(metrics[f"train/{key}"]))
            for title, metric, key in names
        ]
        console.print(make_table(["task", "metric", "dev", "train"], rows, numbers=(2, 3)))
    for key, reason in record.undefined.items():
        console.print(f"{key} is undefined: {reason}")
    if record.encoder is not None and "pooler" in record.encoder.drawn:
        console.print(
            "The encoder's weights have no pooler: it was drawn from the seed. pooling=mean, cls "
            "and max need none."
        )
    console.print(summary(record))
    console.print(f"record: {folder / 'record.json'}", soft_wrap=True)


def summary(record: Record) -> str:
    """One line on status, cost, frozen weights and W&B."""
    speed, memory, tracked = record.throughput.tokens_per_second, record.peak_memory, record.wandb
    parts: list[str] = [record.status]
    if record.steps is not None:
        parts[0] += f" after {record.steps} steps in {record.seconds or 0:.0f} s"
    if speed is not None:
        parts.append(f"{speed:.0f} tokens/s")
    if memory is not None:
        parts.append(f"{memory / 1e9:.1f} GB")
    if record.frozen_unchanged:
        parts.append("frozen weights unchanged")
    if tracked is not None:
        state = "" if tracked.mode == "disabled" else f", {tracked.status}"
        reason = f" ({tracked.reason})" if tracked.reason else ""
        parts.append(f"W&B {tracked.mode}{state}{reason}")
    return "; ".join(parts) + "."
