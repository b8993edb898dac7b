"""Options that commands share, with the same names and help, and checks of folders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mtl.cache import CACHE_BYTES
from mtl.errors import ConfigError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="The folder of runs.",
)
device_option = click.option(
    "--device",
    metavar="NAME",
    help="The device: cpu, cuda or cuda:1.  [default: cuda if available]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print no progress.")
bad_row_option = click.option(
    "--on-bad-row",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="What to do with a row that cannot be used: stop with an error, or skip and count it.",
)
_wandb_option = click.option(
    "--wandb",
    type=click.Choice(["online", "offline", "disabled"]),
    help="Weights & Biases mode.  [default: $WANDB_MODE; else online with a key, offline without]",
)
_cache_option = click.option(
    "--cache-size",
    type=click.FloatRange(min=0),
    default=CACHE_BYTES / 1e9,
    show_default=True,
    metavar="GB",
    help="Disk space for cached outputs of frozen layers, shared by all runs; 0 disables the "
    "cache. Changes speed, never a result.",
)
_workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="The number of runs at a time.  [default: one per GPU, or one per core without a GPU]",
)
_retry_option = click.option(
    "--retry",
    type=click.IntRange(0),
    metavar="K",
    default=1,
    show_default=True,
    help="How often a failed run is tried again.",
)

_lost_option = click.option(
    "--lost-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    default=30.0,
    show_default=True,
    help="End a worker that gives no sign of life for so long, and count its run as failed. A slow "
    "worker gives signs.",
)

_RUN_OPTIONS: Sequence[Decorator] = (
    runs_option,
    device_option,
    _wandb_option,
    bad_row_option,
    _cache_option,
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a training run; the command gets `options`, a `RunOptions`."""
    return _with_options(command, _RUN_OPTIONS, "RunOptions")


def pool_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of many runs in workers; the command gets `options`, a `PoolOptions`."""
    own = (_workers_option, _retry_option, _lost_option)
    return _with_options(command, (*own, *_RUN_OPTIONS), "PoolOptions")


def _with_options(
    command: Callable[..., Any], decorators: Sequence[Decorator], model: str
) -> Callable[..., Any]:
    @functools.wraps(command)
    def wrapped(*args: Any, **values: Any) -> Any:
        from mtl.runs import options

        cls: type[options.RunOptions] = getattr(options, model)
        check_not_a_file(values["runs"])
        values["cache_bytes"] = int(values.pop("cache_size") * 1e9)
        chosen = {name: values.pop(name) for name in cls.model_fields if name in values}
        return command(*args, options=cls.parse(chosen), **values)

    decorated: Callable[..., Any] = wrapped
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated


@contextmanager
def resumable() -> Iterator[None]:
    """Turn an interruption into a message and its exit code. The same command resumes the work."""
    from mtl.training.interrupt import Interrupted
    from mtl.training.progress import tell

    try:
        yield
    except Interrupted as interrupted:
        tell(RESUME)
        click.get_current_context().exit(128 + interrupted.signal_number)


RESUME = "Interrupted. Run the same command again to resume."


def check_runs_folder(runs: Path) -> None:
    """Raise ConfigError if --runs names no folder. The default folder may be absent."""
    source = click.get_current_context().get_parameter_source("runs")
    if not runs.is_dir() and (runs.exists() or source is not click.core.ParameterSource.DEFAULT):
        problem = "a file, not a folder" if runs.exists() else "no such folder"
        raise ConfigError(f"--runs {runs}: {problem}.")


def check_not_a_file(folder: Path, option: str = "--runs") -> None:
    """Raise ConfigError if an option's folder cannot be made because a file is in its place."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            place = "" if path == folder else f"{path} is "
            raise ConfigError(f"{option} {folder}: {place}a file, not a folder.")
