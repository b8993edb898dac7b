"""Whole runs with `freeze.thaw`: resuming, what they record and report, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config.settings import config_from
from mtl.errors import ConfigError
from mtl.inference.trained import load_trained
from mtl.methods.toggles import typed_config
from mtl.runs.folder import RunFolder
from mtl.runs.prepare import prepare
from mtl.runs.verify import verify
from mtl.training.loop import train
from tests.report_tools import GRID, built, fill, section, tables
from tests.training_tools import comparable, config, content, thawing, trained_with_stops


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze__unfrozen": 0, "train__epochs": 4},  # to the embeddings
        {"freeze__unfrozen": 0},  # with a cache of the lower layer
        {"schedule": "joint", "surgery": "gradvac", "train__batch_size": 8, "train__epochs": 3},
        {"smart": {}, "train__ema": 0.9, "train__weight_decay": 0.1, "train__epochs": 3},
    ],
    ids=str,
)
def test_a_run_stopped_across_a_move_goes_on_with_the_same_bits(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    base = config(tiny, freeze={"unfrozen": 1, "thaw": 1}, limit=12, train__decay="linear")
    chosen = config(base.model_dump(), **changes)
    whole = train(chosen, runs=tmp_path / "whole")
    record, stops = trained_with_stops(chosen, tmp_path / "stopped", every=4)
    assert stops >= 2 and whole.status == "done"
    assert comparable(record) == comparable(whole)
    folders = [tmp_path / name / record.run_id for name in ("stopped", "whole")]
    assert content(folders[0]) == content(folders[1])
    assert verify(RunFolder(folders[1])) == []
    load_trained(RunFolder(folders[0]), "cpu")


@pytest.mark.parametrize(
    ("epochs", "layers", "embeddings", "unchanged"),
    [(2, [0, 1], None, True), (3, [0, 1, 2], None, True), (4, [0, 1, 2, 2], 4, None)],
)
def test_a_record_says_what_trained_when_and_whether_the_rest_held(
    tiny: dict[str, Any],
    tmp_path: Path,
    epochs: int,
    layers: list[int],
    embeddings: int | None,
    unchanged: bool | None,
) -> None:
    record = train(thawing(tiny, 0, 1, epochs, limit=8), runs=tmp_path)
    assert record.diagnostics.thaw is not None
    assert record.diagnostics.thaw.layers == layers
    assert record.diagnostics.thaw.embeddings == embeddings
    assert record.frozen_unchanged is unchanged
    assert train(config(tiny, freeze__unfrozen=1, limit=8), runs=tmp_path).diagnostics.thaw is None


def test_a_run_that_ends_within_its_first_epoch_says_that_nothing_thawed(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    record = train(thawing(tiny, 1, 1, 3, train__max_steps=2), runs=tmp_path)
    assert record.diagnostics.thaw is not None
    assert record.diagnostics.thaw.layers == [1]


def test_a_number_that_is_never_reached_is_the_run_without(tiny: dict[str, Any]) -> None:
    names = {
        thaw: prepare(config(tiny, freeze={"unfrozen": 1, "thaw": thaw}, train__epochs=3)).run_id
        for thaw in (None, 1, 2, 3, 4)
    }
    assert names[None] == names[3] == names[4]
    assert len({names[None], names[1], names[2]}) == 3
    nothing = {
        prepare(config(tiny, freeze__thaw=thaw, train__epochs=3)).run_id for thaw in (None, 1)
    }
    assert len(nothing) == 1


def test_a_report_shows_the_layers_by_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(
        GRID.replace("freeze.unfrozen: 1", "freeze.unfrozen: 1, freeze.thaw: 1"),
        diagnostics={"thaw": {"layers": [1, 2, 2], "embeddings": 3}},
    )
    text = built()
    reasons = section(text, "Why it did what it did")
    (row, *_) = next(
        rows
        for table in tables(reasons)
        if (rows := [row for row in table if "layers that train, by epoch" in row])
    )
    assert row["layers that train, by epoch"] == "1, 2, 2"
    assert row["embeddings train from"] == "epoch 3"
    assert "ended before a layer thawed" not in reasons
    assert "arXiv:1801.06146" in text
    assert "thawed by epoch" in text


def test_a_report_says_where_no_layer_thawed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(
        GRID.replace("freeze.unfrozen: 1", "freeze.unfrozen: 1, freeze.thaw: 1"),
        diagnostics={"thaw": {"layers": [1], "embeddings": None}},
    )
    reasons = section(built(), "Why it did what it did")
    assert "better: every run ended before a layer thawed." in reasons


# --- what is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze.thaw=0"], "freeze.thaw"),
        (["freeze.thaw=1.5"], "freeze.thaw"),
        (["freeze.thaw=1", "freeze.scope=sts"], "Use freeze.scope=all, or freeze.thaw=null"),
        (["freeze.thaw=1", "lora={}"], "Use lora=null, or freeze.thaw=null"),
        (["freeze.thaw=1", "freeze.unfrozen=0", "lora={}"], "Use lora=null, or freeze.thaw=null"),
        (["freeze.thaw=1", "freeze.states=fp16"], "with freeze.thaw these layers train later"),
        (["freeze.thaw=1", "freeze.unfrozen=all"], "freeze.unfrozen=all freezes nothing"),
        (["freeze.thaw=3"], "the run ends before a layer thaws"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed_config(["freeze.unfrozen=1", "train.epochs=3", *words]).check()
    assert said in str(caught.value)


def test_what_goes_together_is_not_refused() -> None:
    words = ["freeze.unfrozen=0", "train.epochs=3", "freeze.thaw=1", "train.layer_decay=0.9"]
    typed_config([*words, "freeze.dropout=true"]).check()
    config_from([*words, "tasks=sts", "freeze.scope=sts"]).check()
    # A number that is never reached is as null: nothing to refuse.
    config_from(["freeze.unfrozen=1", "freeze.thaw=9", "freeze.scope=sts", "lora=null"]).check()
