"""`mtl sync`: send runs to W&B that were logged offline or while the server was unreachable.

It runs the client's own `wandb sync`, one run at a time, a run's sessions in order. A session
counts as sent only when the client has left its mark beside the log. A run in flight is skipped: a
mark on half a log would keep the other half from being sent.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from mtl.commands.options import CONTEXT, json_option, runs_option
from mtl.commands.printing import print_json
from mtl.errors import ConfigError, suggestion
from mtl.runs.folder import GRIDS, STUDIES, RunFolder

LOCK_SECONDS = 5.0  # for a client that is about to end
TIMEOUT = 900  # seconds for one run, files included
MAX_FAILURES = 3  # failures in a row before the rest is skipped: the server is unreachable
# Shortens the client's retries. The variable is private to the client; sync works without it.
RETRIES = {"WANDB_X_GRAPHQL_RETRY_MAX": "3"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome for one run; `sessions` is the number of logs to send."""

    run: str
    status: Literal["synced", "failed", "nothing to sync", "still running"]
    sessions: int
    reason: str | None = None


@click.command(context_settings=CONTEXT)
@click.argument("names", nargs=-1, metavar="[RUN]...")
@runs_option
@json_option
@click.pass_context
def sync(context: click.Context, names: tuple[str, ...], runs: Path, as_json: bool) -> None:
    """Send offline runs to Weights & Biases: the named runs, or all in --runs.

    RUN is a run's name or a unique prefix. You need an API key (`wandb login`, or WANDB_API_KEY).
    The exit code is 1 if a run was not sent.

    \b
    Example:
      mtl sync --runs runs
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


def sync_runs(folder: Path, names: tuple[str, ...] = (), seconds: float = TIMEOUT) -> list[Outcome]:
    """Send the named runs below `folder`, or all, each within `seconds`. Progress is on stderr.

    Raises ConfigError for a missing folder or run, and for a missing API key if a run is unsent.
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
        if logs and _server_unreachable(outcomes):
            reason = f"skipped, because the last {MAX_FAILURES} failed"
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


def _server_unreachable(outcomes: list[Outcome]) -> bool:
    tried = [outcome.status for outcome in outcomes if outcome.status in ("synced", "failed")]
    return tried[-MAX_FAILURES:] == ["failed"] * MAX_FAILURES


def _find(folder: Path, name: str) -> Path:
    """The run of a name, a unique prefix or a path. A folder without a config counts too."""
    if (Path(name) / "wandb").is_dir():
        return Path(name)
    known = _names(folder)
    matches = [name] if name in known else [run for run in known if name and run.startswith(name)]
    if len(matches) == 1:
        return folder / matches[0]
    if matches:
        raise ConfigError(
            f"{name!r} is the prefix of {len(matches)} runs: {', '.join(matches[:5])}."
        )
    raise ConfigError(f"There is no run {name!r} in {folder}.{suggestion(name, known)}")


def _names(folder: Path) -> list[str]:
    """The folders with W&B logs: runs, and the reports of grids and studies."""
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


def _stays_busy(run: Path) -> bool:
    """Whether a run is being logged. A client that has just ended keeps its lock for a moment."""
    from mtl.tracking.wandb_copy import being_written

    end = time.monotonic() + LOCK_SECONDS
    while being_written(run):
        if RunFolder(run).locked() or time.monotonic() > end:
            return True
        time.sleep(0.1)
    return False


def _sync_run(run: Path, logs: list[Path], seconds: float) -> Outcome:
    """Send one run's logs, oldest first."""
    from mtl.tracking.client import client_environ
    from mtl.tracking.wandb_copy import is_synced

    if not logs:
        return Outcome(run=run.name, status="nothing to sync", sessions=0)
    if _stays_busy(run):
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
            command,
            env=RETRIES | client_environ(run),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
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
    """The client's error messages, on one line."""
    lines = [line.removeprefix("wandb: ") for line in output.splitlines()]
    errors = [line.removeprefix("ERROR ") for line in lines if line.startswith("ERROR ")]
    return " ".join(errors or lines[-1:])[:500]
