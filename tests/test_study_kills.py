"""Coordinators and workers of a study are killed at random: no trial is lost or counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mtl.config.schema import RunConfig
from mtl.errors import RunInUse
from mtl.grid.pool import LocalPool, Slot
from mtl.grid.worker import Ended, Job, Scored, Setup, Train
from mtl.runs.folder import RunFolder
from mtl.runs.options import RunOptions
from mtl.runs.prepare import Sources
from mtl.study.storage import open_storage, storage_lock, storage_url
from mtl.study.trials import COUNTED_ONCE, OUTCOME, QUEUED
from tests.grid_trains import plainly
from tests.study_tools import write_study
from tests.study_trains import instant
from tests.test_ablate_kills import children

ROOT = Path(__file__).resolve().parents[1]
KILLS, TRIALS = 10, 16


def start(study: Path, runs: Path, *storage: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.study_coordinator", str(study), str(runs), *storage],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for_a_run(coordinator: subprocess.Popen[str], runs: Path) -> None:
    """Wait until a run is in flight, or the coordinator has ended, for 30 seconds at most."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and coordinator.poll() is None:
        if any(RunFolder(path).locked() for path in runs.glob("*-s*")):
            return
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds worker processes in /proc")
def test_random_kills_lose_no_trial_and_count_none_twice(tiny_data: Path, tmp_path: Path) -> None:
    import optuna

    def write(trials: int) -> Path:
        return write_study(
            tmp_path / "killed.yaml", tiny_data, budget={"trials": trials}, seeds=[0, 1], fresh=2,
            set={"train.epochs": 60}, first=[{"train.lr": 1e-4, "freeze.unfrozen": 2}],
        )  # fmt: skip

    budget = TRIALS
    study = write(budget)
    runs, draw = tmp_path / "runs", random.Random(0)
    killed = Counter[str]()
    coordinator = start(study, runs)
    while sum(killed.values()) < KILLS:
        if draw.random() < 0.7:  # on a slow machine a process is killed before it trains otherwise
            wait_for_a_run(coordinator, runs)
        time.sleep(draw.uniform(0.2, 2.0))
        if coordinator.poll() is not None:
            # All done before all kills: more trials, so that there is work again.
            assert coordinator.returncode == 0, coordinator.communicate()[1]
            budget += 5
            coordinator = start(write(budget), runs)
            continue
        workers = children(coordinator)
        if workers and draw.random() < 0.5:
            os.kill(draw.choice(workers), signal.SIGKILL)
            killed["worker"] += 1
        else:
            coordinator.kill()
            coordinator.communicate()
            killed["coordinator"] += 1
            coordinator = start(study, runs)
    said = coordinator.communicate(timeout=120)[1]
    assert coordinator.returncode == 0, said

    loaded = optuna.load_study(
        study_name="killed", storage=open_storage(storage_url(runs, "killed", None))
    )
    ended = [one for one in loaded.trials if one.user_attrs[OUTCOME] in COUNTED_ONCE]
    assert len(ended) == budget
    assert all(one.state.is_finished() for one in loaded.trials)
    lost = [one for one in loaded.trials if one.user_attrs[OUTCOME] == "lost"]
    assert lost, "no kill met a trial under way"
    for one in lost:
        queued = [
            other
            for other in loaded.trials
            if other.user_attrs.get(QUEUED) == f"again {one.number}"
        ]
        if "point" in one.user_attrs:
            assert len([other for other in queued if other.user_attrs[OUTCOME] != "surplus"]) == 1
            assert queued[0].user_attrs["point"] == one.user_attrs["point"]
    firsts = [one for one in ended if one.user_attrs.get("first")]
    assert len(firsts) == 1

    ends = (runs / "ends.log").read_text().split()
    assert len(ends) == len(set(ends)), "a run was trained to its end twice"
    for one in ended:
        if one.user_attrs[OUTCOME] == "done":
            values = [RunFolder(runs / name).record() for name in one.user_attrs["runs"].values()]
            scores = [record.metrics["dev/overall"] for record in values if record]
            assert one.value == pytest.approx(sum(scores) / 2, abs=1e-12)

    again = start(study, runs)
    assert again.wait(timeout=60) == 0
    assert (runs / "ends.log").read_text().split() == ends
    assert_a_dashboard_opens(storage_url(runs, "killed", None), "killed")


def assert_a_dashboard_opens(url: str, name: str) -> None:
    optuna_dashboard = pytest.importorskip(
        "optuna_dashboard", reason="optuna-dashboard is an extra"
    )
    answer: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "SERVER_NAME": "here",
               "SERVER_PORT": "80",
               "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr}  # fmt: skip
    body = b"".join(
        optuna_dashboard.wsgi(open_storage(url))(
            environ, lambda status, *rest: answer.append(status)
        )
    )
    assert answer == ["200 OK"]
    assert name in [one["study_name"] for one in json.loads(body)["study_summaries"]]


def test_one_sqlite_file_has_one_coordinator(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with storage_lock(url), pytest.raises(RunInUse, match="PostgreSQL"), storage_lock(url):
        pass
    with storage_lock(url):
        pass


@pytest.mark.parametrize("train", [instant, plainly])
def test_a_run_that_is_cancelled_saves_itself_and_its_worker_lives(
    train: Train, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    runs = tmp_path / "runs"
    runs.mkdir()
    setup = Setup(train=train, options=RunOptions(runs=runs, wandb="disabled", group="test"))
    settings = {"encoder": "random-tiny", "data": str(tiny_data), "train": {"epochs": 400}}
    sources, jobs = Sources(), []
    for seed, epochs in ((0, 400), (1, 2), (2, 400)):
        config = RunConfig.model_validate({**settings, "seed": seed, "train": {"epochs": epochs}})
        jobs.append(Job(run_id=f"{sources.cell(config)}-s{seed}", config=config))
    pool = LocalPool(setup, [Slot(device="cpu", threads=1)], tmp_path)

    def until(run_id: str, *, cancel_at: int | None = None) -> Ended:
        scored = 0
        while True:
            for event in pool.wait(30):
                if isinstance(event, Ended):
                    assert event.run_id == run_id
                    return event
                scored += isinstance(event, Scored)
                if scored == cancel_at:
                    pool.cancel(run_id)

    try:
        pool.start(jobs[0])
        assert until(jobs[0].run_id, cancel_at=3).how == "recorded"
        assert RunFolder(runs / jobs[0].run_id).state() == "interrupted"
        (worker,) = (one.process.pid for one in pool._workers.values())
        pool.cancel(jobs[0].run_id)  # too late, and no matter
        pool.start(jobs[1])
        pool.cancel(jobs[0].run_id)  # another run is under way
        assert until(jobs[1].run_id).how == "recorded"
        assert RunFolder(runs / jobs[1].run_id).state() == "done"
        pool.start(jobs[2])
        pool.cancel(jobs[2].run_id)  # before it can hear
        assert until(jobs[2].run_id).how == "recorded"
        assert RunFolder(runs / jobs[2].run_id).state() == "interrupted"
        assert [one.process.pid for one in pool._workers.values()] == [worker]
    finally:
        pool.close()
