"""The trials of a coordinator that ended are told or queued again, once, by its successor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from mtl.runs.folder import RunFolder
from mtl.runs.prepare import Sources
from mtl.study import lease as lease_module
from mtl.study import trials as trials_module
from mtl.study.definition import Study
from mtl.study.lease import CoordinatorLease, Watch, seconds_spent
from mtl.study.recovery import recover_trials
from mtl.study.storage import open_study, silence_optuna
from mtl.study.trials import CELL, OUTCOME, OWNER, POINT, QUEUED, REASON, RUNS, Trials, suggest
from tests.study_tools import by_formula, make_study
from tests.study_trains import record, score


@pytest.fixture(scope="module")
def sources() -> Sources:
    return Sources()


class Left:
    """A study in which a coordinator that is gone has one trial under way."""

    def __init__(self, definition: Study, sources: Sources, folder: Path) -> None:
        silence_optuna()
        self.definition, self.folder = definition, folder
        self.storage = optuna.storages.InMemoryStorage()
        self.study = open_study(definition, self.storage, definition.check(sources))
        self.trial = self.study.ask()
        space = definition.make_space()
        self.point = space.draw(lambda parameter: suggest(self.trial, parameter))
        self.config = space.plain(self.point).resolved()
        cell = sources.cell(self.config)
        self.runs = {str(seed): f"{cell}-s{seed}" for seed in definition.seeds}
        said: dict[str, Any] = {OWNER: "gone", POINT: self.point, CELL: cell, RUNS: self.runs}
        for key, value in said.items():
            self.trial.set_user_attr(key, value)

    def finish(self, *seeds: int) -> None:
        for seed in seeds:
            run_id = self.runs[str(seed)]
            folder = RunFolder(self.folder / run_id)
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.finish(record(self.config.model_copy(update={"seed": seed}), run_id, "done", 8))

    def take_up(self, owner: str = "me") -> Trials:
        trials = Trials(self.study, self.storage, owner, 10)
        recover_trials(trials, self.definition.objectives, self.folder, lambda line: None)
        return trials


@pytest.fixture
def left(tiny_data: Path, tmp_path: Path, sources: Sources) -> Iterator[Left]:
    yield Left(
        make_study(tiny_data, seeds=[0, 1], budget={"trials": 4}, fresh=0), sources, tmp_path
    )


def test_a_trial_whose_runs_are_done_is_told(left: Left) -> None:
    left.finish(0, 1)
    (told,) = left.take_up().all()
    best = [
        max(score(left.config.model_copy(update={"seed": seed}), epoch) for epoch in range(1, 9))
        for seed in (0, 1)
    ]
    assert told.state.name == "COMPLETE"
    assert told.value == pytest.approx(sum(best) / 2, abs=1e-12)
    assert told.user_attrs["scores"] == {"dev/overall": best}


def test_a_trial_that_is_not_done_is_queued_again_once(left: Left) -> None:
    left.finish(0)
    for owner in ("me", "another", "me"):
        trials = left.take_up(owner)
    lost, queued = trials.all()
    assert (lost.state.name, lost.user_attrs[OUTCOME]) == ("FAIL", "lost")
    assert "coordinator" in lost.user_attrs[REASON]
    assert (queued.state.name, queued.user_attrs[POINT], queued.user_attrs[QUEUED]) == (
        "WAITING",
        left.point,
        "again 0",
    )
    assert trials.counted() == []


def test_a_kill_between_the_end_and_the_queue_loses_nothing(left: Left) -> None:
    trials = Trials(left.study, left.storage, "me", 10)
    assert trials.end(0, "lost", reason="killed")
    assert len(trials.all()) == 1
    left.take_up()
    assert [one.user_attrs.get(QUEUED) for one in trials.all()] == [None, "again 0"]


def test_what_was_queued_twice_is_run_once(left: Left) -> None:
    trials = Trials(left.study, left.storage, "me", 10)
    trials.end(0, "lost")
    for _ in range(2):  # as two coordinators do at the same moment
        left.study.enqueue_trial(
            dict(left.point), user_attrs={QUEUED: "again 0", POINT: left.point}
        )
    assert [trials.claim(left.study.ask()) for _ in range(2)] == [True, False]
    assert trials.all()[2].user_attrs[OUTCOME] == "surplus"


def test_only_so_many_are_claimed_as_the_budget_allows(left: Left) -> None:
    claimed = [
        Trials(left.study, left.storage, owner, 3).claim(left.study.ask()) for owner in "abab"
    ]
    assert claimed == [True, True, False, False]


def test_a_living_coordinator_keeps_its_trials(left: Left, tmp_path: Path) -> None:
    with CoordinatorLease(left.study, tmp_path / "study") as owner:
        left.trial.set_user_attr(OWNER, owner.id)
        trials = left.take_up("another")
        assert trials.all()[0].state.name == "RUNNING"
        assert trials.others_running()
        assert trials.watch.is_alive(left.study.user_attrs, owner.id)
    assert not trials.watch.is_alive(left.study.user_attrs, owner.id)
    assert left.take_up("another").all()[0].user_attrs[OUTCOME] == "lost"


def test_on_another_machine_a_lease_that_changes_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock may be an hour behind, and this machine's may be set."""
    now, watch = 1000.0, Watch()
    monkeypatch.setattr("time.monotonic", lambda: now)
    lease = {"machine": "elsewhere", "lock": "/nowhere", "beat": time.time() - 3600}
    for _ in range(10):
        assert watch.is_alive({"coordinator x": lease}, "x")
        now += lease_module.EXPIRY_SECONDS - 1
        assert watch.is_alive({"coordinator x": lease}, "x")
        lease = lease | {"beat": lease["beat"] + 15}
    assert watch.is_alive({"coordinator x": lease}, "x")
    now += lease_module.EXPIRY_SECONDS
    assert not watch.is_alive({"coordinator x": lease}, "x")


def test_hours_do_not_go_by_the_wall_clock(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, now = 1e9, 1000.0
    monkeypatch.setattr("time.time", lambda: wall)
    monkeypatch.setattr("time.monotonic", lambda: now)
    with CoordinatorLease(left.study, tmp_path / "study") as lease:
        now += 60
        for change in (-7200, 7200):  # the clock is set back, then forward
            wall += change
            now += 60
            lease.renew()
    assert seconds_spent(left.study.user_attrs) == 180
    old = {"coordinator old": {"began": 10.0, "beat": 15.5}}
    assert seconds_spent(old) == 5.5


def test_a_trial_without_an_owner_is_young_or_lost(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.trial.set_user_attr(OWNER, None)
    with CoordinatorLease(left.study, tmp_path / "study"):
        assert left.take_up().all()[0].state.name == "RUNNING"
        monkeypatch.setattr(trials_module, "ORPHAN_SECONDS", 0.0)
        assert left.take_up().all()[0].user_attrs[OUTCOME] == "lost"


def test_a_trial_that_was_taken_away_is_not_told_twice(left: Left) -> None:
    assert left.take_up("another").all()[0].user_attrs[OUTCOME] == "lost"
    assert not Trials(left.study, left.storage, "gone", 10).end(0, "done", [0.9])
    assert left.study.trials[0].user_attrs[OUTCOME] == "lost"


def test_the_next_coordinator_runs_the_very_point_that_was_lost(
    left: Left, tmp_path: Path, sources: Sources
) -> None:
    found, _ = by_formula(left.definition, tmp_path, storage=left.storage, sources=sources)
    again = next(one for one in found.results.trials if one.number == 1)
    assert again.point == left.point
    assert len(found.results.counted) == 4
    assert found.results.trial(0).outcome == "lost"
