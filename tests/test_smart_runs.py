"""SMART in a run: other toggles, the record, frozen parameters, and its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.config.schema import RunConfig
from mtl.config.sections import Smart
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.methods.rdrop import RDrop
from mtl.methods.registry import PENALTIES
from mtl.methods.smart import SmartPenalty
from mtl.runs.folder import RunFolder
from mtl.training.loop import train
from mtl.training.outcome import frozen_unchanged
from tests.training_tools import config, losses, started

# --- in a run


def test_smart_without_weights_is_the_run_without_smart_bit_for_bit(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    plain, other = (started(config(tiny), tmp_path) for _ in range(2))
    off = Smart(lambda_s=0.0, mu=0.0)
    other.stepper.penalty = SmartPenalty(
        other.model, off, probability=other.config.train.dropout, seed=0
    )
    for training in (plain, other):
        torch.manual_seed(0)
        for rows in training.plan.epoch(0):
            training.step(rows)
    for one, two in zip(plain.log.pending, other.log.pending, strict=True):
        assert one.losses == two.losses
        assert torch.equal(one.gradient_norm, two.gradient_norm)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "consolidated"},
        {"schedule": "consolidated", "freeze": {"unfrozen": 1, "scope": ["sts"], "dropout": True}},
        {"pairing": "concat", "pooling": "mean", "freeze__unfrozen": 0},
        {"heads": {"sst": "linear", "quora": "features", "sts": "cosine"}, "pooling": "max"},
        {"tasks": ["sts"], "smart": {"steps": 3, "projection": "normalise"}},
        {"train__precision": "bf16", "smart": {"dropout": True, "projection": "normalise"}},
    ],
    ids=str,
)
def test_smart_goes_with_everything_and_the_record_says_what_it_did(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    record = train(config(tiny, **{"smart": {}, **changes}), runs=tmp_path)
    assert record.status == "done"
    found = {task: part.as_json() for task, part in (record.diagnostics.smart or {}).items()}
    assert found.keys() == set(record.config["tasks"])
    lines = losses(tmp_path / record.run_id)
    for task, means in found.items():
        assert means.keys() == {"r_s", "d_breg", "floor", "ratio", "largest", "skipped"}
        assert means["skipped"] == 0
        for quantity in ("r_s", "d_breg", "floor", "ratio", "largest"):
            seen = [
                line["smart"][task][quantity]
                for line in lines
                if quantity in line["smart"].get(task, {})
            ]
            assert means[quantity] == pytest.approx(sum(seen) / len(seen), abs=1e-15)
    normalised = record.config["smart"]["projection"] == "normalise"
    for means in found.values():
        assert means["largest"] == pytest.approx(1.0 if normalised else 1e-5, rel=0.01)
        assert means["r_s"] >= 0
        assert means["ratio"] < (2.0 if normalised else 1e-4)


def test_without_smart_the_record_and_the_log_say_nothing_of_it(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny), runs=tmp_path)
    assert record.diagnostics.smart is None
    assert all("smart" not in line for line in RunFolder(tmp_path / record.run_id).history())


def test_the_loss_of_a_step_is_the_tasks_loss_with_both_terms(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    settings = {"lambda_s": 3.0, "mu": 2.0, "projection": "normalise"}
    plain = started(config(tiny, schedule="consolidated"), tmp_path)
    with_terms = started(config(tiny, schedule="consolidated", smart=settings), tmp_path)
    with torch.no_grad():
        assert isinstance(with_terms.penalty, SmartPenalty)
        assert with_terms.penalty.teacher is not None
        for value in with_terms.penalty.teacher.parameters():
            value.mul_(0.9)
    rows = plain.plan.epoch(0)[0]
    for training in (plain, with_terms):
        torch.manual_seed(0)
        training.step(rows)
    alone, whole = plain.log.pending[0].losses, with_terms.log.pending[0].losses
    terms = with_terms.penalty.report(0, {})["smart"]
    for task in rows:
        expected = float(alone[task]) + 3 * terms[task]["r_s"] + 2 * terms[task]["d_breg"]
        assert terms[task]["r_s"] > 0
        assert terms[task]["d_breg"] > 0
        assert float(whole[task]) == pytest.approx(expected, rel=1e-5)


def test_frozen_bytes_stay_under_smart(tiny: dict[str, Any], tmp_path: Path) -> None:
    training = started(
        config(tiny, freeze__unfrozen=1, train__weight_decay=0.1, smart={}), tmp_path
    )
    for rows in training.plan.epoch(0):
        training.step(rows)
    assert frozen_unchanged(training.model, training.prepared.pretrained, 0) is True


def test_a_scoped_step_under_smart_leaves_the_frozen_part_without_gradient(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    freeze = {"unfrozen": 1, "scope": ["sts"]}
    training = started(config(tiny, freeze=freeze, train__weight_decay=0.1, smart={}), tmp_path)
    frozen = training.model.encoder.lower_parameters(1)
    steps = training.plan.epoch(0)
    training.step(next(step for step in steps if "sts" not in step))
    before = [value.clone() for value in frozen]
    for rows in [step for step in steps if "sts" in step]:
        training.step(rows)
        assert all(value.grad is None for value in frozen)
    assert all(torch.equal(value, old) for value, old in zip(frozen, before, strict=True))


# --- settings


def test_an_empty_mapping_turns_smart_on_with_the_published_values() -> None:
    assert RunConfig().smart is None
    expected = Smart(
        lambda_s=1,
        mu=1,
        epsilon=1e-5,
        sigma=1e-5,
        eta=1e-3,
        steps=1,
        projection="clip",
        dropout=False,
    )
    assert config_from(["smart={}"]).smart == expected
    assert config_from(["smart.lambda_s=3"]).smart == expected.model_copy(update={"lambda_s": 3.0})
    assert config_from(["smart={}", "smart=null"]).smart is None
    assert config_from(["smart.beta=0.5"]).smart == expected.model_copy(update={"beta": (0.5, 0.5)})


@pytest.mark.parametrize(
    "words", [["smart=on"], ["smart=true"], ["smart.epsilon=1e-4", "smart=null"]], ids=str
)
def test_an_error_about_smart_names_the_way_out(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"smart=\{\}"):
        config_from(words)


@pytest.mark.parametrize(
    "word",
    ["smart.lambda_s=-1", "smart.mu=-1", "smart.epsilon=0", "smart.sigma=0", "smart.eta=0",
     "smart.steps=-1", "smart.projection=l2", "smart.beta=1.1", "smart.beta=[0.9]",
     "smart.beta=[0.9, 0.9, 0.9]", "smart.epsilom=1"],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_with_its_key(word: str) -> None:
    with pytest.raises(
        ConfigError, match=word.partition("=")[0].replace("epsilom", "unknown key|epsilom")
    ):
        config_from([word])


def test_every_penalty_is_registered_under_its_config_key() -> None:
    assert {"smart": SmartPenalty, "rdrop": RDrop} == PENALTIES
    assert PENALTIES.keys() <= RunConfig.model_fields.keys()
