"""Laws of a run: the same numbers again, the same numbers after an interruption, and toggles that do just what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from mtl.config.schema import RunConfig
from mtl.config.sections import Schedule
from mtl.config.settings import merge
from mtl.errors import RunError
from mtl.rng import numpy_stream
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.record import Record
from mtl.runs.verify import verify
from mtl.tracking.outcome import DISABLED
from mtl.training.interrupt import Interruption
from mtl.training.loop import Training, train
from mtl.training.outcome import frozen_unchanged
from mtl.training.progress import Progress

TIMES = ("seconds", "throughput", "peak_memory", "ended", "environment")


def config(tiny: dict[str, Any], **changes: Any) -> RunConfig:
    """The tiny run with changes; `train__lr=1` means `train: {lr: 1}`."""
    for key, value in changes.items():
        for part in reversed(key.split("__")):
            value = {part: value}
        tiny = merge(tiny, value)
    return RunConfig.model_validate(tiny)


def losses(folder: Path) -> list[dict[str, Any]]:
    return [line for line in RunFolder(folder).history() if "loss" in line]


def content(folder: Path) -> dict[str, bytes]:
    """Everything a run leaves that must not depend on when or how often it was stopped."""
    found = {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))
    }
    found["metrics.jsonl"] = (folder / "metrics.jsonl").read_bytes()
    found |= {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    return found


def comparable(record: Record) -> dict[str, Any]:
    return {key: value for key, value in record.as_json().items() if key not in TIMES}


def test_the_same_seed_gives_the_same_numbers_to_the_last_bit(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one = train(config(tiny), runs=tmp_path / "one")
    two = train(config(tiny), runs=tmp_path / "two")
    assert comparable(one) == comparable(two)
    assert content(tmp_path / "one" / one["run_id"]) == content(tmp_path / "two" / two["run_id"])


def test_another_seed_gives_other_numbers_in_the_same_cell(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one, two = (train(config(tiny, seed=seed), runs=tmp_path) for seed in (0, 1))
    assert one["cell"] == two["cell"]
    assert one["run_id"] != two["run_id"]
    assert losses(tmp_path / one["run_id"])[0] != losses(tmp_path / two["run_id"])[0]


NEUTRAL: dict[str, dict[str, Any]] = {
    "scope of every task": {"freeze__scope": ["sts", "sst", "quora"]},
    "scope and dropout of a freezing that is off": {
        "freeze__scope": ["sts"],
        "freeze__dropout": True,
    },
    "no warm-up and no decay": {"train__warmup": 0.0, "train__decay": "none"},
    "a step limit beyond the end": {"train__max_steps": 10_000},
    "a limit beyond the data": {"limit": 10_000},
    "a clip that nothing reaches": {"train__max_grad_norm": 1e9},
    "a shorter length that no sentence reaches": {"max_length": 100},
    "heads written out": {"heads": {"sst": "mlp", "quora": "dot", "sts": "dot"}},
    "no weight decay": {"train__weight_decay": 0.0},
    "plain sum": {"surgery": "sum"},
    "no SMART": {"smart": None},
    "SMART without weights": {"smart": {"lambda_s": 0.0, "mu": 0.0, "steps": 3}},
    "the other checkpoint rule": {"train__select": "last"},
    "the other overall": {"overall": "shifted"},
}


@pytest.fixture(scope="module")
def baseline_losses(
    tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    runs = tmp_path_factory.mktemp("baseline")
    plain = {
        "encoder": "random-tiny",
        "data": str(tiny_data),
        "train": {"epochs": 2, "batch_size": 4, "lr": 1e-3},
    }
    record = train(config(plain, train__max_grad_norm=None), runs=runs)
    return losses(runs / record.run_id)


@pytest.mark.parametrize("changes", NEUTRAL.values(), ids=NEUTRAL.keys())
def test_a_toggle_at_its_neutral_value_gives_the_baselines_losses_bit_for_bit(
    tiny: dict[str, Any],
    tmp_path: Path,
    baseline_losses: list[dict[str, Any]],
    changes: dict[str, Any],
) -> None:
    record = train(config(tiny, **{"train__max_grad_norm": None, **changes}), runs=tmp_path)
    assert losses(tmp_path / record.run_id) == baseline_losses


@pytest.mark.parametrize(
    "changes",
    [
        {"train__dropout": 0.0},
        {"train__lr": 2e-3},
        {"train__warmup": 0.5},
        {"train__decay": "linear"},
        {"train__weight_decay": 0.1},
        {"train__max_grad_norm": 1e-3},
        {"train__batch_size": 5},
        {"train__precision": "bf16"},
        {"pairing": "concat"},
        {"pooling": "mean"},
        {"pooling": "max"},
        {"pooling": "cls"},
        {"heads": {"sts": "cosine"}},
        {"heads": {"quora": "features"}},
        {"heads": {"sst": "linear"}},
        {"schedule": "consolidated"},
        {"schedule": "round_robin"},
        {"schedule": "sqrt"},
        {"schedule": "annealed"},
        {"freeze__unfrozen": 1},
        {"freeze": {"unfrozen": 1, "dropout": True}},
        {"freeze": {"unfrozen": 0, "scope": ["sts"]}},
        {"smart": {"mu": 0.0}},
        {"smart": {"lambda_s": 0.0}},
        {"smart": {"projection": "normalise", "dropout": True, "steps": 2}},
        {"limit": 10},
        {"max_length": 8},
    ],
    ids=str,
)
def test_every_toggle_does_something(
    tiny: dict[str, Any],
    tmp_path: Path,
    baseline_losses: list[dict[str, Any]],
    changes: dict[str, Any],
) -> None:
    record = train(config(tiny, **{"train__max_grad_norm": None, **changes}), runs=tmp_path)
    assert record.status == "done"
    assert losses(tmp_path / record.run_id) != baseline_losses
    assert verify(RunFolder(tmp_path / record.run_id)) == []


@pytest.mark.parametrize("batch_size", [3, 12])
def test_every_surgery_does_something_to_consolidated_batches(
    tiny: dict[str, Any], tmp_path: Path, batch_size: int
) -> None:
    """Without dropout, whose masks differ where each task has a pass of its own."""
    seen = []
    for name in ("sum", "dominant", "pcgrad"):
        changes = {
            "schedule": "consolidated",
            "train__batch_size": batch_size,
            "train__dropout": 0.0,
        }
        record = train(
            config(tiny, surgery=name, train__max_grad_norm=None, **changes), runs=tmp_path
        )
        assert record.status == "done"
        assert verify(RunFolder(tmp_path / record.run_id)) == []
        seen.append([line["loss"] for line in losses(tmp_path / record.run_id)])
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-5)
    assert seen[1][0] == pytest.approx(seen[2][0], rel=1e-5)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        apart = [
            abs(a[task] - b[task]) for a, b in zip(seen[one], seen[two], strict=True) for task in a
        ]
        assert max(apart) > 1e-4


@pytest.mark.parametrize("scope", ["all", ["sts"], ["sst", "quora"]], ids=str)
@pytest.mark.parametrize(
    ("schedule", "surgery"),
    [(name, "sum") for name in get_args(Schedule)]
    + [("consolidated", "dominant"), ("consolidated", "pcgrad")],
)
def test_freezing_by_scope_holds_under_every_schedule_and_surgery(
    tiny: dict[str, Any], tmp_path: Path, schedule: str, surgery: str, scope: Any
) -> None:
    """The part below the cut gets a gradient in the steps that have a task outside the scope, and in no others."""
    freeze = {"unfrozen": 1, "scope": scope}
    training = started(
        config(tiny, freeze=freeze, schedule=schedule, surgery=surgery, train__weight_decay=0.1),
        tmp_path,
    )
    below = [value for name, value in training.model.encoder.named_parameters() if _layer(name) < 1]
    below = [value for value in below if value is not training.model.encoder.pooler.weight]
    below = [value for value in below if value is not training.model.encoder.pooler.bias]
    kinds = set()
    for rows in training.epoch(0) + training.epoch(1):
        inside = scope == "all" or all(task in scope for task in rows)
        kinds.add(inside)
        before = [value.detach().clone() for value in below]
        training.step(rows)
        moved = [not torch.equal(value, old) for value, old in zip(below, before, strict=True)]
        assert any(moved) != inside
        assert all((value.grad is None) == inside for value in below)
    assert kinds == ({True} if scope == "all" else {True, False})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "consolidated", "train__batch_size": 7},
        {"schedule": "consolidated", "train__batch_size": 7, "surgery": "pcgrad"},
        {"schedule": "annealed"},
        {"schedule": "round_robin"},
        {"pairing": "concat"},
        {"smart": {"projection": "normalise", "dropout": True}},
    ],
    ids=str,
)
def test_resume_equals_no_interruption(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Stopped at every third step, in training and in evaluation, the run gives every number of one that was not."""
    chosen = config(
        tiny, freeze={"unfrozen": 1, "scope": ["sts"]}, train__decay="linear", **changes
    )
    whole = train(chosen, runs=tmp_path / "whole")

    class Stop(Progress):
        def __init__(self, after: int) -> None:
            self.left = after

        def begin(self, run_id: str, step: int, total: int) -> None:
            self.step = Training.step
            outer = self

            def counted(training: Training, rows: Any) -> None:
                outer.step(training, rows)
                outer.left -= 1
                if outer.left == 0:
                    os.kill(os.getpid(), signal.SIGTERM)

            Training.step = counted  # type: ignore[method-assign]

        def evaluating(self, step: int) -> None:
            if self.left in (1, 2):
                os.kill(os.getpid(), signal.SIGINT)

        def end(self) -> None:
            Training.step = self.step  # type: ignore[method-assign]

    stops = 0
    while True:
        record = train(chosen, runs=tmp_path / "stopped", progress=Stop(3))
        if record.status == "done":
            break
        stops += 1
        assert record.status == "interrupted"
        assert record.error in ("SIGTERM", "SIGINT")
    assert stops >= 4
    assert comparable(record) == comparable(whole)
    assert content(tmp_path / "stopped" / record.run_id) == content(
        tmp_path / "whole" / whole.run_id
    )
    assert not (tmp_path / "stopped" / record.run_id / "resume").exists()


SCRIPT = """
import sys
from pathlib import Path
from mtl import RunConfig, train
import json
train(RunConfig.model_validate(json.loads(sys.argv[1])), runs=Path(sys.argv[2]), save_seconds=0.0, wandb="disabled")
"""


def test_a_run_killed_at_any_moment_goes_on_to_the_same_numbers(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, train__epochs=4)
    whole = train(chosen, runs=tmp_path / "whole")
    killed = 0
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4):
        command = [sys.executable, "-c", SCRIPT, chosen.model_dump_json(), str(tmp_path / "killed")]
        process = subprocess.Popen(command)
        log = tmp_path / "killed" / whole.run_id / "metrics.jsonl"
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (not log.exists() or log.stat().st_size <= before):
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        folder = RunFolder(tmp_path / "killed" / whole.run_id)
        record = folder.record()
        assert record is None or record.status == "done"
        if record is None:
            assert folder.state() == "unfinished"
    assert killed >= 3
    record = train(chosen, runs=tmp_path / "killed")
    assert comparable(record) == comparable(whole)
    assert content(folder.path) == content(tmp_path / "whole" / whole.run_id)


@pytest.mark.parametrize("unfrozen", [0, 1, 2])
def test_frozen_bytes_stay_and_the_rest_moves(
    tiny: dict[str, Any], tmp_path: Path, unfrozen: int
) -> None:
    chosen = config(tiny, freeze={"unfrozen": unfrozen}, train__weight_decay=0.1)
    training = started(chosen, tmp_path)
    before = {name: value.clone() for name, value in training.model.encoder.named_parameters()}
    for rows in training.epoch(0):
        training.step(rows)
    moved = {
        name
        for name, value in training.model.encoder.named_parameters()
        if not torch.equal(value, before[name])
    }
    trains = {name for name in before if name.startswith("pooler") or _layer(name) >= 2 - unfrozen}
    assert moved == trains
    assert frozen_unchanged(training.model, training.prepared.pretrained) is True
    assert not any(name.startswith("encoder.words") for name in training.trainable)


def test_a_frozen_run_says_so_and_an_unfrozen_one_says_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    assert train(config(tiny, freeze__unfrozen=1), runs=tmp_path)["frozen_unchanged"] is True
    assert train(config(tiny), runs=tmp_path)["frozen_unchanged"] is None


def test_a_scoped_step_leaves_the_frozen_part_without_gradient_moment_or_decay(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    chosen = config(tiny, freeze={"unfrozen": 1, "scope": ["sts"]}, train__weight_decay=0.1)
    training = started(chosen, tmp_path)
    frozen = dict(training.model.named_parameters())
    frozen = {
        name: value
        for name, value in frozen.items()
        if "encoder." in name and _layer(name.removeprefix("encoder.")) < 1
    }
    frozen = {name: value for name, value in frozen.items() if "pooler" not in name}
    steps = training.epoch(0)
    for rows in [step for step in steps if "sts" not in step][:2]:
        training.step(rows)
    before = {name: value.clone() for name, value in frozen.items()}
    for rows in [step for step in steps if "sts" in step]:
        training.step(rows)
        assert all(value.grad is None for value in frozen.values())
    assert all(torch.equal(value, before[name]) for name, value in frozen.items())
    training.step(next(step for step in steps if "sts" not in step))
    assert not all(torch.equal(value, before[name]) for name, value in frozen.items())


def test_a_task_alone_has_the_same_steps_under_both_schedules(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    one, two = (
        prepare(config(tiny, tasks=["sts"], schedule=name)) for name in ("pooled", "consolidated")
    )
    assert one.run_id == two.run_id
    record = train(config(tiny, tasks=["sts"], schedule="consolidated"), runs=tmp_path)
    assert set(record.metrics) >= {"dev/sts/pearson", "dev/overall"}
    assert not any("sst" in key or "quora" in key for key in record.metrics)


def test_consolidated_steps_sum_the_tasks_mean_losses(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(
        tiny,
        schedule="consolidated",
        train__batch_size=12,
        train__dropout=0.0,
        train__max_grad_norm=None,
    )
    training = started(chosen, tmp_path)
    rows = next(step for step in training.epoch(0) if len(step) == 3)
    training.rows = rows
    summed = {name: torch.zeros_like(value) for name, value in training.trainable.items()}
    for task in rows:
        training.optimizer.zero_grad()
        training.losses_of((task,))[task].backward()
        for name, value in training.trainable.items():
            summed[name] += 0 if value.grad is None else value.grad.to_dense()
    training.optimizer.zero_grad()
    generator = numpy_stream(0, "surgery/0")
    training.surgery.backward(
        training.model.frozen_groups(tuple(rows)), training.losses_of, generator
    )
    for name, value in training.trainable.items():
        assert value.grad is not None
        assert torch.allclose(value.grad.to_dense(), summed[name], atol=1e-6), name


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny, train__lr=1e18, train__max_grad_norm=None), runs=tmp_path)
    assert record.status == "diverged"
    assert "is not finite" in record.error
    assert "step " in record.error
    again = train(config(tiny, train__lr=1e18, train__max_grad_norm=None), runs=tmp_path)
    assert again == record


def test_the_record_is_complete_and_holds_no_nan(tiny: dict[str, Any], tmp_path: Path) -> None:
    record = train(config(tiny, heads__sts="cosine"), runs=tmp_path)
    stored = (tmp_path / record.run_id / "record.json").read_text()
    assert json.loads(stored) == json.loads(json.dumps(record))
    assert "NaN" not in stored
    promised = """schema run_id cell seed status config metrics best_step seconds throughput peak_memory diagnostics
    frozen_unchanged data environment wandb error""".split()
    assert set(promised) <= set(record)
    for key in (
        "dev/sst/accuracy",
        "dev/quora/accuracy",
        "dev/sts/pearson",
        "dev/overall",
        "train/sst/accuracy",
    ):
        assert key in record.metrics
    assert sum(record.diagnostics.dead_examples_per_epoch["sts"]) >= 0
    assert len(record.diagnostics.dead_examples_per_epoch["sts"]) == 2
    assert record.wandb == DISABLED


def test_a_finished_run_is_not_trained_again(tiny: dict[str, Any], tmp_path: Path) -> None:
    first = train(config(tiny), runs=tmp_path)
    assert train(config(tiny), runs=tmp_path) == first
    assert train(config(tiny), runs=tmp_path, fresh=True)["ended"] >= first["ended"]


def test_two_processes_never_train_one_run_at_once(tiny: dict[str, Any], tmp_path: Path) -> None:
    chosen = config(tiny)
    folder = RunFolder(tmp_path / prepare(chosen).run_id)
    with folder.lock(), pytest.raises(RunError, match="in use by process"):
        train(chosen, runs=tmp_path)


def test_an_error_inside_a_run_is_recorded_with_its_traceback(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(training: Training, rows: Any) -> None:
        raise ZeroDivisionError("made to fail")

    monkeypatch.setattr(Training, "step", broken)
    with pytest.raises(ZeroDivisionError):
        train(config(tiny), runs=tmp_path)
    (folder,) = tmp_path.iterdir()
    record = RunFolder(folder).record()
    assert record is not None
    assert record.status == "failed"
    assert "made to fail" in record.error
    assert record.metrics == {}
    monkeypatch.undo()
    assert train(config(tiny), runs=tmp_path).status == "done"


@pytest.mark.parametrize("victim", ["predictions", "checkpoint", "record.json"])
def test_a_full_disk_leaves_nothing_that_reads_as_done(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    import errno

    from mtl import files

    real = os.fsync
    target = {"on": True}

    def full(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if target["on"] and victim in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(config(tiny), runs=tmp_path)
    (path,) = tmp_path.iterdir()
    folder = RunFolder(path)
    record = folder.record()
    assert record is None or record.status == "failed"
    assert folder.state() != "done"
    assert not list(path.rglob("*.tmp"))
    target["on"] = False
    assert train(config(tiny), runs=tmp_path).status == "done"
    assert verify(folder) == []


def started(chosen: RunConfig, runs: Path) -> Training:
    """A run set up but not begun, to be stepped by hand."""
    prepared = prepare(chosen)
    return Training(
        prepared, RunFolder(runs / "unused"), torch.device("cpu"), Interruption(), Progress(), 1e9
    )


def _layer(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("layers.") else -1
