"""`mtl sync`: send to W&B what was logged offline, or while the server was away.

It runs the client's own `wandb sync`, one run at a time and a run's sessions in order, and believes only the mark that
the client leaves beside a log once the server has all of it. A run that is being written is left alone: a mark on half
a log would keep the other half here for good.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from mtl.commands.options import CONTEXT, json_option, runs_option
from mtl.commands.printing import print_json
from mtl.errors import ConfigError, suggestion
from mtl.runs.folder import GRIDS, STUDIES

LONGEST = 900  # seconds for one run, files included
ENOUGH = 3  # failures in a row, after which the rest is not tried: the server is away
# The client would try for longer than anyone waits. The name is private to it; where it is gone, nothing is lost.
RETRIES = {"WANDB_X_GRAPHQL_RETRY_MAX": "3"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one run; `sessions` counts the logs that were to be sent."""

    run: str
    status: Literal["synced", "failed", "nothing to sync", "still running"]
    sessions: int
    reason: str | None = None


@click.command(context_settings=CONTEXT, epilog="Example: mtl sync --runs runs")
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_option
@json_option
@click.pass_context
def sync(context: click.Context, names: tuple[str, ...], runs: Path, as_json: bool) -> None:
    """Send runs to W&B that it does not have yet: all below --runs, or the RUNs named (the beginning of a name will do).

    Needs an API key (`wandb login`, or WANDB_API_KEY). Exit code 1 when a run could not be sent.
    """
    outcomes = sync_runs(runs, names)
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    for outcome in () if as_json else outcomes:
        click.echo(
            f"{outcome.run}  {outcome.status}" + (f": {outcome.reason}" if outcome.reason else "")
        )
    if not outcomes and not as_json:
        click.echo(f"no runs in {runs}")
    if any(outcome.status == "failed" for outcome in outcomes):
        context.exit(1)


def sync_runs(folder: Path, names: tuple[str, ...] = (), seconds: float = LONGEST) -> list[Outcome]:
    """Send the named runs below `folder`, or all; each may take `seconds`. Tells its progress on stderr.

    Raises ConfigError for a folder or a run that is not there, and where runs wait but there is no API key.
    """
    from mtl.tracking.mode import has_api_key
    from mtl.tracking.wandb_copy import is_synced, sessions

    runs = (
        [_find(folder, name) for name in names]
        if names
        else [folder / name for name in _names(folder)]
    )
    waiting = {run: [log for log in sessions(run) if not is_synced(log)] for run in runs}
    if any(waiting.values()) and not has_api_key():
        raise ConfigError("There is no W&B API key: run `wandb login`, or set WANDB_API_KEY.")
    outcomes: list[Outcome] = []
    for number, (run, logs) in enumerate(waiting.items(), start=1):
        if logs and _hopeless(outcomes):
            reason = f"not tried, since the last {ENOUGH} failed"
            outcomes.append(
                Outcome(run=run.name, status="failed", sessions=len(logs), reason=reason)
            )
            continue
        if logs:
            click.echo(
                f"{number}/{len(waiting)} {run.name}: sending {len(logs)} session(s)", err=True
            )
        outcomes.append(_sync_run(run, logs, seconds))
    return outcomes


def _hopeless(outcomes: list[Outcome]) -> bool:
    tried = [outcome.status for outcome in outcomes if outcome.status in ("synced", "failed")]
    return tried[-ENOUGH:] == ["failed"] * ENOUGH


def _find(folder: Path, name: str) -> Path:
    """The run that `name` means: a name, the beginning of one, or a path. A folder without a config counts too."""
    if (Path(name) / "wandb").is_dir():
        return Path(name)
    there = _names(folder)
    matches = (
        [name] if name in there else [other for other in there if name and other.startswith(name)]
    )
    if len(matches) == 1:
        return folder / matches[0]
    if matches:
        raise ConfigError(
            f"{name!r} is the beginning of {len(matches)} runs: {', '.join(matches[:5])}."
        )
    raise ConfigError(f"There is no run {name!r} in {folder}.{suggestion(name, there)}")


def _names(folder: Path) -> list[str]:
    """What may have something to send: runs, and the reports of grids and studies."""
    if not folder.is_dir():
        raise ConfigError(
            f"There is no folder {str(folder)!r} of runs. Name another with --runs DIR."
        )
    runs = [
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path.name not in (GRIDS, STUDIES)
    ]
    reports = [path.parent for room in (GRIDS, STUDIES) for path in folder.glob(f"{room}/*/wandb")]
    return sorted(runs) + sorted(str(path.relative_to(folder)) for path in reports)


def _sync_run(run: Path, logs: list[Path], seconds: float) -> Outcome:
    """Send one run's logs, oldest first."""
    from mtl.tracking.client import client_environ
    from mtl.tracking.wandb_copy import being_written, is_synced

    if not logs:
        return Outcome(run=run.name, status="nothing to sync", sessions=0)
    if being_written(run):
        return Outcome(
            run=run.name,
            status="still running",
            sessions=len(logs),
            reason="sync it when it has ended",
        )
    command = [
        sys.executable,
        "-P",
        "-m",
        "wandb",
        "sync",
        "--include-online",
        *(str(log.resolve()) for log in logs),
    ]
    try:
        done = subprocess.run(
            command, env=RETRIES | client_environ(run), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        reason = f"wandb sync did not end in {seconds:.0f} s"
        return Outcome(run=run.name, status="failed", sessions=len(logs), reason=reason)
    if done.returncode or not all(is_synced(log) for log in logs):
        reason = (
            _last_error(done.stdout.decode(errors="replace"))
            or f"wandb sync: exit code {done.returncode}"
        )
        return Outcome(run=run.name, status="failed", sessions=len(logs), reason=reason)
    return Outcome(run=run.name, status="synced", sessions=len(logs))


def _last_error(output: str) -> str:
    """What the client said of the failure, on one line."""
    lines = [line.removeprefix("wandb: ") for line in output.splitlines()]
    errors = [line.removeprefix("ERROR ") for line in lines if line.startswith("ERROR ")]
    return " ".join(errors or lines[-1:])[:500]
