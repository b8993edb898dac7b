"""The progress of a grid: silence of a worker, and runs that another process has."""

from __future__ import annotations

import pytest

from mtl.config.schema import RunConfig
from mtl.grid.costs import Costs
from mtl.grid.plan import Plan, PlannedRun
from mtl.grid.view import View
from mtl.grid.worker import Alive

RUN = PlannedRun(
    arm="base", config=RunConfig(), run_id="c-s0", state="missing", examples=1, seconds=None
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the view sees."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_silent_worker_is_named_and_one_that_computes_is_not(clock: list[float]) -> None:
    said: list[str] = []
    view = View(said.append)
    view.begin(Plan(runs=(RUN,), workers=1), Costs())
    view.started(RUN)
    for _ in range(4):
        clock[0] += 50
        view.heard(RUN, Alive(run_id=RUN.run_id))
        view.tick()
    assert said
    assert not any("no sign" in line for line in said)
    clock[0] += 150
    view.tick()
    assert said[-1] == "in flight: base, seed 0 0%, no sign for 2 min"
    assert view.running[RUN.run_id].stage == "starting, no sign for 2 min"


def test_a_run_of_another_process_is_named_while_it_is_waited_for(clock: list[float]) -> None:
    said: list[str] = []
    view = View(said.append)
    view.begin(Plan(runs=(RUN,), workers=1), Costs())
    view.started(RUN)
    view.elsewhere(RUN)
    for _ in range(3):
        clock[0] += 61
        view.tick()
    assert said[-1] == "in flight in another process: base, seed 0 (3 min)"
    view.started(RUN)
    said.clear()
    clock[0] += 61
    view.tick()
    assert not any("another process" in line for line in said)
