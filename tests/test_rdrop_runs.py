"""Runs with R-Drop: other toggles, the record, the report, the cost, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.config.rdrop import HEADS_WITH_DROPOUT
from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.grid.costs import Costs
from mtl.methods.toggles import typed_config
from mtl.model.heads import HEADS
from mtl.runs.folder import RunFolder
from mtl.runs.record import Record, Spent
from mtl.training.loop import train
from tests.report_tools import GRID, built, fill, section, tables
from tests.training_tools import config, losses

NAMES = ("sst", "quora", "sts")

# --- in a run


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": "joint", "surgery": "dominant", "train__accumulate": 2},
        {"schedule": "joint", "task_weights": "uncertainty", "train__ema": 0.9},
        {"freeze": {"unfrozen": 1, "scope": ["sts"]}},
        {"freeze__unfrozen": 0, "pairing": "concat"},
        {"lora": {"targets": "all"}, "train__precision": "bf16"},
    ],
    ids=str,
)
def test_it_goes_with_everything_and_the_record_says_what_it_did(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    record = train(config(tiny, rdrop=0.5, train__epochs=1, **changes), runs=tmp_path)
    assert record.status == "done"
    found = {task: part.as_json() for task, part in (record.diagnostics.rdrop or {}).items()}
    assert found.keys() == set(NAMES)
    lines = losses(tmp_path / record.run_id)
    for task, means in found.items():
        steps = [line for line in lines if task in line["loss"]]
        for quantity in ("distance", "loss"):
            seen = [line["rdrop"][task][quantity] for line in steps]
            assert means[quantity] == pytest.approx(sum(seen) / len(seen), rel=1e-9)
        for line in steps:
            part = line["rdrop"][task]
            logged = part["loss"] + 0.5 * part["distance"]
            assert line["loss"][task] == pytest.approx(logged, rel=1e-4)
    # Of a single linear layer on frozen states nothing is dropped.
    still = {"quora", "sts"} if changes.get("freeze__unfrozen") == 0 else set()
    assert {task for task, means in found.items() if means["distance"] == 0} == still


def test_cached_states_of_frozen_layers_are_used_and_change_nothing(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    chosen = config(tiny, rdrop=0.5, freeze__unfrozen=1, train__epochs=1)
    with_cache = train(chosen, runs=tmp_path / "with")
    without = train(chosen, runs=tmp_path / "without", cache_bytes=0)
    assert list((tmp_path / "cache").rglob("*")), "something was stored"
    assert losses(tmp_path / "with" / with_cache.run_id) == losses(
        tmp_path / "without" / without.run_id
    )


def test_without_it_the_record_and_the_log_say_nothing_of_it(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(config(tiny, train__max_steps=3), runs=tmp_path)
    assert record.diagnostics.rdrop is None
    assert all("rdrop" not in line for line in RunFolder(tmp_path / record.run_id).history())
    old = record.as_json()
    del old["diagnostics"]["rdrop"], old["config"]["rdrop"]
    again = Record.model_validate(old)
    assert again.diagnostics.rdrop is None
    assert again.as_json() == old


# --- in reports


def report_with(monkeypatch: pytest.MonkeyPatch, folder: Path, distance: float) -> str:
    """A report on arms of which one has rdrop=0.5, with this distance at a loss of 0.8."""
    monkeypatch.chdir(folder)
    parts = {"sst": {"distance": distance, "loss": 0.8}}
    fill(GRID.replace("freeze.unfrozen: 1", "rdrop: 0.5"), diagnostics={"rdrop": parts})
    return built()


def test_a_report_says_how_much_of_the_loss_the_penalty_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = report_with(monkeypatch, tmp_path, 0.4)
    reasons = section(text, "Why it did what it did")
    (rows,) = [table for table in tables(reasons) if "alpha D / loss" in table[0]]
    assert rows == [
        {"arm": "better", "task": "sst", "alpha": "0.5", "loss": "0.8", "D": "0.4",
         "alpha D / loss": "25 %"}
    ]  # fmt: skip
    assert "less than 1 % of the loss" not in reasons
    assert "arXiv:2106.14448" in text


def test_a_report_says_where_the_penalty_could_hardly_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = section(report_with(monkeypatch, tmp_path, 0.008), "Why it did what it did")
    assert "less than 1 % of the loss: better on sst (0.5 %)." in reasons


def test_time_is_estimated_from_runs_with_any_alpha() -> None:
    def spent(words: list[str], seconds: float) -> Spent:
        chosen = config_from(words).model_dump(mode="json")
        return Spent.model_validate(
            {
                "status": "done",
                "config": chosen,
                "seconds": seconds,
                "diagnostics": {"examples": 100},
            }
        )

    costs = Costs([spent([], 10.0), spent(["rdrop=0.5"], 20.0)])
    assert costs.seconds(config_from(["rdrop=2"]), 100) == pytest.approx(20.0)
    assert costs.seconds(config_from([]), 100) == pytest.approx(10.0)


# --- settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rdrop=0"], "rdrop"),
        (["rdrop=-1"], "rdrop"),
        (["rdrop=true"], "rdrop"),
        (["rdrop=0.5", "smart={}"], "a run has one penalty. Use smart=null or rdrop=null"),
        (["rdrop=1", "train.dropout=0"], "train.dropout=0 has none. Raise train.dropout, or use"),
        (
            ["rdrop=1", "freeze.unfrozen=0", "heads.sst=linear"],
            "only the heads mlp and features have dropout. Raise freeze.unfrozen",
        ),
        (["rdrop=1", "freeze.unfrozen=0", "tasks=sts"], "Raise freeze.unfrozen, use such a head"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed_config(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["smart={lambda_s: 0, mu: 0}"],
        ["freeze.unfrozen=0"],
        ["freeze.unfrozen=0", "heads.sst=linear", "heads.quora=mlp", "pairing=concat"],
        ["freeze.unfrozen=0", "heads.sst=linear", "freeze.dropout=true"],
        ["freeze.unfrozen=0", "heads.sst=linear", "freeze.scope=sts"],
        ["freeze.unfrozen=1", "tasks=sts"],
        ["final", "freeze.states=fp16"],
    ],
)
def test_it_is_allowed_wherever_some_pass_has_dropout(words: list[str]) -> None:
    assert config_from([*words, "rdrop=0.5"]).problems() == []


def test_the_heads_that_have_dropout_are_those_of_the_model() -> None:
    first, second = torch.randn(2, 6, 8)
    random = set()
    for name, head in HEADS.items():
        made = head(8, 1)
        outputs = [made(first, second, 0.5) for _ in range(2)]
        if not torch.equal(*outputs):
            random.add(name)
    assert random == set(HEADS_WITH_DROPOUT)
