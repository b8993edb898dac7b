"""The pre-step of SimCSE: what it moves, what it leaves alone, stops and refusals."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config.settings import config_from
from mtl.config.simcse import SimCSE
from mtl.errors import ConfigError
from mtl.methods.smart import SmartPenalty
from mtl.report.document import Table
from mtl.report.sections import reasons
from mtl.runs.folder import RunFolder
from mtl.training import simcse
from mtl.training.interrupt import Interrupted
from mtl.training.loop import train
from tests.training_tools import comparable, config, content, started, trained_with_stops

ON = {"simcse": {"steps": 12, "batch_size": 8, "lr": 1e-3}}


def pre_trained(training: Any) -> dict[str, float]:
    return simcse.pre_train(
        training.config,
        training.model,
        list(training.prepared.train.values()),
        training.prepared.pairer,
        training.device,
        training.interruption,
    )


def test_every_sentence_comes_once_before_any_comes_again() -> None:
    drawn = list(simcse.batches(10, SimCSE(steps=7, batch_size=3), seed=1))
    assert [len(chosen) for chosen in drawn] == [3] * 7
    for turn in (drawn[:3], drawn[3:6]):
        assert len(set(np.concatenate(turn).tolist())) == 9  # the tenth would stand alone
    assert list(simcse.batches(1, SimCSE(steps=2), seed=0))[1].tolist() == [0]


def test_the_loss_falls_and_only_what_trains_moves(tiny: dict[str, Any], tmp_path: Path) -> None:
    training = started(config(tiny, **ON, freeze={"unfrozen": 1}), tmp_path)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    told = pre_trained(training)
    assert told["last_loss"] < told["first_loss"]
    after = training.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {name for name in training.trainable if name.startswith("encoder.")}
    assert moved == trained and moved


def test_the_weights_are_the_same_every_time_and_so_are_the_masks_that_follow(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain = started(config(tiny), tmp_path)
    masks = torch.rand(3)
    weights = []
    for _ in range(2):
        training = started(config(tiny, **ON), tmp_path)
        pre_trained(training)
        weights.append(training.model.state_dict())
        assert torch.equal(torch.rand(3), masks)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert plain.state.simcse == {}


def test_a_run_says_what_the_pre_step_did_and_counts_no_step_of_it(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain = train(config(tiny), runs=tmp_path)
    record = train(config(tiny, **ON), runs=tmp_path)
    assert record.status == "done" and record.metrics != plain.metrics
    assert (record.steps, record.diagnostics.examples) == (plain.steps, plain.diagnostics.examples)
    told = record.diagnostics.simcse
    assert told is not None and plain.diagnostics.simcse is None
    assert told["last_loss"] < told["first_loss"] and told["sentences"] > 8


def test_the_report_shows_the_losses_of_the_pre_step(tiny: dict[str, Any], tmp_path: Path) -> None:
    plain = train(config(tiny), runs=tmp_path)
    record = train(config(tiny, **ON), runs=tmp_path)
    assert reasons._simcse({"plain": [plain]}) == []
    (block,) = reasons._simcse({"plain": [plain], "simcse": [record]})
    assert isinstance(block, Table) and [row[0].text for row in block.rows] == ["simcse"]
    told = record.diagnostics.simcse
    assert told is not None and block.rows[0][1].sort == told["first_loss"]


@pytest.mark.parametrize(
    "others", [{}, {"smart": {}, "freeze": {"unfrozen": 1}}, {"lora": {}, "pairing": "concat"}]
)
def test_a_stopped_run_goes_on_bit_for_bit(
    others: dict[str, Any], tiny: dict[str, Any], tmp_path: Path
) -> None:
    wanted = config(tiny, **ON, **others)
    whole = train(wanted, runs=tmp_path / "whole")
    stopped, stops = trained_with_stops(wanted, tmp_path / "stopped", every=3)
    assert stops and comparable(stopped) == comparable(whole)
    assert content(tmp_path / "whole" / whole.run_id) == content(
        tmp_path / "stopped" / whole.run_id
    )


def test_a_pre_step_that_is_stopped_begins_again(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(tiny, **ON)
    whole = train(wanted, runs=tmp_path / "whole")

    def stopping(*args: Any) -> Any:
        for number, chosen in enumerate(batches(*args)):
            if number == 5:
                raise Interrupted(signal.SIGTERM)
            yield chosen

    batches = simcse.batches
    monkeypatch.setattr(simcse, "batches", stopping)
    stopped = train(wanted, runs=tmp_path / "stopped")
    assert stopped.status == "interrupted" and stopped.steps == 0
    monkeypatch.undo()
    assert comparable(train(wanted, runs=tmp_path / "stopped")) == comparable(whole)


def test_a_run_that_is_killed_after_the_pre_step_does_not_repeat_it(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config(tiny, **ON)

    def killed(*args: Any) -> Any:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("mtl.training.run.Training.step", killed)
    assert train(wanted, runs=tmp_path).status == "interrupted"
    monkeypatch.undo()
    monkeypatch.setattr(simcse, "batches", killed)
    record = train(wanted, runs=tmp_path)
    assert record.status == "done" and record.diagnostics.simcse is not None


def test_the_teacher_starts_from_the_weights_after_the_pre_step(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    training = started(config(tiny, **ON, smart={}), tmp_path)
    pre_trained(training)
    training.penalty.begin()
    assert isinstance(training.penalty, SmartPenalty) and training.penalty.teacher is not None
    own = training.model.state_dict()
    kept = training.penalty.teacher.state_dict()
    assert all(torch.equal(own[name], kept[name]) for name in own)


def test_a_pre_step_that_diverges_says_where(tiny: dict[str, Any], tmp_path: Path) -> None:
    wanted = config(tiny, simcse={"steps": 4, "lr": 1e30}, train__max_grad_norm=None)
    record = train(wanted, runs=tmp_path)
    assert record.status == "diverged" and "simcse, step" in str(record.error)
    assert RunFolder(tmp_path / record.run_id).record() == record


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simcse={}", "train.dropout=0"], "Use train.dropout=0.1, or simcse=null"),
        (["simcse={}", "freeze.unfrozen=0", "pooling=mean"], "Raise freeze.unfrozen"),
        (["simcse=true"], "simcse={} turns SimCSE on with its defaults"),
        (["simcse.batch_size=1"], "greater than or equal to 2"),
    ],
)
def test_a_pre_step_that_can_do_nothing_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(words).check()
    assert said in str(caught.value)
