"""No failure of W&B, its server, its processes or the disk stops a run: its status reports it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.tracking import client
from mtl.tracking.client_process import _without_login
from mtl.tracking.tracker import Limits
from mtl.tracking.wandb_copy import compare, read_back, sessions
from tests.wandb_peer import Peer
from tests.wandb_runs import (
    PATHS,
    SHORT,
    SUMMARY,
    children,
    client_of,
    info,
    inspect,
    linux,
    own_home,
    peer,
    tracker,
    wait_until_ready,
)

__all__ = ["own_home", "peer"]


@pytest.mark.parametrize("refusal", ["error", "close"])
def test_a_server_that_refuses_costs_training_nothing(
    tmp_path: Path, peer: Peer, refusal: Any
) -> None:
    peer.refuse = refusal
    about, begin = info(tmp_path), time.monotonic()
    run = tracker("online", about, SHORT)
    for step in range(100):
        run.log(step, {"train/loss": 1.0})
    assert time.monotonic() - begin < SHORT.init - 1, "training does not wait for a server"
    outcome = run.finish(SUMMARY)
    assert time.monotonic() - begin < SHORT.init + 12
    assert outcome.status == "degraded"
    assert f"mtl sync {about.run_id}" in (outcome.reason or "")
    assert compare(SUMMARY, read_back(about.folder, "offline", about.run_id)) == [], (
        "it was logged offline instead"
    )


def test_a_server_that_dies_mid_run_does_not_hold_up_the_end(tmp_path: Path, peer: Peer) -> None:
    about = info(tmp_path)
    run = tracker("online", about, SHORT)
    run.log(0, {"train/loss": 1.0})
    wait_until_ready(run)
    peer.die()
    run.log(1, {"train/loss": 0.5})
    begin = time.monotonic()
    outcome = run.finish(SUMMARY)
    assert time.monotonic() - begin < SHORT.finish + 8
    assert outcome.status == "degraded"
    assert f"mtl sync {about.run_id}" in (outcome.reason or "")
    assert compare(SUMMARY, read_back(about.folder, "offline", about.run_id)) == [], (
        "the log on disk is complete"
    )


def test_online_without_a_key_is_degraded_at_once(tmp_path: Path) -> None:
    begin = time.monotonic()
    outcome = tracker("online", info(tmp_path)).finish(SUMMARY)
    assert time.monotonic() - begin < 15
    assert outcome.status == "degraded"
    assert "wandb login" in (outcome.reason or "")


@linux
def test_a_killed_helper_makes_the_run_degraded_and_raises_nothing(tmp_path: Path) -> None:
    run = tracker("offline", info(tmp_path))
    wait_until_ready(run)
    (helper,) = children(client_of(run))
    os.kill(helper, signal.SIGKILL)
    time.sleep(0.2)
    for step in range(100):
        run.log(step, {"train/loss": 1.0})
    outcome = run.finish(SUMMARY)
    assert outcome.status == "degraded"
    assert outcome.reason


@linux
def test_a_helper_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    run = tracker("offline", info(tmp_path), Limits(init=20, finish=1, read=5, abort=1, grace=2))
    wait_until_ready(run)
    (helper,) = children(client_of(run))
    os.kill(helper, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        for step in range(5000):
            run.log(step, {"train/loss": 1.0})
        assert time.monotonic() - begin < 2, "logging does not wait"
        outcome = run.finish(SUMMARY)
        assert time.monotonic() - begin < 8
        assert outcome.status == "degraded"
    finally:
        os.kill(helper, signal.SIGKILL)


FULL_DISK = """
import sys, pathlib; sys.path[:0] = {paths!r}
from tests.wandb_runs import info, tracker
run = tracker("offline", info(pathlib.Path({folder!r})))
for step in range(3000):
    run.log(step, {{f"train/loss/{{number}}": step / 7 + number for number in range(20)}})
print(run.finish({{"dev/overall": 0.5}}).status)
"""


@linux
def test_a_full_disk_is_found_out(tmp_path: Path) -> None:
    disk, script = tmp_path / "disk", tmp_path / "script.py"
    disk.mkdir()
    script.write_text(FULL_DISK.format(paths=PATHS, folder=str(disk)))
    mount = f"mount -t tmpfs -o size=512k none {disk} || exit 77; {sys.executable} {script}"
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", mount],
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("this machine has no unshare")
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"this machine lets no test mount a small disk: {done.stderr}")
    assert done.stdout.strip() in ("degraded", "unverified"), done.stderr


@pytest.mark.parametrize(
    "trouble",
    [
        {"folder": Path(__file__) / "no folder"},
        {"config": {"x": object()}},
        {"config": {"x": math.nan}},
        {"run_id": "a/b"},
    ],
    ids=["folder is a file", "config is not JSON", "config holds NaN", "the client refuses the id"],
)
def test_trouble_at_the_start_is_a_status_and_not_an_error(
    tmp_path: Path, trouble: dict[str, Any]
) -> None:
    run = tracker("offline", info(tmp_path, **({"folder": tmp_path / "run"} | trouble)))
    run.log(0, {"train/loss": 1.0})
    outcome = run.finish(SUMMARY)
    assert outcome.status == "degraded"
    assert outcome.reason


def test_a_step_that_goes_back_is_reported(tmp_path: Path) -> None:
    run = tracker("offline", info(tmp_path))
    run.log(5, {"train/loss": 1.0})
    run.log(4, {"train/loss": 1.0})
    assert run.finish({}).reason == "ValueError: step 4 came after step 5, and W&B drops such rows"


def test_a_run_has_one_writer_at_a_time(tmp_path: Path) -> None:
    first = tracker("offline", info(tmp_path))
    wait_until_ready(first)
    assert tracker("offline", info(tmp_path)).finish(SUMMARY).status == "degraded"
    assert first.finish(SUMMARY).status == "verified"


TRAINING = """
import sys, time, pathlib; sys.path[:0] = {paths!r}
from tests.wandb_runs import client_of, info, tracker, wait_until_ready
run = tracker("offline", info(pathlib.Path({folder!r})))
wait_until_ready(run)
for step in range(10):
    run.log(step, {{"train/loss": 1 / (step + 1)}})
time.sleep(1.5)
print(client_of(run), flush=True)
time.sleep(60)
"""


def training(tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that logs ten steps and hangs, with a secret as its argument; its client's pid."""
    script = TRAINING.format(paths=PATHS, folder=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", script, "--token=SECRET-42"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@linux
def test_killed_training_keeps_every_log_and_shows_as_failed(tmp_path: Path) -> None:
    process, client = training(tmp_path)
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while Path(f"/proc/{client}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    log = sessions(info(tmp_path).folder)[0]
    seen = inspect(log)
    assert (seen["state"], seen["exit_code"], seen["step"]) == ("failed", 1, 9)
    assert all(
        b"SECRET-42" not in file.read_bytes()
        for file in log.parents[1].rglob("*")
        if file.is_file()
    )


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_signal_to_every_process_at_once_keeps_what_is_older_than_a_second(
    tmp_path: Path, number: int
) -> None:
    process, client = training(tmp_path)
    for pid in (*children(client), client, process.pid):
        os.kill(pid, number)
    process.communicate()
    time.sleep(1)
    assert inspect(sessions(info(tmp_path).folder)[0])["step"] >= 8, (
        "the last row waits for the next step"
    )


def test_a_hung_helper_of_the_client_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As wandb-core: a session of its own, and stopped."""
    program = (
        "import os, signal, subprocess, sys\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'],\n"
        "                          start_new_session=True)\n"
        "os.kill(helper.pid, signal.SIGSTOP)\n"
        "print('{\"helper\": %d}' % helper.pid, flush=True)\n"
        "signal.pause()\n"
    )
    monkeypatch.setattr(client, "COMMAND", (sys.executable, "-c", program))
    running = client.Client(tmp_path)
    reply = running.reply(20)
    assert reply is not None
    assert Path(f"/proc/{reply['helper']}").is_dir()
    running.kill()
    end = time.monotonic() + 5
    while time.monotonic() < end and state_of(reply["helper"]) not in ("Z", None):
        time.sleep(0.05)
    assert state_of(reply["helper"]) in ("Z", None)


def state_of(pid: int) -> str | None:
    """The state of a process: T stopped, Z ended and not collected, None gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def test_the_servers_password_is_in_no_file_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://me:hunter22@127.0.0.1:9")
    program = (
        "import os, sys\n"
        "print('cannot reach', os.environ['WANDB_BASE_URL'], 'hunter22', file=sys.stderr)\n"
    )
    monkeypatch.setattr(client, "COMMAND", (sys.executable, "-c", program))
    running = client.Client(tmp_path)
    running.reply(10)
    running.kill()
    log = (tmp_path / "wandb" / "client.log").read_text()
    assert log == "cannot reach http://me:***@127.0.0.1:9 ***\n"
    assert _without_login("http://me:hunter22@127.0.0.1:9/x") == "http://127.0.0.1:9/x"
