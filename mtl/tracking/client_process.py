"""The process that talks to W&B for one run. `mtl.tracking.client` starts it by its path.

The W&B client brings threads, exit hooks, a helper process and changes to the environment. Each of
them can block or end its process. So the client runs here, and training only writes to a pipe.
Orders arrive on stdin and replies leave on stdout, one JSON object per line:

    {"start": {...}}                 ->  {"ready": null}, or {"offline": reason} without a server
    {"log": [step, {name: value}]}
    {"finish": {"summary": {...}, "files": [...], "exit_code": 0, "table": null or {...}}}
                                     ->  {"done": null}
    {"read": {...}}                  ->  {"summary": {...}}

Each order may be answered by {"failed": reason}, which ends the process. If stdin ends without
`finish`, training was killed: the run is closed as failed, with all that was logged.
Only the standard library and wandb may be imported here: mtl is not on the path.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

PRIVATE = {
    "x_disable_meta": True,  # it would store the command line
    "x_disable_machine_info": True,  # it would store host and user
    "x_disable_stats": True,  # it would load the machine whose speed is measured
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 0.5,  # seconds that a kill loses at most
}
"""Private settings of the client. A version may rename them: a run is correct without them."""
LAST_SECONDS = 15
"""Seconds beyond the finish limit that a run may take to close after training was killed."""

Order = dict[str, Any]
Reply = Callable[[Order], None]


def main() -> None:
    """Serve one run, or answer one `read`. Every failure becomes a reply."""
    reply = _reply_to(_take_stdout())
    try:
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.SIG_IGN)  # training gets them, and orders the end
        orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(orders,), daemon=True).start()
        first = orders.get()
        if "read" in first:
            reply({"summary": _read(**first["read"])})
        elif "start" in first:
            _serve(first["start"], orders, reply)
    except BaseException as error:  # the client raises SystemExit too
        reply({"failed": _words(error)})


def _take_stdout() -> TextIO:
    """Keep stdout for replies, and redirect all other output to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply_to(stream: TextIO) -> Reply:
    def reply(value: Order) -> None:
        with contextlib.suppress(OSError):  # training has ended
            stream.write(json.dumps(value) + "\n")
            stream.flush()

    return reply


def _listen(orders: queue.SimpleQueue[Order]) -> None:
    """Read orders at once, so that the pipe never fills up and blocks training."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    orders.put({"gone": None})


def _serve(start: Order, orders: queue.SimpleQueue[Order], reply: Reply) -> None:
    """Log one run from `start` to `finish`."""
    lock = _lock(Path(start["folder"]) / "wandb" / "lock")
    run = _open(start, reply)
    logged = False
    while True:
        order = orders.get()
        if "log" in order:
            step, values = order["log"]
            run.log(values, step=step)
            logged = True
        elif "finish" in order:
            if logged:
                # W&B holds the last step back; later it would overwrite the summary.
                run.log({}, commit=True)
            _finish(run, Path(start["folder"]), **order["finish"])
            reply({"done": None})
            break
        else:
            _leave_after(start["finish_timeout"] + LAST_SECONDS)
            run.finish(exit_code=1)
            break
    del lock


def _lock(path: Path) -> TextIO:
    """Hold a lock while the run is being written, so that `mtl sync` leaves it alone.

    By hand, because mtl is not on the path here. `mtl.locks.is_held` reads this lock.
    """
    stream = path.open("w", encoding="utf-8")
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream


def _open(start: Order, reply: Reply) -> Any:
    """Open the run. Without a server open it offline, so that `mtl sync` can send it later."""
    try:
        run = _init(start)
    except Exception as error:
        if start["mode"] != "online":
            raise
        _forget_client()
        run = _init(start | {"mode": "offline"})
        reply({"offline": _words(error)})
    else:
        reply({"ready": None})
    return run


def _forget_client() -> None:
    """End the client's helper process, which would keep the run's id in use."""
    import wandb

    with contextlib.suppress(SystemExit):  # raised where the helper has failed
        wandb.teardown()


def _init(start: Order) -> Any:
    """`wandb.init` with all its files below the run's folder. Write the place of an online run."""
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        program="mtl",
        save_code=False,
        disable_code=True,
        disable_git=True,
        init_timeout=start["init_timeout"],
        finish_timeout=start["finish_timeout"],
        finish_timeout_raises=True,
    )
    for name, value in PRIVATE.items():
        with contextlib.suppress(Exception):
            setattr(settings, name, value)
    run = wandb.init(
        project=start["project"],
        id=start["run_id"],
        resume="allow",
        mode=start["mode"],
        dir=start["folder"],
        config=start["config"],
        name=start["name"],
        group=start["group"],
        job_type=start["job_type"],
        tags=start["tags"],
        settings=settings,
    )
    if start["mode"] == "online":
        place = {
            "entity": run.entity,
            "project": run.project,
            "base_url": _without_login(run.settings.base_url),
            "url": _without_login(run.url or ""),
        }
        (Path(start["folder"]) / "wandb" / "place.json").write_text(
            json.dumps(place) + "\n", encoding="utf-8"
        )
    return run


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _finish(
    run: Any,
    folder: Path,
    *,
    summary: dict[str, float],
    files: list[str],
    exit_code: int,
    table: Order | None,
) -> None:
    """Log the table, the final numbers and the files, and close the run."""
    if table is not None:
        import wandb

        rows = wandb.Table(columns=table["columns"], data=table["rows"], allow_mixed_types=True)
        run.log({table["name"]: rows})
    run.summary.update(summary)
    for file in files:
        inside = Path(file).is_relative_to(folder)
        run.save(file, base_path=str(folder if inside else Path(file).parent), policy="now")
    run.finish(exit_code=exit_code)


def _leave_after(seconds: float) -> None:
    """End this process after so many seconds: training is not there to kill it."""
    timer = threading.Timer(seconds, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    """End this process, and the client's helper, which may hang."""
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for helper in path.read_text().split():
                os.kill(int(helper), signal.SIGKILL)
    os._exit(1)


def _read(*, path: str, timeout: int) -> dict[str, Any]:
    """The server's summary of the run `entity/project/run_id`."""
    import wandb

    return dict(wandb.Api(timeout=timeout).run(path).summary_metrics)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500].rstrip(": ")


if __name__ == "__main__":
    main()
