"""The process that talks to W&B for one run. `mtl.tracking.tracker` starts it by path; nothing imports it.

The W&B client brings threads, exit hooks, a helper process and changes to the environment, and each of them can hang or
end the process it lives in. So it lives here, and training only writes lines to a pipe. Orders come in on stdin and
replies leave on stdout, one JSON object a line:
    {"start": {...}}  ->  {"ready": null}, or {"offline": reason} where no server answers and the disk is used instead
    {"log": [step, {name: value}]}
    {"finish": {"summary": {...}, "files": [...], "exit_code": 0, "table": null or {name, columns, rows}}}
                         ->  {"done": null}
    {"read": {...}}  ->  {"summary": {...}}
Any of them can be answered by {"failed": reason}, which ends the process. When stdin ends without `finish`, training
was killed: the run is closed as failed, with all that was logged.
Only the standard library and wandb may be imported: mtl itself is not on the path.
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

# Names that the client may drop or rename in any version. None of them is needed for a run to be right.
PRIVATE = {
    "x_disable_meta": True,  # would store the command line
    "x_disable_machine_info": True,  # would store the host and the user
    "x_disable_stats": True,  # samples the machine that is being measured
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 0.5,  # seconds; a kill loses at most this much
}
LAST_SECONDS = 15  # what a run whose training was killed may take beyond its finish limit

Order = dict[str, Any]
Reply = Callable[[Order], None]


def main() -> None:
    """Serve one run, or answer one `read`; every failure becomes a reply."""
    reply = _reply_to(_take_stdout())
    try:
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(
                number, signal.SIG_IGN
            )  # they are meant for training, which says when to close
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
    """Keep stdout for replies: whatever else prints to it goes where stderr goes."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply_to(stream: TextIO) -> Reply:
    def reply(value: Order) -> None:
        with contextlib.suppress(OSError):  # training is gone: nobody to tell
            stream.write(json.dumps(value) + "\n")
            stream.flush()

    return reply


def _listen(orders: queue.SimpleQueue[Order]) -> None:
    """Take orders as fast as they come, so that the pipe never fills and never stops training."""
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
                run.log(
                    {}, commit=True
                )  # the last step is held back, and would overwrite the summary below
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
    """Open the run as asked. Where no server answers, open it offline, so that `mtl sync` can send it one day."""
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
    """End the client's helper process, which would hold on to the run's id."""
    import wandb

    with contextlib.suppress(SystemExit):  # what the client does when its helper fails
        wandb.teardown()


def _init(start: Order) -> Any:
    """`wandb.init`, with everything it writes below the run's folder; note where an online run went."""
    import wandb

    settings = wandb.Settings(
        silent=True, console="off", program="mtl", save_code=False, disable_code=True, disable_git=True,
        init_timeout=start["init_timeout"], finish_timeout=start["finish_timeout"], finish_timeout_raises=True,
    )  # fmt: skip
    for name, value in PRIVATE.items():
        with contextlib.suppress(Exception):
            setattr(settings, name, value)
    run = wandb.init(
        project=start["project"], id=start["run_id"], resume="allow", mode=start["mode"], dir=start["folder"],
        config=start["config"], name=start["name"], group=start["group"], job_type=start["job_type"],
        tags=start["tags"], settings=settings,
    )  # fmt: skip
    if start["mode"] == "online":
        place = {
            "entity": run.entity,
            "project": run.project,
            "base_url": run.settings.base_url,
            "url": run.url,
        }
        (Path(start["folder"]) / "wandb" / "place.json").write_text(
            json.dumps(place) + "\n", encoding="utf-8"
        )
    return run


def _finish(
    run: Any,
    folder: Path,
    *,
    summary: dict[str, float],
    files: list[str],
    exit_code: int,
    table: Order | None,
) -> None:
    if table is not None:
        import wandb

        run.log(
            {
                table["name"]: wandb.Table(
                    columns=table["columns"], data=table["rows"], allow_mixed_types=True
                )
            }
        )
    run.summary.update(summary)
    for file in files:
        inside = Path(file).is_relative_to(folder)
        run.save(file, base_path=str(folder if inside else Path(file).parent), policy="now")
    run.finish(exit_code=exit_code)


def _leave_after(seconds: float) -> None:
    """End this process then, whatever hangs: nobody is left who could."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _read(*, path: str, timeout: int) -> dict[str, Any]:
    """The summary that the server has for `entity/project/run_id`."""
    import wandb

    return dict(wandb.Api(timeout=timeout).run(path).summary_metrics)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500].rstrip(": ")


if __name__ == "__main__":
    main()
